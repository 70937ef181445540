"""Streams, end to end: bytes as they came, the result before the end, every break an error."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mooring.core import ids
from mooring.gateway.config import GatewayConfig, ModelConfig

from .house import House, default_config, house, read, say


def test_a_stream_passes_as_it_came_with_its_cost_before_the_end(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            answer = await home.ask(say("hello there", stream=True))
            assert answer.content_type.startswith("text/event-stream")
            assert answer.stream_text == "hello there"
            call = ids.read("call", answer.headers["x-mooring-call"])
            record = await home.journal.get_call("default", call)
            end = answer.body.decode().rpartition("\n\n:")[2]
            assert end == (
                f" mooring call={answer.headers['x-mooring-call']} cost_usd=0.{record.settled_nanos:09d}\n\n"
                "data: [DONE]\n\n"
            )
            assert await home.journal.get_body("default", call) == answer.body
            assert await home.bill() == (await home.meter(), 0)

    asyncio.run(scene())


def test_the_terminal_event_comes_after_the_result_is_committed(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            outbound = await home.gateway.chat(home.inbound(say("hello there", stream=True)))
            assert not isinstance(outbound.body, bytes)
            async for data in outbound.body:
                (call,) = await home.journal.list_calls("default")
                assert (call.state == "completed") == (b"[DONE]" in data)

    asyncio.run(scene())


@pytest.mark.parametrize("wants", [True, False])
def test_usage_is_always_asked_for_and_shown_only_to_those_who_asked(tmp_path: Path, wants: bool) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            more = {"stream_options": {"include_usage": True}} if wants else {}
            answer = await home.ask(say("hello there", stream=True, **more))
            sent = msgspec.json.decode(home.sim.requests[-1].body)
            assert sent["stream_options"] == {"include_usage": True}
            chunks = [msgspec.json.decode(data) for data in answer.data[:-1]]
            assert any(chunk.get("usage") for chunk in chunks) == wants
            assert all(("usage" in chunk) == wants for chunk in chunks)

    asyncio.run(scene())


def test_tool_calls_stream_through_with_their_indexes(tmp_path: Path) -> None:
    tools = [
        {"type": "function", "function": {"name": name, "description": "x", "parameters": {"type": "object"}}}
        for name in ("one", "two")
    ]

    async def scene() -> None:
        async with house(tmp_path) as home:
            answer = await home.ask(say("go", model="sim/agent-parallel", tools=tools, stream=True))
            assert answer.data[-1] == "[DONE]"
            chunks = [msgspec.json.decode(data) for data in answer.data[:-1]]
            names = {
                call["index"]: call["function"]["name"]
                for chunk in chunks
                for choice in chunk["choices"]
                for call in choice["delta"].get("tool_calls") or ()
                if call.get("function", {}).get("name")
            }
            assert names == {0: "one", 1: "two"}
            assert await home.bill() == (await home.meter(), 0)

    asyncio.run(scene())


def test_several_choices_stream_through_and_are_paid(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            answer = await home.ask(say("a b c", n=3, stream=True))
            assert answer.data[-1] == "[DONE]"
            assert await home.bill() == (await home.meter(), 0)

    asyncio.run(scene())


BREAKS = [
    "reset_mid_chunk", "close_mid_chunk", "close_mid_stream", "early_end", "error_event", "bad_chunk", "truncated_json",
    "malformed_sse", "early_done",
]  # fmt: skip


@pytest.mark.parametrize("kind", BREAKS)
@pytest.mark.parametrize("key", [None, "k1"])
def test_a_stream_that_breaks_ends_with_an_error_and_never_with_done(
    tmp_path: Path, kind: str, key: str | None
) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            home.sim.fault(kind, after_events=2)  # type: ignore[arg-type]
            headers = {"idempotency_key": key} if key else {}
            body = say("one two three four five six seven eight", stream=True)
            answer = await home.ask(body, **headers)
            assert answer.status == 200
            assert "[DONE]" not in answer.data
            assert msgspec.json.decode(answer.data[-1])["error"]["code"].startswith("upstream_")
            (call,) = await home.journal.list_calls("default")
            assert call.state == "failed"
            settled, held = await home.bill()
            assert settled <= await home.meter() <= settled + held
            if key:  # it was paid, or may have been: the key answers with the same error
                again = await home.ask(body, **headers)
                assert (again.body, again.headers["x-mooring-replayed"]) == (answer.body, "true")
                assert len(home.sim.requests) == 1
            await home.reconcile()
            assert await home.bill() == (await home.meter(), 0)

    asyncio.run(scene())


def test_an_answer_that_has_ended_is_whole_although_its_end_is_missing(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            home.sim.fault("no_done")
            answer = await home.ask(say("one two three", stream=True))
            assert (answer.stream_text, answer.data[-1]) == ("one two three", "[DONE]")
            home.sim.fault("no_done")
            answer = await home.ask(say("one two three", stream=True, n=2))
            assert answer.data[-1] == "[DONE]"
            assert await home.bill() == (await home.meter(), 0)

    asyncio.run(scene())


@pytest.mark.parametrize("kind", ["close_mid_stream", "reset_mid_chunk", "early_end", "early_done", "error_event"])
def test_a_stream_that_breaks_before_its_first_token_is_answered_by_the_next_target(tmp_path: Path, kind: str) -> None:
    def config(url: str) -> GatewayConfig:
        return default_config(url, models={"fast": ModelConfig(targets=("sim/echo-a", "sim/echo-b"))})

    async def scene() -> None:
        async with house(tmp_path, config=config) as home:
            home.sim.fault(kind, model="echo-a", after_events=0, times=2)  # type: ignore[arg-type]
            answer = await home.ask(say("one two three", model="fast", stream=True))
            assert (answer.stream_text, answer.data[-1]) == ("one two three", "[DONE]")
            settled, held = await home.bill()
            assert settled <= await home.meter() <= settled + held

    asyncio.run(scene())


def test_an_idle_stream_is_ended_by_its_deadline(tmp_path: Path) -> None:
    def config(url: str) -> GatewayConfig:
        plain = default_config(url)
        provider = plain.providers["sim"].model_copy(update={"idle_seconds": 0.05})
        return plain.model_copy(update={"providers": {"sim": provider}})

    async def scene() -> None:
        async with house(tmp_path, config=config) as home:
            home.sim.fault("stall_mid_stream", after_events=2)
            answer = await home.ask(say("one two three four", stream=True))
            assert msgspec.json.decode(answer.data[-1])["error"]["code"] == "upstream_timeout"
            home.sim.faults.release()

    asyncio.run(scene())


@pytest.mark.parametrize("chunks", [0, 1, 3])
def test_a_caller_who_hangs_up_is_billed_what_was_metered_or_it_stays_held(tmp_path: Path, chunks: int) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            outbound = await home.gateway.chat(
                home.inbound(say("tell me", model="sim/writer-60words-1ms", stream=True))
            )
            body: Any = outbound.body
            for _ in range(chunks):
                await anext(body)
            await body.aclose()
            (call,) = await home.journal.list_calls("default")
            assert (call.state, call.error_code) == ("failed", "upstream_disconnected")
            await closed(home)
            settled, held = await home.bill()
            assert settled <= await home.meter() <= settled + held
            await home.reconcile()
            assert await home.bill() == (await home.meter(), 0)

    asyncio.run(scene())


async def closed(home: House) -> None:
    """Until the double has noticed that its caller is gone."""
    async with asyncio.timeout(120):
        if not all(row.disconnected or row.is_finished for row in home.sim.meter.rows):
            await home.sim.meter.wait(lambda row: True)


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_hang_up_that_the_server_sees_cancels_the_call(tmp_path: Path, is_stream: bool) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            gone = asyncio.Event()
            inbound = home.inbound(say("tell me", model="sim/writer-400words-5ms", stream=is_stream))
            inbound = type(inbound)(
                caller=inbound.caller, body=inbound.body, headers=inbound.headers, disconnected=gone.wait
            )
            loop = asyncio.get_running_loop()
            loop.call_later(0.15, gone.set)
            outbound = await home.gateway.chat(inbound)
            if is_stream:
                answer = await read(outbound)
                assert "[DONE]" not in answer.data
            else:
                assert outbound.status == 499
            await closed(home)
            assert home.sim.meter.rows[0].disconnected
            settled, held = await home.bill()
            assert settled <= await home.meter() <= settled + held
            await home.reconcile()
            assert await home.bill() == (await home.meter(), 0)

    asyncio.run(scene())


def test_a_cancelled_caller_leaves_no_attempt_without_a_result(tmp_path: Path) -> None:
    """Cancelled at ever later moments: before the intent, in its commit, before the answer, in its commit."""

    async def scene() -> None:
        async with house(tmp_path) as home:
            for turns in range(0, 60, 3):
                task = asyncio.create_task(home.ask(say(f"hello {turns}")))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await home.gateway.aclose()
            for call in await home.journal.list_calls("default"):
                assert call.state in ("completed", "failed")
                for attempt in await home.journal.attempts("default", call.id):
                    assert attempt.outcome in ("completed", "failed")
            settled, held = await home.bill()
            assert settled <= await home.meter() <= settled + held
            await home.reconcile()
            assert await home.bill() == (await home.meter(), 0)

    asyncio.run(scene())


SECRET = "sk-" + "a" * 48


def masked(**more: Any) -> tuple[dict[str, Any], ...]:
    return ({"type": "secrets_mask", **more},)


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_secret_in_an_answer_is_masked_however_it_is_cut(tmp_path: Path, is_stream: bool) -> None:
    async def scene() -> None:
        async with house(tmp_path, checks=masked(stages=("output",))) as home:
            answer = await home.ask(say(f"my key is {SECRET} ok", stream=is_stream))
            text = answer.stream_text if is_stream else answer.text
            assert SECRET not in answer.body.decode()
            assert text.startswith("my key is ")
            assert text.endswith(" ok")
            (call,) = await home.journal.list_calls("default")
            assert call.attributes["guards"][0]["action"] == "mask"
            assert await home.bill() == (await home.meter(), 0)

    asyncio.run(scene())


def test_a_secret_in_a_request_never_reaches_the_provider_nor_the_journal(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path, checks=masked(stages=("input",))) as home:
            answer = await home.ask(say(f"my key is {SECRET}", custom=1))
            assert answer.status == 200
            sent = home.sim.requests[-1].body
            assert SECRET.encode() not in sent
            assert msgspec.json.decode(sent)["custom"] == 1
            (call,) = await home.journal.list_calls("default")
            body, _ = await home.journal.get_request("default", call.id)
            assert SECRET.encode() not in body

    asyncio.run(scene())


def test_a_blocked_request_is_recorded_and_never_paid(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(
            tmp_path, checks=({"type": "size_limit", "stages": ("input",), "max_request_bytes": 150},)
        ) as home:
            answer = await home.ask(say("x" * 200))
            assert (answer.status, answer.json["error"]["code"]) == (400, "content_blocked")
            assert not home.sim.requests
            (call,) = await home.journal.list_calls("default")
            assert (call.state, call.settled_nanos) == ("blocked", 0)

    asyncio.run(scene())
