"""What needs somebody: the gravest first, each with where to look and what to type."""

import asyncio
import shutil
from functools import partial
from typing import Any
from urllib.parse import urlencode

from mooring.core import ids
from mooring.core.errors import StorageFull
from mooring.journal.ledger import BudgetState
from mooring.journal.liveness import UncertainCall
from mooring.storage.liveness import probe, read_facts
from mooring.storage.transaction import Tx
from mooring.wiring import Server

from .alike import alike
from .repository import RunRow, Wanted, listing
from .repository import pages as repository

DAY_SECONDS = 86_400
NEAR = 0.8  # a budget is near its cap from here on
MOST_RUNS = 5_000  # so many of the newest are looked at for failed ones
MOST_PARKED, MOST_UNREADABLE = 500, 500
SHOWN = 5  # of each kind; the pages behind the links have them all
LITTLE_BYTES = 1_000_000_000  # of free disk
OVERDUE_US = 60_000_000  # runs that wait longer for a worker, facts that no projection has taken


async def attention(rooms: Server, project: str) -> list[dict[str, Any]]:
    """What needs somebody, the gravest first."""
    uncertain = await rooms.journal.uncertain(project)
    waiting = {one.call.run_id for one in uncertain if one.call.run_id}
    return [
        *_uncertain(uncertain),
        *await _ended_badly(rooms, project, waiting),
        *await _budgets_near_cap(rooms, project),
        *await _unsettled(rooms, project),
        *await _unreadable(rooms, project),
        *_targets(rooms),
        *await _waiting(rooms),
        *await asyncio.to_thread(_disk, rooms),
        *await asyncio.to_thread(_no_worker, rooms),
    ]


def _uncertain(calls: list[UncertainCall]) -> list[dict[str, Any]]:
    """One by one, for each needs its own decision; where one name has many, together."""
    found = []
    kinds = alike(calls, key=lambda one: (one.call.name,), at_us=lambda one: one.call.started_at_us)
    for kind in kinds:
        one = kind.newest.call
        shown = ids.show("call", one.id)
        waits = "Its run waits for you." if one.run_id else "No run waits for it."
        each = f"mooring runs resolve {shown} --as completed|failed|retry"
        found.append(
            _item(
                "bad",
                "uncertain",
                f"{one.name} may or may not have happened",
                "Its process ended between asking and hearing back. "
                + (waits if kind.times == 1 else "Each is decided for itself."),
                f"/ui/calls/{shown}" if kind.times == 1 else _list("calls", state="uncertain", model=one.name),
                at_us=kind.last_us,
                command=each if kind.times == 1 else "mooring runs uncertain",
                count=kind.times,
                first_at_us=kind.first_us,
            )
        )
    return found


async def _ended_badly(rooms: Server, project: str, waiting: set[bytes]) -> list[dict[str, Any]]:
    after = rooms.clock.now_us() - DAY_SECONDS * 1_000_000
    found = []
    for state, title in (("failed", "failed"), ("parked", "is set aside")):
        rows = await rooms.database.read_async(partial(_newest, project_id=project, state=state))
        # A run that waits for an uncertain call is told of by the call.
        fresh = [row for row in rows if row.id not in waiting and (row.finished_at_us or after) >= after]
        kinds = alike(fresh, key=lambda row: (row.name, row.error_code or "", _why(row)), at_us=_ended_at)
        for kind in kinds[:SHOWN]:
            run = kind.newest
            one = f"/ui/runs/{ids.show('run', run.id)}"
            many = _list("runs", state=state, agent=run.name, error=run.error_code)
            found.append(
                _item(
                    "bad" if state == "failed" else "warn",
                    state,
                    f"{run.name} {title}",
                    _why(run),
                    one if kind.times == 1 else many,
                    at_us=kind.last_us,
                    count=kind.times,
                    first_at_us=kind.first_us,
                )
            )
        if len(kinds) > SHOWN:
            more = f"{sum(kind.times for kind in kinds[SHOWN:])} more runs: {state}"
            found.append(_item("warn", state, more, "In the last 24 hours.", f"/ui/runs?state={state}"))
    return found


def _why(row: RunRow) -> str:
    return row.error_message or row.park_reason or row.error_code or "No reason was given."


def _ended_at(row: RunRow) -> int:
    return row.finished_at_us or row.created_at_us


def _list(page: str, **filters: str | None) -> str:
    return f"/ui/{page}?{urlencode({name: value for name, value in filters.items() if value})}"


def _newest(tx: Tx, project_id: str, state: str) -> list[RunRow]:
    """Runs that are set aside, however long ago; of those that failed, the newest."""
    if state == "parked":
        return listing.open_runs(tx, project_id, state, MOST_PARKED)
    floor = listing.runs_floor(tx, project_id, listing.LAST, MOST_RUNS) or b""
    return listing.runs(tx, project_id, Wanted(state=state), listing.LAST, floor, MOST_RUNS)


async def _budgets_near_cap(rooms: Server, project: str) -> list[dict[str, Any]]:
    found = []
    for budget in await rooms.journal.budgets(project):
        shown = show_budget(budget)
        if shown["share"] >= NEAR:
            is_full = shown["share"] >= 1
            found.append(
                _item(
                    "bad" if is_full else "warn",
                    "budget",
                    f"The {shown['name']} budget {'is used up' if is_full else 'is nearly used up'}",
                    f"{shown['share']:.0%} of this {budget.window}'s cap, counting what is held. "
                    f"{'Calls are refused.' if is_full else 'Calls beyond it are refused.'}",
                    "/ui/keys#budgets",
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
    rows = await rooms.database.read_async(lambda tx: repository.unreadable(tx, project, MOST_UNREADABLE))
    kinds = alike(rows, key=lambda row: (row.collection, row.reason), at_us=lambda row: row.updated_at_us)
    found = []
    for kind in kinds[:SHOWN]:
        one = kind.newest
        others = kind.times - 1
        also = f" and {others:,} more {'is' if others == 1 else 'are'} not read" if others else " is not read"
        many = _list("documents", collection=one.collection, state="unreadable")
        href = many if others else f"/ui/documents/{ids.show('doc', one.id)}"
        found.append(_item("warn", "document", one.path + also, one.reason, href, at_us=kind.last_us))
    if len(kinds) > SHOWN:
        found.append(_item("warn", "document", "More documents are not read", "All of them:", "/ui/documents"))
    return found


def _targets(rooms: Server) -> list[dict[str, Any]]:
    """Targets that this server lets rest, or that need a person."""
    found = []
    for one in rooms.gateway.targets():
        if one["attention"]:
            found.append(_item("bad", "target", f"{one['target']} needs you", one["attention"], "/ui/models"))
        elif one["state"] == "resting":
            why = f"{one['why']} It rests for {one['rests_for_seconds']} s; others are tried."
            found.append(_item("warn", "target", f"{one['target']} fails", why, "/ui/models"))
    return found


async def _waiting(rooms: Server) -> list[dict[str, Any]]:
    """What should have been taken by now."""
    backlog = await rooms.journal.backlog(overdue_us=OVERDUE_US)
    found = []
    if backlog.overdue:
        title = "A run waits" if backlog.overdue == 1 else f"{backlog.overdue} runs wait"
        why = "It could have been taken more than a minute ago."
        found.append(
            _item("warn", "queue", f"{title} for a worker", why, "/ui/runs?state=queued", command="mooring doctor")
        )
    if backlog.outbox_age_us > OVERDUE_US:
        title = f"{backlog.outbox} facts wait for their projection"
        found.append(_item("warn", "outbox", title, "Traces and indexes are behind.", "", command="mooring doctor"))
    return found


def _disk(rooms: Server) -> list[dict[str, Any]]:
    try:
        rooms.database.require_space()
    except StorageFull as error:
        return [_item("bad", "disk", "The disk is full", str(error), "", command="mooring doctor")]
    free = shutil.disk_usage(rooms.home.path).free
    if free > LITTLE_BYTES:
        return []
    left = f"{free // 1_000_000} MB are left. A full disk refuses new calls."
    return [_item("warn", "disk", "The disk is nearly full", left, "", command="mooring doctor")]


def _no_worker(rooms: Server) -> list[dict[str, Any]]:
    if any(process["kind"] == "worker" for process in processes(rooms)):
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
    count: int = 1,
    first_at_us: int | None = None,
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
        "count": count,
        "first_at_us": first_at_us,
    }


def show_budget(budget: BudgetState) -> dict[str, Any]:
    """A budget and how much of its cap is used, held amounts counted."""
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


def processes(rooms: Server) -> list[dict[str, Any]]:
    """Those of this machine that hold their lock."""
    found = []
    for path in sorted(rooms.home.run_dir.glob("*-proc_*.lock")):
        facts = read_facts(path)
        if facts is not None and probe(path) == "alive":
            found.append({"id": facts.process_id, "kind": facts.kind, "pid": facts.pid})
    return found
