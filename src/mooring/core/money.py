"""Money as integers: amounts in nano-dollars, prices in pico-dollars per token, rounded up once per attempt."""

from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Any

import msgspec

from .usage import Usage

NANOS_PER_USD = 1_000_000_000
PICOS_PER_NANO = 1_000
MOST_USD = 1_000_000_000  # nine of these in nano-dollars fill 63 bits


class Usd(Decimal):
    """Dollars that print as what they are: `0.000000900`, never `9E-7`; sums and multiples are dollars too."""

    def __str__(self) -> str:
        return format(self, "f")

    def __format__(self, spec: str, context: Any = None) -> str:
        return super().__format__(spec or "f")

    def __add__(self, other: Any) -> "Usd":
        return Usd(super().__add__(other))

    __radd__ = __add__

    def __mul__(self, other: Any) -> "Usd":
        return Usd(super().__mul__(other))

    __rmul__ = __mul__

    def __sub__(self, other: Any) -> "Usd":
        return Usd(super().__sub__(other))


class Price(msgspec.Struct, frozen=True, omit_defaults=True):
    """Pico-dollars per token; every attempt stores the one that it used.

    A part without a price of its own (None) costs what its total costs. `request_nanos` is charged per attempt,
    `unit_picos` for each `unit` (image, search, second, character) of a model that is not, or not only, sold by tokens.
    `source` names where the figures come from (`genai-prices 0.2.3`, `mooring.toml`, `simulated`, `free`).
    """

    input_picos: int = 0
    output_picos: int = 0
    cached_input_picos: int | None = None
    cache_write_picos: int | None = None
    input_audio_picos: int | None = None
    reasoning_picos: int | None = None
    output_audio_picos: int | None = None
    request_nanos: int = 0
    source: str = ""
    unit_picos: int = 0
    unit: str = ""

    def cost_nanos(self, usage: Usage) -> int:
        """Nano-dollars of one attempt, rounded up once."""
        if not usage.has_parts:
            picos = usage.input_tokens * self.input_picos + usage.output_tokens * self.output_picos
            picos += usage.units * self.unit_picos
            return -(-picos // PICOS_PER_NANO) + self.request_nanos
        picos = usage.units * self.unit_picos
        rest = usage.input_tokens
        for tokens, price in (
            (usage.cached_input_tokens, self.cached_input_picos),
            (usage.cache_write_tokens, self.cache_write_picos),
            (usage.input_audio_tokens, self.input_audio_picos),
        ):
            if price is not None:
                picos += tokens * price
                rest -= tokens
        picos += max(rest, 0) * self.input_picos
        rest = usage.output_tokens
        for tokens, price in (
            (usage.reasoning_tokens, self.reasoning_picos),
            (usage.output_audio_tokens, self.output_audio_picos),
        ):
            if price is not None:
                picos += tokens * price
                rest -= tokens
        picos += max(rest, 0) * self.output_picos
        return -(-picos // PICOS_PER_NANO) + self.request_nanos

    def most_nanos(self, input_tokens: int, output_tokens: int, units: int = 0) -> int:
        """The most that an attempt with at most so many tokens and units can cost: each token at its dearest price."""
        dearest_input = max(
            self.input_picos, self.cached_input_picos or 0, self.cache_write_picos or 0, self.input_audio_picos or 0
        )
        dearest_output = max(self.output_picos, self.reasoning_picos or 0, self.output_audio_picos or 0)
        picos = input_tokens * dearest_input + output_tokens * dearest_output + units * self.unit_picos
        return -(-picos // PICOS_PER_NANO) + self.request_nanos


def picos_per_token(usd_per_million: str | Decimal) -> int:
    """Pico-dollars per token of a list price in dollars per million tokens ("0.25"), rounded up."""
    return int((Decimal(usd_per_million) * 1_000_000).to_integral_value(ROUND_CEILING))


def nanos(usd: str | Decimal) -> int:
    """Nano-dollars of a decimal amount in dollars, rounded up."""
    return int((Decimal(usd) * NANOS_PER_USD).to_integral_value(ROUND_CEILING))


def usd(amount_nanos: int) -> Usd:
    """The amount in dollars, with its nine decimals."""
    return Usd(Decimal(amount_nanos).scaleb(-9))


def amount(text: str) -> int:
    """Nano-dollars of what a person wrote: a number that is not negative and not absurd.

    Raises:
        ValueError: it is none; the message says so.
    """
    try:
        usd = Decimal(text)
    except InvalidOperation:
        usd = Decimal("NaN")
    if not usd.is_finite() or not 0 <= usd <= MOST_USD:
        raise ValueError(f"'{text[:40]}' is not an amount in dollars, such as 25 or 0.50.")
    return nanos(usd)


def show_usd(amount_nanos: int) -> str:
    """`$0.000123400`: always nine decimals, so that nothing below a cent looks free."""
    sign = "-" if amount_nanos < 0 else ""
    whole, rest = divmod(abs(amount_nanos), NANOS_PER_USD)
    return f"{sign}${whole}.{rest:09d}"
