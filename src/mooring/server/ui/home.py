"""Home: first what needs somebody, then what runs, then what it costs."""

import asyncio
from functools import partial
from typing import Any

from mooring.core import ids
from mooring.gateway.keys import Caller
from mooring.journal.ledger import BudgetState
from mooring.journal.liveness import UncertainCall
from mooring.storage.liveness import probe, read_facts
from mooring.storage.transaction import Tx
from mooring.wiring import Server

from ..exchange import Exchange
from .repository import RunRow, Wanted, listing
from .repository import pages as repository
from .runs import show_row

DAY_SECONDS = 86_400
NEAR = 0.8  # a budget is near its cap from here on
SHOWN = 5  # of each kind; the pages behind the links have them all


async def view(rooms: Server, exchange: Exchange, caller: Caller) -> dict[str, Any]:
    project = caller.project_id
    database = rooms.database
    first = repository.since(rooms.clock, DAY_SECONDS)
    spend = await database.read_async(lambda tx: repository.spend(tx, project, first))
    recent = await database.read_async(lambda tx: listing.runs(tx, project, Wanted(), listing.LAST, b"", 6))
    collections = await rooms.rag.collections(project)
    return {
        "attention": await _attention(rooms, project),
        "recent": [show_row(run) for run in recent],
        "processes": await asyncio.to_thread(_processes, rooms),
        "spend": [row._asdict() for row in spend],
        "total": {
            "settled_nanos": sum(row.settled_nanos for row in spend),
            "held_nanos": sum(row.held_nanos for row in spend),
            "attempts": sum(row.attempts for row in spend),
        },
        "budgets": [_budget(budget) for budget in await rooms.journal.budgets(project)],
        "collections": [collection.name for collection in collections],
        "at_us": rooms.clock.now_us(),
    }


async def _attention(rooms: Server, project: str) -> list[dict[str, Any]]:
    """What needs somebody, the gravest first."""
    uncertain = await rooms.journal.uncertain(project)
    waiting = {one.call.run_id for one in uncertain if one.call.run_id}
    return [
        *(_uncertain(one) for one in uncertain),
        *await _ended_badly(rooms, project, waiting),
        *await _budgets_near_cap(rooms, project),
        *await _unsettled(rooms, project),
        *await _unreadable(rooms, project),
        *await asyncio.to_thread(_no_worker, rooms),
    ]


def _uncertain(one: UncertainCall) -> dict[str, Any]:
    shown = ids.show("call", one.call.id)
    waits = "Its run waits for you." if one.call.run_id else "No run waits for it."
    return _item(
        "bad",
        "uncertain",
        f"{one.call.name} may or may not have happened",
        f"Its process ended between asking and hearing back. {waits}",
        f"/ui/calls/{shown}",
        at_us=one.call.started_at_us,
        command=f"mooring runs resolve {shown} --as completed|failed|retry",
    )


async def _ended_badly(rooms: Server, project: str, waiting: set[bytes]) -> list[dict[str, Any]]:
    after = rooms.clock.now_us() - DAY_SECONDS * 1_000_000
    found = []
    for state, title in (("failed", "failed"), ("parked", "is set aside")):
        rows = await rooms.database.read_async(partial(_newest, project_id=project, state=state))
        # A run that waits for an uncertain call is told of by the call.
        fresh = [row for row in rows if row.id not in waiting and (row.finished_at_us or after) >= after]
        for row in fresh[:SHOWN]:
            why = row.error_message or row.park_reason or row.error_code or "No reason was given."
            level = "bad" if state == "failed" else "warn"
            run = ids.show("run", row.id)
            at_us = row.finished_at_us or row.created_at_us
            found.append(_item(level, state, f"{row.name} {title}", why, f"/ui/runs/{run}", at_us=at_us))
        if len(fresh) > SHOWN:
            more = f"{len(fresh) - SHOWN} more runs: {state}"
            found.append(_item("warn", state, more, "In the last 24 hours.", f"/ui/runs?state={state}"))
    return found


def _newest(tx: Tx, project_id: str, state: str) -> list[RunRow]:
    """Of the newest runs, as far as a list looks."""
    floor = listing.runs_floor(tx, project_id, listing.LAST) or b""
    return listing.runs(tx, project_id, Wanted(state=state), listing.LAST, floor, 50)


async def _budgets_near_cap(rooms: Server, project: str) -> list[dict[str, Any]]:
    found = []
    for budget in await rooms.journal.budgets(project):
        shown = _budget(budget)
        if shown["share"] >= NEAR:
            is_full = shown["share"] >= 1
            found.append(
                _item(
                    "bad" if is_full else "warn",
                    "budget",
                    f"The {shown['name']} budget {'is used up' if is_full else 'is nearly used up'}",
                    f"{shown['share']:.0%} of this {budget.window}'s cap, counting what is held. "
                    f"{'Calls are refused.' if is_full else 'Calls beyond it are refused.'}",
                    "/ui/home#budgets",
                    command="mooring cost budget --help",
                )
            )
    return found


async def _unsettled(rooms: Server, project: str) -> list[dict[str, Any]]:
    attempts = [one for one in await rooms.journal.unsettled(project) if one.outcome != "intended" and one.held_nanos]
    if not attempts:
        return []
    return [
        _item(
            "warn",
            "held",
            f"The cost of {len(attempts)} {'attempt' if len(attempts) == 1 else 'attempts'} is not known",
            "Their most is held against budgets until the provider's export settles it.",
            f"/ui/calls/{ids.show('call', attempts[0].call_id)}",
            at_us=attempts[-1].intended_at_us,
            command="mooring cost reconcile --help",
            held_nanos=sum(one.held_nanos for one in attempts),
        )
    ]


async def _unreadable(rooms: Server, project: str) -> list[dict[str, Any]]:
    rows = await rooms.database.read_async(lambda tx: repository.unreadable(tx, project, SHOWN + 1))
    found = [
        _item("warn", "document", f"{path} is not read", reason, f"/ui/documents/{ids.show('doc', one)}", at_us=at_us)
        for _, one, path, reason, at_us in rows[:SHOWN]
    ]
    if len(rows) > SHOWN:
        found.append(_item("warn", "document", "More documents are not read", "All of them:", "/ui/documents"))
    return found


def _no_worker(rooms: Server) -> list[dict[str, Any]]:
    if any(process["kind"] == "worker" for process in _processes(rooms)):
        return []
    return [
        _item("warn", "worker", "No worker runs on this machine", "Runs wait until one does.", "", command="mooring up")
    ]


def _item(
    level: str,
    kind: str,
    title: str,
    detail: str,
    href: str,
    *,
    at_us: int | None = None,
    command: str | None = None,
    held_nanos: int = 0,
) -> dict[str, Any]:
    return {
        "level": level,
        "kind": kind,
        "title": title,
        "detail": detail,
        "href": href,
        "at_us": at_us,
        "command": command,
        "held_nanos": held_nanos,
    }


def _budget(budget: BudgetState) -> dict[str, Any]:
    used = budget.settled_nanos + budget.held_nanos
    return {
        "id": ids.show("bud", budget.id),
        "name": f"{budget.scope} {budget.subject}".strip(),
        "window": budget.window,
        "cap_nanos": budget.cap_nanos,
        "settled_nanos": budget.settled_nanos,
        "held_nanos": budget.held_nanos,
        "share": used / budget.cap_nanos if budget.cap_nanos else 1.0,
    }


def _processes(rooms: Server) -> list[dict[str, Any]]:
    """Those of this machine that hold their lock."""
    found = []
    for path in sorted(rooms.home.run_dir.glob("*-proc_*.lock")):
        facts = read_facts(path)
        if facts is not None and probe(path) == "alive":
            found.append({"id": facts.process_id, "kind": facts.kind, "pid": facts.pid})
    return found
