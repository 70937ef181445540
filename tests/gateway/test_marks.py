"""Marks of the cache that a route sets: where they stand, where they do not, and what they have saved."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.core.money import Price
from mooring.core.usage import Usage
from mooring.gateway.config import GatewayConfig, ModelConfig
from mooring.journal.savings import _saved_picos, savings

from .house import House, house
from .wires import KEY, ask, sent
from .wires import config as plain

LONG = "word " * 1000
MARK = {"type": "ephemeral"}


def config(url: str) -> GatewayConfig:
    models = {
        "marked": ModelConfig(targets=("anthropic/writer",), cache_marks=True),
        "other": ModelConfig(targets=("sim/writer",), cache_marks=True),
        "plain": ModelConfig(targets=("anthropic/writer",)),
    }
    return plain(url).model_copy(update={"models": models})


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_VENDOR_KEY", KEY)


def talk(*texts: str, model: str = "marked") -> dict[str, Any]:
    roles = ("user", "assistant")
    messages = [{"role": roles[place % 2], "content": text} for place, text in enumerate(texts)]
    return {"model": model, "max_tokens": 50, "system": "Be kind.", "messages": messages}


async def saved(home: House) -> Any:
    return await home.journal.read(lambda tx: savings(tx, "default", 0))


@pytest.mark.parametrize("wire", ["anthropic_messages", "openai_chat"])
def test_a_long_request_is_marked_behind_its_system_turn_and_its_last_message(tmp_path: Path, wire: str) -> None:
    async def scene() -> None:
        async with house(tmp_path, config=config) as home:
            body = talk(LONG)
            if wire == "openai_chat":
                body["messages"].insert(0, {"role": "system", "content": body.pop("system")})
            assert (await ask(home, wire, body)).status == 200
            asked = sent(home)
            assert asked["system"][-1]["cache_control"] == MARK
            assert asked["messages"][-1]["content"][-1]["cache_control"] == MARK
            assert await home.bill() == (await home.meter(), 0)

    asyncio.run(scene())


def test_whoever_marks_by_himself_a_short_request_another_wire_and_another_model_stay_as_they_are(
    tmp_path: Path,
) -> None:
    async def scene() -> None:
        async with house(tmp_path, config=config) as home:
            own = talk(LONG)
            own["system"] = [{"type": "text", "text": "Be kind.", "cache_control": MARK}]
            for body, count in (
                (own, 1),
                (talk("short"), 0),
                (talk(LONG, model="plain"), 0),
                (talk(LONG, model="other"), 0),
            ):
                assert (await ask(home, "anthropic_messages", body)).status == 200
                assert msgspec.json.encode(sent(home)).count(b"cache_control") == count

    asyncio.run(scene())


def test_what_was_read_and_written_tells_what_it_saved(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path, config=config) as home:
            await ask(home, "anthropic_messages", talk(LONG))
            first = await saved(home)
            assert first.lines[0].written_tokens > 1000
            assert first.saved_nanos < 0
            for _ in range(3):
                await ask(home, "anthropic_messages", talk(LONG, LONG, "And?"))
            (line,) = (await saved(home)).lines
            assert (line.target, line.attempts) == ("anthropic/writer", 4)
            assert line.saved_nanos > 0

    asyncio.run(scene())


@given(*[st.integers(0, 10**6)] * 5)
def test_what_is_saved_is_the_difference_to_plain_input(
    read: int, written: int, picos: int, less: int, more: int
) -> None:
    price = Price(picos, 1, cached_input_picos=less, cache_write_picos=more)
    usage = Usage(read + written, 0, cached_input_tokens=read, cache_write_tokens=written)
    without = Price(picos, 1).cost_nanos(usage) - price.cost_nanos(usage)
    assert abs(without - _saved_picos(price, read, written) / 1000) <= 1
