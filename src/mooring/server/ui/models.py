"""Models and targets: what can be named, where it leads, what it costs, and how each target did of late."""

import asyncio
from typing import Any

from mooring.core import ids
from mooring.gateway.catalogue import Listed, ListedTarget
from mooring.gateway.keys import Caller
from mooring.gateway.prices import PriceSheet
from mooring.wiring import Server

from ..exchange import Exchange
from .alike import alike
from .repository import pages as repository

DAY_SECONDS = 86_400
MOST_ATTEMPTS = 20_000  # so many of the newest are summed up: health is of late
FAILURES = 12
PICOS = 1_000_000  # pico-dollars per token are millionths of dollars per million tokens


async def view(rooms: Server, exchange: Exchange, caller: Caller) -> dict[str, Any]:
    project = caller.project_id
    first = repository.since(rooms.clock, DAY_SECONDS)
    rows = await rooms.database.read_async(lambda tx: repository.targets(tx, project, first, MOST_ATTEMPTS))
    listed = await asyncio.to_thread(rooms.gateway.catalogue, [row.target for row in rows])
    failed = await rooms.database.read_async(lambda tx: repository.failures(tx, project, first, MOST_ATTEMPTS))
    kinds = alike(failed, key=lambda row: (row.target, row.code, row.message), at_us=lambda row: row.at_us)
    health = {one["target"]: one for one in rooms.gateway.targets()}
    seen = {row.target: row._asdict() for row in rows}
    known = {target.name: target for one in listed for target in one.targets}
    named = {target.name for one in listed if one.is_named for target in one.targets}
    return {
        "models": [_model(one) for one in listed if one.is_named],
        "targets": [
            {**_target(name, known.get(name), seen.get(name), health.get(name)), "is_configured": name in named}
            for name in sorted({*known, *seen})
        ],
        "failures": [
            {
                "target": one.newest.target,
                "call_id": ids.show("call", one.newest.call_id),
                "at_us": one.last_us,
                "first_at_us": one.first_us,
                "count": one.times,
                "code": one.newest.code,
                "message": one.newest.message,
            }
            for one in kinds[:FAILURES]
        ],
        "collections": [one.name for one in await rooms.rag.collections(project)],
        "attempts_seen": sum(row.attempts for row in rows),
        "is_bounded": sum(row.attempts for row in rows) >= MOST_ATTEMPTS,
    }


def _model(one: Listed) -> dict[str, Any]:
    targets = [{"name": target.name, "weight": target.weight} for target in one.targets]
    return {"name": one.name, "strategy": one.strategy, "targets": targets, "problem": one.problem}


def _target(
    name: str, listed: ListedTarget | None, seen: dict[str, Any] | None, health: dict[str, Any] | None
) -> dict[str, Any]:
    """`state` is this process's: `unasked` since its start, `well`, `resting` or `probing`."""
    facts = listed.facts.model_dump(exclude_none=True) if listed is not None else {}
    return {
        "name": name,
        "state": health["state"] if health else "unasked",
        "health": health,
        "price": _price(listed.sheet) if listed is not None else None,
        "facts": facts,
        "seen": seen,
    }


def _price(sheet: PriceSheet | None) -> dict[str, Any] | None:
    """Dollars per million tokens, as text without trailing zeros; None where it is not known."""
    if sheet is None:
        return None
    base = sheet.base
    return {
        "input_usd": _usd(base.input_picos),
        "output_usd": _usd(base.output_picos),
        "cached_input_usd": None if base.cached_input_picos is None else _usd(base.cached_input_picos),
        "source": base.source,
        "is_free": base.source == "free",
        "tiers": [start for start, _ in sheet.tiers],
    }


def _usd(picos: int) -> str:
    text = f"{picos // PICOS}.{picos % PICOS:06d}".rstrip("0")
    head, _, tail = text.partition(".")
    return f"{head}.{tail.ljust(2, '0')}"
