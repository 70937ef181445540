"""What is written to Anthropic's cache for an hour costs twice the input: held, and billed to the nano-dollar."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from .test_anthropic_messages import say
from .wires import ask, wires


def marked(text: str) -> dict[str, Any]:
    block = {"type": "text", "text": text, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    messages = [{"role": "user", "content": [block, {"type": "text", "text": "Go on."}]}]
    return say("", "anthropic/writer", messages=messages, max_tokens=1)


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("is_budgeted", [False, True])
def test_an_hours_cache_is_held_at_its_price_and_billed_as_the_vendor_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_stream: bool, is_budgeted: bool
) -> None:
    async def scene() -> None:
        async with wires(tmp_path, monkeypatch) as made:
            if is_budgeted:
                await made.journal.put_budget("default", scope="project", subject="", window="total", cap_nanos=10**12)
            answer = await ask(made, "anthropic_messages", {**marked("word " * 3000), "stream": is_stream})
            assert answer.status == 200
            (call,) = await made.journal.list_calls("default", limit=1)
            (attempt,) = await made.journal.attempts("default", call.id)
            assert attempt.usage is not None
            assert attempt.usage.cache_write_tokens > 3000
            assert await made.bill() == (await made.meter(), 0)

    asyncio.run(scene())


def test_a_stream_cut_after_it_was_written_costs_no_more_than_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with wires(tmp_path, monkeypatch) as made:
            made.sim.fault("close_mid_stream", model="writer")
            await ask(made, "anthropic_messages", {**marked("1234 " * 3000), "stream": True})
            settled, held = await made.bill()
            assert settled <= await made.meter() <= settled + held

    asyncio.run(scene())
