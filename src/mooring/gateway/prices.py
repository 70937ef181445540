"""What a model costs: the config's figures first, then genai-prices of the hour, resolved once per model and half hour.

An unknown price is never zero: it is None here, and the policy decides.
"""

from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from importlib.metadata import version
from typing import Any

import msgspec

from mooring.core.clock import to_datetime
from mooring.core.errors import BudgetExceeded
from mooring.core.money import NANOS_PER_USD, PICOS_PER_NANO, Price, nanos, picos_per_token
from mooring.core.registry import late
from mooring.core.usage import Usage

from .codecs import WITH_OUTPUT, Kind
from .config import PriceConfig
from .provider import Vendor

PICOS_PER_USD = PICOS_PER_NANO * NANOS_PER_USD
_SPAN_US = 1_800_000_000  # prices by the time of day (DeepSeek) change at full and half hours of UTC
_PARTS = {
    "input_picos": "input_mtok",
    "output_picos": "output_mtok",
    "cached_input_picos": "cache_read_mtok",
    "cache_write_picos": "cache_write_mtok",
    "input_audio_picos": "input_audio_mtok",
    "output_audio_picos": "output_audio_mtok",
}


# By what a kind of call is sold, where not by tokens; how the list calls its price, and for how many units that is.
_UNITS: dict[Kind, tuple[str, str, int]] = {
    "speech": ("character", "input_mchars", 1_000_000),
    "transcription": ("second", "audio_hours", 3_600),
    "image": ("image", "", 1),
    "rerank": ("search", "", 1),
    "moderation": ("text", "", 1),
}
_OF_IMAGES = {"input_audio_picos": "input_image_mtok", "output_audio_picos": "output_image_mtok"}
_PATH = "/"


class PriceSheet(msgspec.Struct, frozen=True):
    """A model's price by the size of its input: `tiers` are (input tokens above which it holds, price), rising.

    `most_units`: what one request can come to, where only its answer tells.
    """

    base: Price
    tiers: tuple[tuple[int, Price], ...] = ()
    most_units: int | None = None
    is_for_an_hour: bool = False

    def at(self, input_tokens: int) -> Price:
        """The price of a request with so many input tokens; the tier holds for all of its tokens."""
        price = self.base
        for start, tier in self.tiers:
            if input_tokens > start:
                price = tier
        return price

    def for_an_hour(self) -> "PriceSheet":
        """The sheet where the cache is kept for an hour, which costs twice the input and not its listed price.

        Source: Anthropic's prompt caching, "1-hour cache write tokens are 2 times the base input tokens price".
        """
        tiers = tuple((start, _for_an_hour(price)) for start, price in self.tiers)
        return PriceSheet(_for_an_hour(self.base), tiers, self.most_units, is_for_an_hour=True)

    def cost_nanos(self, usage: Usage) -> int | None:
        """What an attempt cost; None where what it tells is not what is priced here.

        That is: units of a model sold by tokens, or the other way round, and a cache that was written, all or in part,
        for another time.
        """
        price = self.at(usage.input_tokens)
        if price.unit_picos:
            return price.cost_nanos(usage) if usage.units else None
        is_by_tokens = price.input_picos or price.output_picos
        if usage.units and is_by_tokens and not (usage.input_tokens or usage.output_tokens):
            return None
        if usage.cache_write_tokens:
            priced = usage.cache_write_tokens if self.is_for_an_hour else 0
            if usage.hour_cache_write_tokens != priced:
                return None
        return price.cost_nanos(usage)

    def most_nanos(self, input_tokens: int, output_tokens: int, units: int = 0) -> int:
        """The most that an attempt can cost, whatever tier it ends up in."""
        if not self.tiers:
            return self.base.most_nanos(input_tokens, output_tokens, units)
        prices = [self.base, *(tier for start, tier in self.tiers if input_tokens > start)]
        return max(price.most_nanos(input_tokens, output_tokens, units) for price in prices)

    def most_units_of(self, told: int | None, *, is_bounded: bool) -> int:
        """The most units of a request that tells so many, or cannot tell.

        Raises:
            BudgetExceeded: a budget applies, and nobody knows how many.
        """
        found = self.most_units if told is None else told
        if found is None and is_bounded and self.base.unit_picos:
            raise BudgetExceeded(
                f"A budget applies, and nobody knows how many times a {self.base.unit} this will be.",
                hint="Set most_units beside its price, or call without a budget.",
            )
        return found or 0


class Prices:
    """Looks prices up and remembers them for half an hour."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, int, Kind, str], PriceSheet | None] = {}
        self._source = f"genai-prices {version('genai-prices')}"

    def find(
        self, vendor: Vendor, model: str, at_us: int, *, kind: Kind = "chat", variant: str = ""
    ) -> PriceSheet | None:
        """The sheet of a provider's model, or None where nobody knows it; an embedding's needs no price of output.

        A `variant` is looked up behind the model's name: `dall-e-3-1024x1792-hd`. The price of a passthrough is that
        of its path; what only reads or deletes is free.
        """
        place = (vendor.name, model, at_us // _SPAN_US, kind, variant)
        if place not in self._known:
            if len(self._known) > 10_000:
                self._known.clear()
            self._known[place] = self._resolve(vendor, model, to_datetime(at_us), kind, variant)
        return self._known[place]

    def context_tokens(self, vendor: Vendor, model: str) -> int | None:
        """The model's context, where the list knows it."""
        if vendor.price_provider is None:
            return None
        try:
            snapshot = late("genai_prices.data_snapshot").get_snapshot()
            _, info = snapshot.find_provider_model(model, None, vendor.price_provider, None)
        except LookupError:
            return None
        found: int | None = info.context_window
        return found

    def _resolve(self, vendor: Vendor, model: str, moment: datetime, kind: Kind, variant: str) -> PriceSheet | None:
        if kind == "passthrough":
            configured = _of_path(vendor.config.prices, f"/{model}")
        else:
            configured = _configured(vendor.config.prices, f"{model}-{variant}" if variant else model)
        if configured is not None:
            return PriceSheet(price_of(configured, kind), most_units=configured.most_units)
        if vendor.is_free or (kind == "passthrough" and variant == "read") or model.startswith(vendor.free_models):
            return PriceSheet(Price(source="free"))
        if kind == "passthrough":
            return None
        if vendor.price_provider is None:
            return None
        try:
            snapshot = late("genai_prices.data_snapshot").get_snapshot()  # 0.5 s: only vendors with a list need it
            _, info = snapshot.find_provider_model(model, None, vendor.price_provider, None)
        except LookupError:
            return None
        return _sheet_of(info.get_prices(moment), self._source, kind)


def _for_an_hour(price: Price) -> Price:
    written = max(2 * price.input_picos, price.cache_write_picos or 0)
    return msgspec.structs.replace(price, cache_write_picos=written)


def _configured(prices: dict[str, PriceConfig], model: str) -> PriceConfig | None:
    """The exact name, else the longest `name` before a `-`, else `*`."""
    name = model
    while name:
        if name in prices:
            return prices[name]
        name = name.rpartition("-")[0]
    return prices.get("*")


def _of_path(prices: dict[str, PriceConfig], path: str) -> PriceConfig | None:
    """The longest path that it begins with; names of models say nothing of paths."""
    while path:
        if path in prices:
            return prices[path]
        path = path.rpartition(_PATH)[0]
    return prices.get(_PATH)


def price_of(config: PriceConfig, kind: Kind) -> Price:
    """The price that was written down."""

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
        unit_picos=0 if config.unit_usd is None else _picos(Decimal(config.unit_usd)),
        unit="" if config.unit_usd is None else _UNITS.get(kind, ("unit", "", 1))[0],
    )


def _picos(usd: Decimal) -> int:
    """Pico-dollars of a unit's price, rounded up."""
    return int((usd * PICOS_PER_USD).to_integral_value(ROUND_CEILING))


def _sheet_of(found: Any, source: str, kind: Kind) -> PriceSheet | None:
    unit, name, count = _UNITS.get(kind, ("", "", 1))
    price_of_unit = getattr(found, name, None) if name else None
    if price_of_unit is not None:
        return PriceSheet(Price(unit_picos=_picos(_at(price_of_unit, 0) / count), unit=unit, source=source))
    parts = {**_PARTS, **_OF_IMAGES} if kind == "image" else _PARTS
    values = {part: getattr(found, name, None) for part, name in parts.items()}
    if values["input_picos"] is None or (values["output_picos"] is None and kind in WITH_OUTPUT):
        return None
    starts = sorted({tier.start for value in values.values() for tier in getattr(value, "tiers", ())})

    def price(input_tokens: int) -> Price:
        picos = {part: picos_per_token(_at(value, input_tokens)) for part, value in values.items() if value is not None}
        per_request = getattr(found, "requests_kcount", None)
        request_nanos = nanos(_at(per_request, input_tokens) / 1000) if per_request is not None else 0
        return msgspec.structs.replace(Price(request_nanos=request_nanos, source=source), **picos)

    return PriceSheet(price(0), tuple((start, price(start + 1)) for start in starts))


def _at(value: Any, input_tokens: int) -> Decimal:
    chosen = getattr(value, "base", value)
    for tier in getattr(value, "tiers", ()):
        if input_tokens > tier.start:
            chosen = tier.price
    return Decimal(chosen)
