"""What recorded calls would have cost elsewhere: their own tokens, at other prices; what is not known is said."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.core.errors import NotFound
from mooring.core.money import Price
from mooring.core.usage import Usage
from mooring.gateway.config import GatewayConfig, ModelConfig
from mooring.gateway.prices import PriceSheet
from mooring.gateway.whatif import lines, sheet_by_hand, sheets_of, total_of
from mooring.journal.ledger import RecordedUsage

from .house import default_config, house, say


def test_at_its_own_price_a_call_costs_what_it_has_cost(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            for text, model in (
                ("one", "sim/writer"),
                ("one", "sim/writer"),
                ("two three", "sim/writer"),
                ("x", "sim/echo"),
            ):
                await home.ask(say(text, model=model))
            recorded, left_out = await home.journal.recorded_usage("default")
            sheets = sheets_of(default_config(home.sim.url), ["sim/writer", "sim/echo"], home.clock.now_us())
            writer, echo = lines(recorded, sheets)
            assert (writer.target, writer.attempts, left_out) == ("sim/writer", 3, 0)
            assert writer.would_be_nanos["sim/writer"] == writer.settled_nanos
            assert echo.would_be_nanos["sim/echo"] == echo.settled_nanos
            cheaper = total_of([writer, echo], "sim/echo")
            assert cheaper is not None
            assert cheaper < writer.settled_nanos + echo.settled_nanos == await home.meter()
            assert (await home.journal.recorded_usage("other"))[0] == []
            assert (await home.journal.recorded_usage("default", since_us=home.clock.now_us()))[0] == []
            assert (await home.journal.recorded_usage("default", user="nobody"))[0] == []

    asyncio.run(scene())


def test_what_was_cut_is_left_out_and_counted(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            home.sim.fault("close_mid_stream", model="writer", times=9)
            await home.ask(say("x", model="sim/writer", stream=True))
            recorded, left_out = await home.journal.recorded_usage("default")
            assert (recorded, left_out) == ([], 1)

    asyncio.run(scene())


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 50)), max_size=5))
def test_a_sum_is_that_of_its_attempts_each_rounded_by_itself(found: list[tuple[int, int, int]]) -> None:
    sheet = PriceSheet(Price(1_001, 3_003), ((1000, Price(2_002, 1)),))
    recorded = [RecordedUsage("a/b", times, 7, Usage(inputs, outputs)) for inputs, outputs, times in found]
    total = total_of(lines(recorded, {"x": sheet}), "x")
    assert total == sum(sheet.cost_nanos(Usage(one, two)) or 0 for one, two, times in found for _ in range(times))


def test_an_unknown_price_makes_the_sum_unknown_and_never_zero() -> None:
    recorded = [RecordedUsage("a/b", 1, 7, Usage(1, 1))]
    assert total_of(lines(recorded, {"x": None}), "x") is None
    by_unit = PriceSheet(Price(unit_picos=5, unit="image"))
    assert total_of(lines(recorded, {"x": by_unit}), "x") is None
    assert total_of(lines(recorded, {"x": sheet_by_hand("1", "2", None)}), "x") == 3000


def test_a_vendor_without_a_key_has_its_price_and_an_unknown_name_is_said() -> None:
    config = GatewayConfig(models={"fast": ModelConfig(targets=("openai/gpt-5-mini",))})
    named: dict[str, Any] = sheets_of(config, ["openai/gpt-5-mini", "fast", "openai/none-such"], 1_795_500_000_000_000)
    assert named["fast"] == named["openai/gpt-5-mini"]
    assert named["fast"].base.input_picos == 250_000
    assert named["openai/none-such"] is None
    for name in ("opnai/gpt-5-mini", "nothing", "openai/"):
        with pytest.raises(NotFound, match="There is no model"):
            sheets_of(config, [name], 0)
