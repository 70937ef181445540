"""What can be called: each name with its targets, what is declared of them, and what they cost today."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

from mooring.core.errors import MooringError

from .prices import PriceSheet
from .route_config import FactsConfig
from .routing import Router


class ListedTarget(NamedTuple):
    """One target; `sheet` is None where nobody knows its price."""

    name: str
    weight: float
    facts: FactsConfig
    sheet: PriceSheet | None


class Listed(NamedTuple):
    """One name; `problem` says why it cannot be called, if it cannot."""

    name: str
    strategy: str
    targets: tuple[ListedTarget, ...]
    problem: str | None = None
    is_named: bool = True


def catalogue(router: Router, at_us: int, also: Iterable[str] = ()) -> list[Listed]:
    """Every name of the configuration and of the servers found on this machine; `also` these full names, if they lead
    anywhere."""
    names = router.names()
    more = (_listed(router, name, at_us)._replace(is_named=False) for name in sorted({*also} - {*names}))
    return [*(_listed(router, name, at_us) for name in names), *(one for one in more if one.problem is None)]


def as_model(one: Listed) -> dict[str, Any]:
    """One name in OpenAI's shape, and beside it what a program must know to choose: context, abilities, prices.

    What is not known is null. Of several targets a name can only promise what all of them can.
    """
    contexts = [target.facts.context_tokens for target in one.targets]
    targets = [_as_target(target) for target in one.targets]
    return {
        "id": one.name,
        "object": "model",
        "created": 0,
        "owned_by": "mooring",
        "context_length": min((length for length in contexts if length), default=None) if all(contexts) else None,
        "capabilities": _shared([target["capabilities"] for target in targets]),
        "pricing": targets[0]["pricing"] if len(targets) == 1 else None,
        "targets": targets,
        "problem": one.problem,
    }


def _as_target(target: ListedTarget) -> dict[str, Any]:
    facts = target.facts
    return {
        "name": target.name,
        "context_length": facts.context_tokens,
        "capabilities": {
            "inputs": None if facts.inputs is None else sorted(facts.inputs),
            "tools": facts.tools,
            "json_output": facts.json_output,
            "region": facts.region,
        },
        "pricing": None if target.sheet is None else _pricing(target.sheet),
    }


def _shared(found: list[dict[str, Any]]) -> dict[str, Any]:
    """What all of them have; null where they differ, or one does not say."""
    if not found:
        return {}
    first, *others = found
    return {name: value if all(one[name] == value for one in others) else None for name, value in first.items()}


def _pricing(sheet: PriceSheet) -> dict[str, Any]:
    """Dollars as text: per million tokens, and per unit of what is not sold by tokens."""
    base = sheet.base
    cached = base.cached_input_picos
    told: dict[str, Any] = {
        "currency": "USD",
        "input_per_million": _usd(base.input_picos, 6),
        "output_per_million": _usd(base.output_picos, 6),
        "cached_input_per_million": None if cached is None else _usd(cached, 6),
        "per_request": _usd(base.request_nanos, 9),
        "source": base.source,
    }
    if base.unit_picos:
        told |= {"unit": base.unit, "per_unit": _usd(base.unit_picos, 12)}
    return told


def _usd(amount: int, places: int) -> str:
    return format(Decimal(amount).scaleb(-places).normalize() + 0, "f")


def _listed(router: Router, name: str, at_us: int) -> Listed:
    try:
        plan = router.plan(name)
    except MooringError as error:
        return Listed(name, "ordered", (), str(error))
    targets = []
    for target in plan.targets:
        kind = router.prices.find(target.vendor, target.model, at_us, kind="embedding")
        sheet = router.prices.find(target.vendor, target.model, at_us) or kind
        facts = target.facts
        if facts.context_tokens is None:
            known = router.prices.context_tokens(target.vendor, target.model)
            facts = facts.model_copy(update={"context_tokens": known})
        targets.append(ListedTarget(str(target), target.weight, facts, sheet))
    return Listed(name, plan.strategy, tuple(targets))
