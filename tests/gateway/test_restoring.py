"""Masked values, end to end: the provider and the journal see marks, the caller the values, every time."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mooring.core import ids
from mooring.gateway.keys import Caller

from .house import House, house, read, say

MAIL = "ada@example.com"
CHECKS: tuple[dict[str, Any], ...] = (
    {"type": "pii_mask", "credit_card": "block", "allow": [{"tool": "send_mail", "arguments": ["to"]}]},
)
TEXT = f"Write to {MAIL} today, it is {MAIL}."


async def stored(home: House, call: str) -> tuple[bytes, bytes, dict[str, Any]]:
    """What the journal holds of a call: request, answer, facts."""
    call_id = ids.read("call", call)
    record = await home.journal.get_call("default", call_id)
    request, _ = await home.journal.get_request("default", call_id)
    return request, await home.journal.get_body("default", call_id), record.attributes


@pytest.mark.parametrize("is_stream", [False, True])
def test_provider_and_journal_see_marks_and_the_caller_the_values(tmp_path: Path, is_stream: bool) -> None:
    async def scene() -> None:
        async with house(tmp_path, checks=CHECKS) as home:
            answer = await home.ask(say(TEXT, stream=is_stream))
            assert (answer.stream_text if is_stream else answer.text) == TEXT
            request, body, facts = await stored(home, answer.headers["x-mooring-call"])
            for seen in (home.sim.requests[-1].body, request, body):
                assert MAIL.encode() not in seen
                assert b"[EMAIL-" in seen
            assert MAIL not in repr(facts)
            assert [(guard["action"], guard["counts"]) for guard in facts["guards"]] == [
                ("mask", {"email": 2}),
                ("restore", {"email": 2}),
            ]
            assert await home.bill() == (await home.meter(), 0)

    asyncio.run(scene())


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_recorded_answer_comes_back_to_its_principal_byte_for_byte(tmp_path: Path, is_stream: bool) -> None:
    async def scene() -> None:
        async with house(tmp_path, checks=CHECKS) as home:
            first = await home.ask(say(TEXT, stream=is_stream), idempotency_key="k")
            again = await home.ask(say(TEXT, stream=is_stream), idempotency_key="k")
            assert again.headers["x-mooring-replayed"] == "true"
            assert again.body == first.body
            assert MAIL.encode() in again.body
            other = Caller("default", ("call",), api_key_id=b"b" * 16)
            theirs = await home.ask(say(TEXT, stream=is_stream), caller=other, idempotency_key="k")
            assert theirs.headers["x-mooring-replayed"] == "true"
            assert MAIL.encode() not in theirs.body
            assert len(home.sim.requests) == 1

    asyncio.run(scene())


def test_two_who_wait_for_one_call_each_see_their_own(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path, checks=CHECKS) as home:
            other = Caller("default", ("call",), api_key_id=b"b" * 16)
            mine, theirs = await asyncio.gather(
                home.ask(say(TEXT, stream=True), idempotency_key="k"),
                home.ask(say(TEXT, stream=True), caller=other, idempotency_key="k"),
            )
            assert mine.stream_text == TEXT
            assert MAIL not in theirs.stream_text
            assert len(home.sim.requests) == 1

    asyncio.run(scene())


def test_what_no_check_has_touched_passes_byte_for_byte(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path, checks=CHECKS) as home:
            answer = await home.ask(say("hello there", stream=True))
            _, body, facts = await stored(home, answer.headers["x-mooring-call"])
            assert body == answer.body
            assert facts == {}

    asyncio.run(scene())


def test_each_chunk_still_names_the_answer_and_its_model(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path, checks=CHECKS) as home:
            answer = await home.ask(say(TEXT, stream=True))
            chunks = [msgspec.json.decode(data) for data in answer.data if data != "[DONE]"]
            assert len({chunk["id"] for chunk in chunks}) == len({chunk["model"] for chunk in chunks}) == 1
            assert answer.data[-1] == "[DONE]"

    asyncio.run(scene())


def test_a_blocked_request_costs_nothing_and_its_value_is_nowhere(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path, checks=CHECKS) as home:
            card = "4111 1111 1111 1111"
            answer = await home.ask(say(f"my card {card}, my mail {MAIL}"))
            assert answer.status == 400
            assert not home.sim.requests
            (call,) = await home.journal.list_calls("default")
            assert call.state == "blocked"
            assert card not in repr(call)
            assert card.encode() not in answer.body

    asyncio.run(scene())


@pytest.mark.parametrize("is_stream", [False, True])
def test_another_wire_is_restored_in_its_own_events(tmp_path: Path, is_stream: bool) -> None:
    async def scene() -> None:
        async with house(tmp_path, checks=CHECKS) as home:
            body = {**say(TEXT, stream=is_stream), "max_tokens": 100}
            asked = [home.inbound(body, idempotency_key="k") for _ in range(2)]
            first, again = [await read(await home.gateway.ask(one, "anthropic_messages")) for one in asked]
            assert first.body == again.body
            assert MAIL.encode() not in home.sim.requests[-1].body
            if not is_stream:
                assert first.json["content"][0]["text"] == TEXT
                return
            events = [msgspec.json.decode(data) for data in first.data]
            kinds = [event["type"] for event in events]
            assert (
                "".join(event["delta"].get("text", "") for event in events if "text" in event.get("delta", {})) == TEXT
            )
            assert kinds[:2] == ["message_start", "content_block_start"]
            assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
            assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 1

    asyncio.run(scene())
