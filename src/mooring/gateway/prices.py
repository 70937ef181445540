"""What a model costs: the config's figures first, then genai-prices of the hour, resolved once per model and half hour.

An unknown price is never zero: it is None here, and the policy decides.
"""

from datetime import datetime
from decimal import Decimal
from importlib.metadata import version
from typing import Any

import msgspec

from mooring.core.clock import to_datetime
from mooring.core.money import Price, nanos, picos_per_token
from mooring.core.registry import late
from mooring.core.usage import Usage

from .config import PriceConfig
from .provider import Vendor

_SPAN_US = 1_800_000_000  # prices by the time of day (DeepSeek) change at full and half hours of UTC
_PARTS = {
    "input_picos": "input_mtok",
    "output_picos": "output_mtok",
    "cached_input_picos": "cache_read_mtok",
    "cache_write_picos": "cache_write_mtok",
    "input_audio_picos": "input_audio_mtok",
    "output_audio_picos": "output_audio_mtok",
}


class PriceSheet(msgspec.Struct, frozen=True):
    """A model's price by the size of its input: `tiers` are (input tokens above which it holds, price), rising."""

    base: Price
    tiers: tuple[tuple[int, Price], ...] = ()

    def at(self, input_tokens: int) -> Price:
        """The price of a request with so many input tokens; the tier holds for all of its tokens."""
        price = self.base
        for start, tier in self.tiers:
            if input_tokens > start:
                price = tier
        return price

    def cost_nanos(self, usage: Usage) -> int:
        """What an attempt cost."""
        return self.at(usage.input_tokens).cost_nanos(usage)

    def most_nanos(self, input_tokens: int, output_tokens: int) -> int:
        """The most that an attempt can cost, whatever tier it ends up in."""
        if not self.tiers:
            return self.base.most_nanos(input_tokens, output_tokens)
        prices = [self.base, *(tier for start, tier in self.tiers if input_tokens > start)]
        return max(price.most_nanos(input_tokens, output_tokens) for price in prices)


class Prices:
    """Looks prices up and remembers them for half an hour."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, int, bool], PriceSheet | None] = {}
        self._source = f"genai-prices {version('genai-prices')}"

    def find(self, vendor: Vendor, model: str, at_us: int, *, has_output: bool = True) -> PriceSheet | None:
        """The sheet of a provider's model, or None where nobody knows it; an embedding's needs no price of output."""
        place = (vendor.name, model, at_us // _SPAN_US, has_output)
        if place not in self._known:
            if len(self._known) > 10_000:
                self._known.clear()
            self._known[place] = self._resolve(vendor, model, to_datetime(at_us), has_output)
        return self._known[place]

    def _resolve(self, vendor: Vendor, model: str, moment: datetime, has_output: bool) -> PriceSheet | None:
        configured = _configured(vendor.config.prices, model)
        if configured is not None:
            return PriceSheet(_price_of(configured))
        if vendor.is_free:
            return PriceSheet(Price(source="free"))
        if vendor.price_provider is None:
            return None
        try:
            snapshot = late("genai_prices.data_snapshot").get_snapshot()  # 0.5 s: only vendors with a list need it
            _, info = snapshot.find_provider_model(model, None, vendor.price_provider, None)
        except LookupError:
            return None
        return _sheet_of(info.get_prices(moment), self._source, has_output)


def _configured(prices: dict[str, PriceConfig], model: str) -> PriceConfig | None:
    """The exact name, else the longest `name` before a `-`, else `*`."""
    name = model
    while name:
        if name in prices:
            return prices[name]
        name = name.rpartition("-")[0]
    return prices.get("*")


def _price_of(config: PriceConfig) -> Price:
    def picos(usd: str | None) -> int | None:
        return None if usd is None else picos_per_token(usd)

    return Price(
        input_picos=picos_per_token(config.input_usd),
        output_picos=picos_per_token(config.output_usd),
        cached_input_picos=picos(config.cached_input_usd),
        cache_write_picos=picos(config.cache_write_usd),
        reasoning_picos=picos(config.reasoning_usd),
        request_nanos=nanos(config.request_usd),
        source=config.source,
    )


def _sheet_of(found: Any, source: str, has_output: bool) -> PriceSheet | None:
    values = {part: getattr(found, name, None) for part, name in _PARTS.items()}
    if values["input_picos"] is None or (values["output_picos"] is None and has_output):
        return None
    starts = sorted({tier.start for value in values.values() for tier in getattr(value, "tiers", ())})

    def price(input_tokens: int) -> Price:
        picos = {part: picos_per_token(_at(value, input_tokens)) for part, value in values.items() if value is not None}
        per_request = getattr(found, "requests_kcount", None)
        request_nanos = nanos(_at(per_request, input_tokens) / 1000) if per_request is not None else 0
        return Price(**picos, request_nanos=request_nanos, source=source)

    return PriceSheet(price(0), tuple((start, price(start + 1)) for start in starts))


def _at(value: Any, input_tokens: int) -> Decimal:
    chosen = getattr(value, "base", value)
    for tier in getattr(value, "tiers", ()):
        if input_tokens > tier.start:
            chosen = tier.price
    return Decimal(chosen)
