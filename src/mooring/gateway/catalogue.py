"""What can be called: each name with its targets, what is declared of them, and what they cost today."""

from collections.abc import Iterable
from typing import NamedTuple

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


def _listed(router: Router, name: str, at_us: int) -> Listed:
    try:
        plan = router.plan(name)
    except MooringError as error:
        return Listed(name, "ordered", (), str(error))
    targets = []
    for target in plan.targets:
        kind = router.prices.find(target.vendor, target.model, at_us, kind="embedding")
        sheet = router.prices.find(target.vendor, target.model, at_us) or kind
        targets.append(ListedTarget(str(target), target.weight, target.facts, sheet))
    return Listed(name, plan.strategy, tuple(targets))
