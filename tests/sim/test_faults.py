"""Each fault breaks what its name says, once, and bills what it says."""

import asyncio
import contextlib
import json
from typing import Any

import openai
import pytest

from mooring.sim import SimServer
from mooring.sim.faults import KINDS

from .conftest import RawClient, chat_body, connect, events_of, sdk


async def _spoilt(sim: SimServer, kind: str, *, stream: bool, **options: Any) -> tuple[bytes, BaseException | None]:
    """All bytes that come, and how the connection ended."""
    sim.fault(kind, **options)  # type: ignore[arg-type]
    async with connect(sim) as raw:
        fields: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        raw.send("POST", "/v1/chat/completions", chat_body("writer", **fields), [("connection", "close")])
        data = b""
        try:
            while part := await raw.reader.read(65536):
                data += part
        except ConnectionResetError as error:
            return data, error
        return data, None


def _body(data: bytes) -> bytes:
    """The body behind a chunked or counted head."""
    head, _, rest = data.partition(b"\r\n\r\n")
    if b"chunked" not in head:
        return rest
    body = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        if int(size, 16) == 0:
            return body
        body += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_after_a_fault_the_model_is_well_again(kind: str, stream: bool) -> None:
    async def go() -> None:
        async with SimServer() as sim:
            await _spoilt(sim, kind, stream=stream, wait_seconds=0, pace_ms=0)
            assert await _honest(sim)
            assert json.loads(sim.meter.as_json())[-1]["is_finished"]

    asyncio.run(go())


async def _honest(sim: SimServer) -> bool:
    async with connect(sim) as raw:
        status, _, body = await raw.chat("writer")
        return status == 200 and bool(json.loads(body)["usage"])


@pytest.mark.parametrize("kind", ["status", "html", "error_200", "close_before_headers"])
def test_what_was_never_generated_is_free(kind: str) -> None:
    async def go() -> None:
        async with SimServer() as sim:
            await _spoilt(sim, kind, stream=False)
            assert not sim.meter.rows
            await _spoilt(sim, kind, stream=False, is_billed=True)
            assert sim.meter.rows[0].is_finished

    asyncio.run(go())


@pytest.mark.parametrize("kind", ["reset_before_headers", "garbage", "empty_stream", "flood", "reset_after_headers"])
def test_what_was_generated_and_lost_is_billed_whole(kind: str) -> None:
    async def go() -> None:
        async with SimServer() as sim:
            await _spoilt(sim, kind, stream=True)
            assert await _honest(sim)
            lost, honest = sim.meter.rows
            assert (lost.cost_nanos, lost.is_finished) == (honest.cost_nanos, True)
            assert not lost.disconnected

    asyncio.run(go())


def test_a_status_comes_with_its_body_headers_and_retry_after() -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            sim.fault("status", status=429, retry_after="3", headers={"x-more": "1\r\nx-evil: 2"}, body="slow down")
            status, headers, body = await raw.chat()
            assert (status, headers["retry-after"], headers["x-more"]) == (429, "3", "1  x-evil: 2")
            assert body == b"slow down"

    asyncio.run(go())


def test_the_sdk_sees_a_status_as_its_own_error_and_retries_it() -> None:
    async def go() -> None:
        async with SimServer() as sim, sdk(sim) as client:
            sim.fault("status", status=500)
            with pytest.raises(openai.InternalServerError):
                await client.chat.completions.create(**chat_body())
            patient = client.with_options(max_retries=1)
            sim.fault("status", status=503, headers={"retry-after-ms": "1"}, model="echo")
            answer = await patient.chat.completions.create(**chat_body())
            assert answer.choices[0].message.content == "hello"

    asyncio.run(go())


@pytest.mark.parametrize(
    ("kind", "is_reset"),
    [("reset_before_headers", True), ("close_before_headers", False), ("reset_after_headers", True)],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_connection_ends_before_any_content(kind: str, is_reset: bool, stream: bool) -> None:
    async def go() -> None:
        async with SimServer() as sim:
            data, error = await _spoilt(sim, kind, stream=stream)
            assert (error is not None) is is_reset
            if kind == "reset_after_headers":
                assert data == b"" or data.endswith(b"\r\n\r\n")  # a reset may overtake what was sent
            else:
                assert data == b""

    asyncio.run(go())


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_cut_in_the_middle_of_a_chunk(stream: bool) -> None:
    async def go() -> None:
        async with SimServer() as sim:
            data, error = await _spoilt(sim, "close_mid_chunk", stream=stream, after_events=3)
            assert error is None
            assert b"200 OK" in data
            assert not data.endswith(b"0\r\n\r\n")
            row = sim.meter.rows[0]
            assert row.is_finished is not stream
            assert not row.disconnected
            _, error = await _spoilt(sim, "reset_mid_chunk", stream=stream)
            assert error is not None

    asyncio.run(go())


def test_a_stream_ends_early_with_a_good_terminator_but_no_finish() -> None:
    async def go() -> None:
        async with SimServer() as sim:
            events = events_of(_body((await _spoilt(sim, "early_end", stream=True, after_events=4))[0]))
            assert len(events) == 5
            assert all(event["choices"][0]["finish_reason"] is None for event in events)

    asyncio.run(go())


def test_a_stream_that_was_cut_can_be_billed_whole_on_request() -> None:
    async def go() -> None:
        async with SimServer() as sim:
            await _spoilt(sim, "close_mid_stream", stream=True)
            await _spoilt(sim, "close_mid_stream", stream=True, is_billed=True)
            cut, drained = sim.meter.rows
            assert (cut.is_finished, drained.is_finished) == (False, True)
            assert cut.output_tokens < drained.output_tokens

    asyncio.run(go())


@pytest.mark.parametrize("kind", ["stall_first_byte", "stall_mid_stream"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_stall_stands_until_it_is_released(kind: Any, stream: bool) -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw, connect(sim) as other:
            planted = sim.fault(kind, release="gate")
            raw.send("POST", "/v1/chat/completions", chat_body("writer", stream=stream))
            await planted.reached.wait()
            assert sim.meter.rows[0].input_tokens > 0
            _, _, body = await other.ask("POST", "/control/release", {"release": "gate"})
            assert json.loads(body) == {"released": 1}
            status, headers = await raw.head()
            assert status == 200
            assert await raw.body(headers)
            assert sim.meter.rows[0].is_finished

    asyncio.run(go())


def test_one_byte_at_a_time_and_split_characters_are_the_same_bytes_in_the_end() -> None:
    async def go() -> None:
        async with SimServer(seed=1) as sim:
            for stream in (False, True):
                texts = []
                for kind in ("slow", "one_byte", "split_utf8"):
                    data, _ = await _spoilt(sim, kind, stream=stream, pace_ms=0)
                    texts.append(_text(_body(data), stream=stream))
                assert texts[0] == texts[1] == texts[2]
                assert "横浜" in texts[0]

    asyncio.run(go())


def test_split_characters_really_are_split() -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            sim.fault("split_utf8")
            raw.send("POST", "/v1/chat/completions", chat_body("echo", "横浜", stream=True))
            await raw.head()
            broken = 0
            async for part in raw.chunks():
                try:
                    part.decode()
                except UnicodeDecodeError:
                    broken += 1
            assert broken == 3

    asyncio.run(go())


def _text(body: bytes, *, stream: bool) -> str:
    if not stream:
        return str(json.loads(body)["choices"][0]["message"]["content"])
    deltas = [event["choices"][0]["delta"] for event in events_of(body)[:-2]]
    return "".join(delta.get("content") or "" for delta in deltas)


def test_usage_is_left_out_or_wrong_while_the_meter_is_right() -> None:
    async def go() -> None:
        async with SimServer() as sim:
            for stream in (False, True):
                absent = _usage(_body((await _spoilt(sim, "no_usage", stream=stream))[0]), stream=stream)
                assert absent is None
                wrong = _usage(_body((await _spoilt(sim, "wrong_usage", stream=stream))[0]), stream=stream)
                assert wrong is not None
                assert wrong["completion_tokens"] < 0
                chosen = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
                given = await _spoilt(sim, "wrong_usage", stream=stream, usage=chosen)
                assert _usage(_body(given[0]), stream=stream) == chosen
            assert len({row.cost_nanos for row in sim.meter.rows}) == 1

    asyncio.run(go())


def _usage(body: bytes, *, stream: bool) -> Any:
    events = events_of(body)[:-1] if stream else [json.loads(body)]
    return next((event["usage"] for event in events if event.get("usage")), None)


def test_other_broken_streams_are_broken_as_they_say() -> None:
    async def go() -> None:
        async with SimServer() as sim:
            done = b"data: [DONE]"
            assert done not in (await _spoilt(sim, "no_done", stream=True))[0]
            assert _body((await _spoilt(sim, "empty_stream", stream=True))[0]) == b""
            assert b"text/plain" in (await _spoilt(sim, "wrong_content_type", stream=True))[0]
            assert b"data: {not json}" in _body((await _spoilt(sim, "malformed_sse", stream=True))[0])
            error = events_of(_body((await _spoilt(sim, "error_event", stream=True))[0]))[-1]
            assert error["error"]["type"] == "server_error"
            assert b"zz\r\n" in (await _spoilt(sim, "bad_chunk", stream=True))[0]
            with pytest.raises(json.JSONDecodeError):
                events_of(_body((await _spoilt(sim, "truncated_json", stream=True))[0]))
            with pytest.raises(UnicodeDecodeError):
                _body((await _spoilt(sim, "garbage", stream=True))[0]).decode()
            assert not (await _spoilt(sim, "garbage_http", stream=True))[0].startswith(b"HTTP")
            assert len(_body((await _spoilt(sim, "flood", stream=True, size_bytes=300_000))[0])) > 300_000
            head = (await _spoilt(sim, "flood_headers", stream=True, size_bytes=300_000))[0]
            assert head.index(b"\r\n\r\n") > 300_000

    asyncio.run(go())


def test_odd_but_legal_http_still_carries_the_whole_answer() -> None:
    async def go() -> None:
        async with SimServer() as sim:
            for stream in (False, True):
                data = (await _spoilt(sim, "informational", stream=stream))[0]
                first, _, rest = data.partition(b"\r\n\r\n")
                assert first.startswith(b"HTTP/1.1 103 ")
                assert _text(_body(rest), stream=stream)
                data = (await _spoilt(sim, "close_delimited", stream=stream))[0]
                assert b"chunked" not in data
                assert b"content-length" not in data
                assert _text(data.partition(b"\r\n\r\n")[2], stream=stream)

    asyncio.run(go())


def test_faults_come_in_order_a_models_own_first_and_over_http() -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            orders = [
                {"kind": "status", "status": 500, "model": "*"},
                {"kind": "status", "status": 501, "model": "echo-a", "times": 2},
                {"kind": "status", "status": 502, "model": "echo-a"},
            ]
            assert json.loads((await raw.ask("POST", "/control", orders))[2]) == {"queued": 3}
            assert len(json.loads((await raw.ask("GET", "/control"))[2])) == 3
            seen = [(await raw.chat("echo-a"))[0] for _ in range(5)]
            assert seen == [501, 501, 502, 500, 200]
            await raw.ask("POST", "/control", orders[0])
            await raw.ask("DELETE", "/control")
            assert (await raw.chat("echo-b"))[0] == 200

    asyncio.run(go())


@pytest.mark.parametrize(
    "order", [{"kind": "earthquake"}, {"kind": "status", "stauts": 500}, 7, {"kind": "slow", "times": 0}]
)
def test_an_order_that_cannot_be_understood_is_refused(order: Any) -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            status, _, body = await raw.ask("POST", "/control", order)
            assert status == 400
            assert "fault" in json.loads(body)["error"]["message"]

    asyncio.run(go())


def test_closing_after_an_answer_gives_no_notice() -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            sim.fault("close_after")
            status, headers, _ = await raw.chat()
            assert status == 200
            assert "connection" not in headers
            assert await raw.reader.read() == b""

    asyncio.run(go())


async def _effect(raw: RawClient, name: str, key: str | None, body: Any) -> tuple[int, dict[str, str], bytes]:
    return await raw.ask("POST", f"/effects/{name}", body, [("idempotency-key", key)] if key else [])


def test_an_effect_happens_once_per_key_and_each_time_without_one() -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            first = await _effect(raw, "refund", "k1", {"order": 81})
            again = await _effect(raw, "refund", "k1", {"order": 81})
            assert first[2] == again[2]
            assert (first[1]["idempotent-replayed"], again[1]["idempotent-replayed"]) == ("false", "true")
            assert (await _effect(raw, "refund", "k1", {"order": 82}))[0] == 409
            await _effect(raw, "mail", None, {})
            await _effect(raw, "mail", None, {})
            listing = json.loads((await raw.ask("GET", "/effects"))[2])
            assert listing["counts"] == {"refund": 1, "mail": 2}
            assert listing["effects"][0]["requests"] == 2
            assert json.loads(listing["effects"][0]["body"]) == {"order": 81}

    asyncio.run(go())


def test_an_effect_may_happen_though_its_answer_is_lost() -> None:
    async def go() -> None:
        async with SimServer() as sim:
            for kind, count in (("reset_before_headers", 1), ("status", 1), ("close_before_headers", 1)):
                sim.fault(kind, model="effects/pay")  # type: ignore[arg-type]
                async with connect(sim) as raw:
                    raw.send("POST", "/effects/pay", {}, [("idempotency-key", "k")])
                    with contextlib.suppress(ConnectionResetError):
                        await raw.reader.read(1)
                assert sim.effects.count("pay") == count

    asyncio.run(go())
