"""What the recorded calls would have cost elsewhere: their tokens as they were metered, at other prices.

Only tokens are known, so that is what is compared: another vendor's tokenizer counts the same text differently, and its
cache may hold other parts of it.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mooring.core.errors import NotFound
from mooring.core.registry import did_you_mean
from mooring.core.usage import Usage
from mooring.journal.ledger import RecordedUsage

from .config import GatewayConfig, PriceConfig, ProviderConfig
from .prices import Prices, PriceSheet, price_of
from .provider import registry as vendors

# Prices are asked for, never the provider.
_NOWHERE = {"base_url": "http://127.0.0.1/v1", "api_key": "file:/dev/null", "token": None, "cloud_project": "none"}


class Line(NamedTuple):
    """One target's attempts: what they have cost, and what they would have, by the name of each alternative.

    None: nobody knows the price, or it does not say what these tokens cost.
    """

    target: str
    attempts: int
    usage: Usage
    settled_nanos: int
    would_be_nanos: Mapping[str, int | None]


def lines(recorded: Iterable[RecordedUsage], sheets: Mapping[str, PriceSheet | None]) -> list[Line]:
    """A line per target, dearest first."""
    by_target: dict[str, list[RecordedUsage]] = {}
    for one in recorded:
        by_target.setdefault(one.target, []).append(one)
    found = [_line(target, rows, sheets) for target, rows in by_target.items()]
    return sorted(found, key=lambda line: (-line.settled_nanos, line.target))


def _line(target: str, rows: list[RecordedUsage], sheets: Mapping[str, PriceSheet | None]) -> Line:
    usage = Usage(
        input_tokens=sum(row.usage.input_tokens * row.attempts for row in rows),
        output_tokens=sum(row.usage.output_tokens * row.attempts for row in rows),
    )
    would_be = {name: _sum(rows, sheet) for name, sheet in sheets.items()}
    settled = sum(row.settled_nanos for row in rows)
    return Line(target, sum(row.attempts for row in rows), usage, settled, would_be)


def _sum(rows: list[RecordedUsage], sheet: PriceSheet | None) -> int | None:
    if sheet is None:
        return None
    total = 0
    for row in rows:
        cost = sheet.cost_nanos(row.usage)
        if cost is None:
            return None
        total += cost * row.attempts
    return total


def total_of(found: Iterable[Line], name: str) -> int | None:
    """What all of it would have cost; None where a part is not known."""
    amounts = [line.would_be_nanos[name] for line in found]
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None


def sheets_of(config: GatewayConfig, names: Iterable[str], at_us: int) -> dict[str, PriceSheet | None]:
    """Today's price of each `provider/model` or model of the configuration; None where nobody knows it.

    Raises:
        NotFound: no such provider.
    """
    prices = Prices()
    return {name: _sheet(config, prices, name, at_us) for name in names}


def sheet_by_hand(input_usd: str, output_usd: str, cached_input_usd: str | None) -> PriceSheet:
    """A price that somebody has in mind, per million tokens."""
    given = PriceConfig(input_usd=input_usd, output_usd=output_usd, cached_input_usd=cached_input_usd, source="by hand")
    return PriceSheet(price_of(given, "chat"))


def _sheet(config: GatewayConfig, prices: Prices, name: str, at_us: int) -> PriceSheet | None:
    route = config.models.get(name)
    provider, _, model = (route.targets[0] if route is not None else name).partition("/")
    found = config.providers.get(provider)
    if found is None and provider in vendors.names():
        found = ProviderConfig(type=provider)
    if found is None or not model:
        known = [*config.models, *(f"{one}/{model or '…'}" for one in (*config.providers, *vendors.names()))]
        raise NotFound(f"There is no model '{name[:100]}'.", hint=did_you_mean(name, known) or "Write provider/model.")
    return prices.find(vendors.get(found.type)(provider, found.model_copy(update=_NOWHERE)), model, at_us)
