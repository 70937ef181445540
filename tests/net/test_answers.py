"""What the client makes of every kind of answer, and of every kind of broken one."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from misbehaving import Close, Flood, Gone, Misbehaving, Reset, Trickle
from misbehaving import Request as ReadRequest

from mooring.core.errors import TooLarge, UpstreamDisconnected, UpstreamMalformed
from mooring.net import EgressPolicy, HttpClient, Request

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

WHOLE = {
    "a length": (OK, b"hi"),
    "no body": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
    "chunks": (CHUNKED + b"2\r\nhi\r\n0\r\n\r\n", b"hi"),
    "chunk extensions": (CHUNKED + b'2;a="b"\r\nhi\r\n0;x\r\n\r\n', b"hi"),
    "upper-case hex and leading zeros": (CHUNKED + b"00A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    "trailers": (CHUNKED + b"2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n", b"hi"),
    "a 204": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "a 304 with a length": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", b""),
    "interim heads": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + OK, b"hi"),
    "HTTP/1.0 keep-alive": (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nhi", b"hi"),
    "no reason phrase": (b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nhi", b"hi"),
    "an error with a body": (b"HTTP/1.1 429 Too Many\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\nhi", b"hi"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_an_answer_is_read_whole_and_its_connection_used_again(name, run, client) -> None:
    answer, body = WHOLE[name]

    async def main() -> None:
        async with Misbehaving([ReadRequest(), answer, ReadRequest(), OK, Gone()]) as server, client() as http:
            async with await http.send(Request("GET", server.url)) as response:
                assert await response.read(1000) == body
            async with await http.send(Request("GET", server.url)) as response:
                assert await response.read(1000) == b"hi"
            assert server.connections == 1

    run(main())


@pytest.mark.parametrize("name", WHOLE)
def test_an_answer_that_comes_byte_by_byte_is_the_same(name, run, client) -> None:
    answer, body = WHOLE[name]

    async def main() -> None:
        async with Misbehaving([ReadRequest(), Trickle(answer), Gone()]) as server, client() as http:
            response = await http.send(Request("POST", server.url, body=b"x"))
            assert b"".join([chunk async for chunk in response.chunks()]) == body
            assert response.bytes_down == len(answer)

    run(main())


def test_trailers_are_kept_apart_from_headers(run, client) -> None:
    async def main() -> None:
        answer = CHUNKED + b"2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n"
        async with Misbehaving([ReadRequest(), answer, Gone()]) as server, client() as http:
            response = await http.send(Request("GET", server.url))
            await response.read(10)
            assert response.trailers.get("x-sum") == "7"
            assert response.headers.get("x-sum") is None

    run(main())


def test_headers_are_found_in_any_case_and_keep_their_order(run, client) -> None:
    async def main() -> None:
        answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nX-Y: z\r\nset-cookie: b\r\ncontent-length: 0\r\n\r\n"
        async with Misbehaving([ReadRequest(), answer, Gone()]) as server, client() as http:
            response = await http.send(Request("GET", server.url))
            assert response.headers.get("x-y") == "z"
            assert response.headers.get("X-Y") == "z"
            assert response.headers.get_all("SET-COOKIE") == ["a", "b"]
            assert response.headers.get("missing") is None

    run(main())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\nto the end",
        b"HTTP/1.0 200 OK\r\n\r\nto the end",
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nto the end",
    ],
)
def test_a_body_without_a_length_ends_with_the_connection(answer, run, client) -> None:
    async def main() -> None:
        async with Misbehaving([ReadRequest(), answer, Close()]) as server, client() as http:
            response = await http.send(Request("GET", server.url))
            assert await response.read(1000) == b"to the end"

    run(main())


def test_a_body_without_a_length_that_is_reset_is_broken(run, client) -> None:
    async def main() -> None:
        answer = b"HTTP/1.1 200 OK\r\n\r\nto the"
        async with Misbehaving([ReadRequest(), Trickle(answer), Reset()]) as server, client() as http:
            with pytest.raises(UpstreamDisconnected):
                await (await http.send(Request("GET", server.url))).read(1000)

    run(main())


@pytest.mark.parametrize("end", [Close(), Reset()], ids=["closed", "reset"])
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n",
        CHUNKED,
        CHUNKED + b"5\r\nhi",
        CHUNKED + b"2\r\nhi",
        CHUNKED + b"2\r\nhi\r\n",
        CHUNKED + b"2\r\nhi\r\n0\r\n",
        CHUNKED + b"2\r\nhi\r\n0\r\nx-sum: 1\r\n",
    ],
)
def test_a_truncated_body_is_never_a_clean_end(answer, end, run, client) -> None:
    async def main() -> None:
        async with Misbehaving([ReadRequest(), answer, end]) as server, client() as http:
            with pytest.raises(UpstreamDisconnected) as caught:
                await (await http.send(Request("POST", server.url, body=b"x"))).read(1000)
            assert caught.value.is_billable

    run(main())


def test_what_came_before_a_break_is_handed_out_first(run, client) -> None:
    async def main() -> None:
        answer = CHUNKED + b"5\r\nfirst\r\n"
        async with Misbehaving([ReadRequest(), answer, Close()]) as server, client() as http:
            response = await http.send(Request("GET", server.url))
            chunks = response.chunks()
            assert await anext(chunks) == b"first"
            with pytest.raises(UpstreamDisconnected, match="in the middle of its answer"):
                await anext(chunks)

    run(main())


MALFORMED = {
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTML without a head": b"<html>hello</html>",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x46",
    "HTTP/2": b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi",
    "a length and chunks": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nhi",
    "a length with a sign": b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nhi",
    "an endless length": b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\nhi",
    "an unknown transfer coding": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nhi",
    "chunked that is not last": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\nhi",
    "a folded header": b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 2\r\n\r\nhi",
    "a NUL in a header": b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\nhi",
    "bare line feeds": b"HTTP/1.1 200 OK\ncontent-length: 2\n\nhi",
    "a space before the colon": b"HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nhi",
    "an upgrade": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "compression that was not asked for": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nhi",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_an_answer_that_is_not_http_says_so(name, run, client) -> None:
    async def main() -> None:
        async with Misbehaving([ReadRequest(), MALFORMED[name], Gone()]) as server, client() as http:
            with pytest.raises(UpstreamMalformed) as caught:
                await http.send(Request("POST", server.url, body=b"x"))
            assert server.url in str(caught.value)
            await server.gone.wait()

    run(main())


@pytest.mark.parametrize("rest", [b"zz\r\nhi\r\n", b"2\r\nhiho\r\n", b"-2\r\nhi\r\n", b"fffffffffffffffff\r\nhi\r\n"])
def test_a_broken_chunk_is_malformed_and_not_an_end(rest, run, client) -> None:
    async def main() -> None:
        answer = CHUNKED + b"2\r\nhi\r\n" + rest
        async with Misbehaving([ReadRequest(), answer, Gone()]) as server, client() as http:
            with pytest.raises(UpstreamMalformed):
                await (await http.send(Request("GET", server.url))).read(1000)

    run(main())


def test_an_answer_to_head_has_no_body_and_the_connection_goes_on(run, client) -> None:
    async def main() -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
        async with Misbehaving([ReadRequest(), head, ReadRequest(), OK, Gone()]) as server, client() as http:
            response = await http.send(Request("HEAD", server.url))
            assert await response.read(10) == b""
            assert response.headers.get("content-length") == "5"
            assert await (await http.send(Request("GET", server.url))).read(10) == b"hi"
            assert server.connections == 1

    run(main())


@pytest.mark.parametrize("surplus", [b"x", OK, b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_bytes_after_an_answer_are_never_taken_for_the_next(surplus, run, client) -> None:
    async def main() -> None:
        first = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none" + surplus
        async with Misbehaving([ReadRequest(), first, Gone()], [ReadRequest(), OK, Gone()]) as server, client() as http:
            assert await (await http.send(Request("GET", server.url))).read(10) == b"one"
            assert await (await http.send(Request("POST", server.url, body=b"x"))).read(10) == b"hi"
            assert server.connections == 2

    run(main())


def test_a_connection_that_the_server_wants_closed_is_not_kept(run, client) -> None:
    async def main() -> None:
        last = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi"
        async with Misbehaving([ReadRequest(), last, Gone()]) as server, client() as http:
            assert await (await http.send(Request("GET", server.url))).read(10) == b"hi"
            await server.gone.wait()
            assert http.counts() == {}

    run(main())


# Limits ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [
        [b"HTTP/1.1 200 OK\r\nx: " + b"a" * 2000 + b"\r\ncontent-length: 0\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\n", Flood(b"x: y\r\n", 100_000)],
        [b"HTTP/1.1 200 OK\r\nx: ", Flood(b"a" * 100, 100_000)],
        [Flood(b"HTTP/1.1 100 Continue\r\n\r\n", 100_000)],
        [Flood(b"\r\n" * 50, 20_000)],
        [CHUNKED + b"0\r\n", Flood(b"x: y\r\n", 100_000)],
        [CHUNKED + b"0\r\nx: ", Flood(b"y" * 100, 100_000)],
        [CHUNKED + b"2;", Flood(b"y" * 100, 100_000)],
    ],
    ids=["one header", "many headers", "endless header", "interim", "empty lines", "trailers", "trailer", "extension"],
)
def test_heads_and_framing_over_the_limit_are_refused(script, run, client) -> None:
    async def main() -> None:
        async with Misbehaving([ReadRequest(), *script, Gone()]) as server, client(header_bytes=1000) as http:
            with pytest.raises(TooLarge, match="1000 bytes of headers"):
                await (await http.send(Request("GET", server.url))).read(1000)
            await server.gone.wait()

    run(main())


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n", CHUNKED + b"b\r\n01234567890\r\n0\r\n\r\n"]
)
def test_a_body_over_the_readers_limit_is_refused(answer, run, client) -> None:
    async def main() -> None:
        async with Misbehaving([ReadRequest(), answer, Gone()]) as server, client() as http:
            response = await http.send(Request("GET", server.url))
            with pytest.raises(TooLarge, match="10 bytes"):
                await response.read(10)

    run(main())


def test_a_body_of_exactly_the_limit_is_read(run, client) -> None:
    async def main() -> None:
        async with Misbehaving([ReadRequest(), OK, Gone()]) as server, client() as http:
            assert await (await http.send(Request("GET", server.url))).read(2) == b"hi"

    run(main())


# Every cut ------------------------------------------------------------------


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_cut_of_an_answer_gives_a_shortened_success(data) -> None:
    """A prefix of a good answer is the answer or an error; nothing in between."""
    answer, body = data.draw(
        st.sampled_from([WHOLE["a length"], WHOLE["chunks"], WHOLE["trailers"], WHOLE["interim heads"]])
    )
    cut = data.draw(st.integers(0, len(answer)))

    async def main() -> None:
        async with (
            Misbehaving([ReadRequest(), answer[:cut], Close()]) as server,
            HttpClient(egress=EgressPolicy(allow=("127.0.0.1",))) as http,
        ):
            try:
                got = await (await http.send(Request("POST", server.url, body=b"x"))).read(1000)
            except UpstreamDisconnected:
                assert cut < len(answer)
            else:
                assert got == body
                assert cut == len(answer)

    asyncio.run(main())
