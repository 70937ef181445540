"""Prices: the config's first, then the dated list; unknown is None and never zero."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.core.money import Price
from mooring.core.usage import Usage
from mooring.gateway.config import PriceConfig, ProviderConfig
from mooring.gateway.prices import Prices, PriceSheet
from mooring.gateway.provider import Vendor, registry

NOVEMBER_2026_US = 1_795_500_000_000_000


def vendor(kind: str = "openai", **prices: PriceConfig) -> Vendor:
    config = ProviderConfig(type=kind, base_url="http://127.0.0.1/v1", api_key="file:/dev/null", prices=prices)
    return registry.get(kind)("it", config)


def test_a_listed_model_has_its_list_price_in_whole_picos() -> None:
    sheet = Prices().find(vendor(), "gpt-5-mini", NOVEMBER_2026_US)
    assert sheet is not None
    assert (sheet.base.input_picos, sheet.base.output_picos, sheet.base.cached_input_picos) == (
        250_000,
        2_000_000,
        25_000,
    )
    assert sheet.base.source.startswith("genai-prices ")
    assert sheet.cost_nanos(Usage(1000, 10, cached_input_tokens=400)) == 150_000 + 10_000 + 20_000


def test_the_configs_price_wins_by_exact_name_then_by_its_beginning_then_by_star() -> None:
    one, two, three = (PriceConfig(input_usd=figure) for figure in ("1", "2", "3"))
    account = vendor(**{"gpt-5-mini": one, "gpt-5": two, "*": three})
    prices = Prices()
    found = [prices.find(account, name, NOVEMBER_2026_US) for name in ("gpt-5-mini", "gpt-5-nano-x", "other")]
    assert [sheet.base.input_picos for sheet in found if sheet] == [1_000_000, 2_000_000, 3_000_000]
    assert found[0] is not None
    assert found[0].base.source == "mooring.toml"


@pytest.mark.parametrize("kind", ["openai", "openai_compatible", "sim"])
def test_a_model_that_nobody_knows_has_no_price(kind: str) -> None:
    assert Prices().find(vendor(kind), "no-such-model-at-all", NOVEMBER_2026_US) is None


def test_local_models_are_free_and_say_so() -> None:
    sheet = Prices().find(vendor("local"), "reader", NOVEMBER_2026_US)
    assert sheet == PriceSheet(Price(source="free"))


def test_a_tier_holds_for_all_tokens_and_the_bound_takes_the_dearest() -> None:
    sheet = PriceSheet(Price(10, 10), ((100, Price(30, 5)),))
    assert sheet.at(100) == sheet.base
    assert sheet.cost_nanos(Usage(200_000, 0)) == 6000
    assert (
        sheet.most_nanos(200_000, 1_000_000) == max(200_000 * 30 + 1_000_000 * 5, 200_000 * 10 + 1_000_000 * 10) // 1000
    )
    assert sheet.most_nanos(100, 100) == 2


def test_a_figure_is_decimal_text_and_exact() -> None:
    account = vendor("sim", echo=PriceConfig(input_usd="0.049997", request_usd="0.01"))
    sheet = Prices().find(account, "echo", NOVEMBER_2026_US)
    assert sheet is not None
    assert Decimal(sheet.base.input_picos) == Decimal("49997")
    assert sheet.base.request_nanos == 10_000_000


def test_a_price_by_the_time_of_day_is_that_of_the_half_hour() -> None:
    # DeepSeek's night on its list: 16:30 to 00:30 UTC, at half the price.
    account, prices = vendor("deepseek"), Prices()
    midnight_us = NOVEMBER_2026_US // 86_400_000_000 * 86_400_000_000
    found = [prices.find(account, "deepseek-chat", midnight_us + minute * 60_000_000) for minute in (989, 990)]
    assert [sheet.base.input_picos for sheet in found if sheet] == [270_000, 135_000]


@given(st.integers(1, 10**7), st.integers(0, 10**7), st.integers(0, 10**6), st.integers(0, 10**6), st.booleans())
def test_what_an_hours_cache_costs_is_held_and_what_is_mixed_stays_held(
    picos: int, listed: int, written: int, other: int, is_pure: bool
) -> None:
    price = Price(picos, 3, cache_write_picos=listed)
    sheet = PriceSheet(price, ((1000, price),)).for_an_hour()
    usage = Usage(written + other, 5, cache_write_tokens=written, hour_cache_write_tokens=written if is_pure else 0)
    cost = sheet.cost_nanos(usage)
    vendors = -(-(written * 2 * picos + other * picos + 15) // 1000)
    assert sheet.most_nanos(usage.input_tokens, 5) >= vendors
    assert (cost is None) == (not is_pure and written > 0)
    if cost is not None and listed <= 2 * picos:
        assert cost == vendors


def test_a_listed_price_does_not_price_an_hours_cache() -> None:
    sheet = PriceSheet(Price(10, 10, cache_write_picos=12))
    assert sheet.cost_nanos(Usage(9, 1, cache_write_tokens=5, hour_cache_write_tokens=5)) is None
    assert sheet.cost_nanos(Usage(9, 1, cache_write_tokens=5)) == 1


@pytest.mark.parametrize(
    ("model", "kind", "unit", "picos"),
    [
        ("tts-1", "speech", "character", 15_000_000),
        ("whisper-1", "transcription", "second", 100_000_000),
    ],
)
def test_what_is_not_sold_by_tokens_has_the_lists_price_of_its_unit(
    model: str, kind: Any, unit: str, picos: int
) -> None:
    sheet = Prices().find(vendor(), model, NOVEMBER_2026_US, kind=kind)
    assert sheet is not None
    assert (sheet.base.unit, sheet.base.unit_picos) == (unit, picos)


def test_images_sold_by_tokens_have_a_price_of_their_own_for_those_of_images() -> None:
    sheet = Prices().find(vendor(), "gpt-image-1", NOVEMBER_2026_US, kind="image")
    assert sheet is not None
    used = Usage(input_tokens=1_000_000, input_audio_tokens=400_000, output_tokens=1_000_000, units=1)
    assert sheet.cost_nanos(used) == (600_000 * 5 + 400_000 * 10 + 1_000_000 * 40) * 1_000
    assert sheet.cost_nanos(Usage(units=1)) is None  # it tells no tokens: nobody knows


def test_moderation_costs_nothing_where_its_vendor_says_so() -> None:
    sheet = Prices().find(vendor(), "omni-moderation-latest", NOVEMBER_2026_US, kind="moderation")
    assert sheet is not None
    assert sheet.cost_nanos(Usage(units=3)) == 0
