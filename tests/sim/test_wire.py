"""The double's HTTP/1.1: every way to frame a request, and refusal of what is none."""

import asyncio
import contextlib
import json
import signal
import socket
import sys
from pathlib import Path

import pytest

from mooring.sim import SimServer, main

from .conftest import chat_body, connect

_BODY = json.dumps(chat_body()).encode()
_LINE = b"POST /v1/chat/completions HTTP/1.1\r\nhost: sim\r\n"


def test_a_chunked_body_that_comes_byte_by_byte_is_read() -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            chunks = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(p), p) for p in (_BODY[:7], _BODY[7:])) + b"0\r\n\r\n"
            for byte in _LINE + b"transfer-encoding: chunked\r\n\r\n" + chunks:
                raw.writer.write(bytes([byte]))
                await raw.writer.drain()
            status, headers = await raw.head()
            assert status == 200
            assert json.loads(await raw.body(headers))["choices"]

    asyncio.run(go())


def test_pipelined_requests_are_answered_in_order() -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            for text in ("a", "b"):
                raw.send("POST", "/v1/chat/completions", chat_body("writer-3words-1ms", text, stream=True))
                raw.send("POST", "/v1/chat/completions", chat_body("echo", text))
            said = []
            for _ in range(2):
                _, headers = await raw.head()
                assert headers["content-type"].startswith("text/event-stream")
                await raw.body(headers)
                _, headers = await raw.head()
                said.append(json.loads(await raw.body(headers))["choices"][0]["message"]["content"])
            assert said == ["a", "b"]

    asyncio.run(go())


def test_a_client_that_waits_for_100_continue_gets_it() -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            raw.writer.write(_LINE + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(_BODY))
            assert (await raw.head())[0] == 100
            raw.writer.write(_BODY)
            assert (await raw.head())[0] == 200

    asyncio.run(go())


def test_http_1_0_gets_a_stream_that_the_end_of_the_connection_ends() -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            body = json.dumps(chat_body(stream=True)).encode()
            raw.writer.write(b"POST /v1/chat/completions HTTP/1.0\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            data = await raw.reader.read()
            assert b"chunked" not in data
            assert data.endswith(b"data: [DONE]\n\n")

    asyncio.run(go())


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nspace : 1\r\n\r\n", 400),
        (_LINE + b"content-length: -1\r\n\r\n", 400),
        (_LINE + b"content-length: 1, 1\r\n\r\n", 400),
        (_LINE + b"content-length: 99999999999999999999\r\n\r\n", 413),
        (_LINE + b"content-length: 999999999\r\n\r\n", 413),
        (_LINE + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (_LINE + b"transfer-encoding: gzip\r\n\r\n", 400),
        (_LINE + b"transfer-encoding: chunked\r\n\r\nxyz\r\n", 400),
        (_LINE + b"transfer-encoding: chunked\r\n\r\n-5\r\n", 400),
        (_LINE + b"transfer-encoding: chunked\r\n\r\n2\r\nabcd\r\n", 400),
        (_LINE + b"transfer-encoding: chunked\r\n\r\nfffffff\r\n", 413),
        (_LINE + b"transfer-encoding: chunked\r\n\r\n" + b"1" * 2000, 400),
        (_LINE + b"x: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        (_LINE + b"x: " + b"y" * 70_000, 431),
        (_LINE + b"x: y\r\n" * 300 + b"\r\n", 431),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(head: bytes, status: int) -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            raw.writer.write(head)
            answered, headers = await raw.head()
            assert answered == status
            assert json.loads(await raw.body(headers))["error"]["message"]
            assert await raw.reader.read() == b""

    asyncio.run(go())


def test_an_unknown_path_names_the_known_ones_and_a_wrong_method_is_told() -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            status, _, body = await raw.ask("GET", "/v1/completions")
            assert status == 404
            assert "/v1/chat/completions" in json.loads(body)["error"]["message"]
            assert (await raw.ask("GET", "/v1/chat/completions"))[0] == 405
            assert (await raw.ask("DELETE", "/prices"))[0] == 405
            assert (await raw.ask("GET", "/healthz"))[0] == 200

    asyncio.run(go())


def test_the_last_requests_can_be_looked_at_without_their_credentials() -> None:
    async def go() -> None:
        async with SimServer(keep_requests=2) as sim, connect(sim) as raw:
            for text in ("a", "b", "c"):
                await raw.ask("POST", "/v1/chat/completions", chat_body("echo", text), [("authorization", "Bearer x")])
            seen = json.loads((await raw.ask("GET", "/requests"))[2])
            assert [json.loads(request["body"])["messages"][0]["content"] for request in seen] == ["b", "c"]
            assert "authorization" not in seen[0]["headers"]
            assert sim.requests[-1].headers["authorization"] == "Bearer x"

    asyncio.run(go())


def test_connections_over_the_limit_are_dropped() -> None:
    async def go() -> None:
        async with SimServer(most_connections=1) as sim, connect(sim) as first:
            await first.chat()
            async with connect(sim) as second:
                with contextlib.suppress(ConnectionResetError):
                    assert await second.reader.read() == b""
            assert (await first.chat())[0] == 200

    asyncio.run(go())


def test_the_process_says_where_it_listens_meters_to_a_file_and_ends_on_sigterm(tmp_path: Path) -> None:
    async def go() -> None:
        path = tmp_path / "meter.jsonl"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mooring.sim", "--port", "0", "--meter", str(path), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        assert line.startswith("listening on http://127.0.0.1:")
        port = int(line.rsplit(":", 1)[1])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_LINE + b"content-length: %d\r\n\r\n%b" % (len(_BODY), _BODY))
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        writer.close()
        assert len(path.read_text().splitlines()) == 1

    asyncio.run(go())


def test_a_taken_port_is_an_error_that_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["--port", str(taken.getsockname()[1])]) == 1
    assert "Choose another --port" in capsys.readouterr().err
