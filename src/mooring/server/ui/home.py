"""Home: first what needs somebody, then what runs, then what it costs."""

import asyncio
from typing import Any

from mooring.gateway.keys import Caller
from mooring.journal.windows import starts_at_us
from mooring.wiring import Server

from ..exchange import Exchange
from .attention import attention, processes, show_budget
from .repository import Wanted, listing
from .repository import pages as repository
from .runs import show_row

DAY_US = 86_400_000_000
MOST_ATTEMPTS = 20_000  # so many of the newest are summed up by user; by target it is all of them
USERS = 6
PATIENCE = 20  # sums that took a second are shown again for so many seconds


class Spending:
    """What was spent today, summed up again when the sum is old for what it took: a busy day has a million rows."""

    def __init__(self) -> None:
        self._kept: dict[tuple[bytes, str], tuple[float, dict[str, Any]]] = {}

    async def today(self, rooms: Server, project: str) -> dict[str, Any]:
        place, began = (rooms.process_id, project), rooms.clock.monotonic()
        until, found = self._kept.get(place, (0.0, {}))
        if found and began < until and rooms.clock.now_us() < found["until_us"]:
            return found
        now_us = rooms.clock.now_us()
        found = await _sums(rooms, project, now_us)
        took = rooms.clock.monotonic() - began
        if len(self._kept) > 1000:
            self._kept.clear()
        self._kept[place] = (began + (PATIENCE * took if took > 0.05 else 0), found)
        return found


async def _sums(rooms: Server, project: str, now_us: int) -> dict[str, Any]:
    start = starts_at_us("day", now_us)
    first = repository.first_id(start)
    rows = await rooms.database.read_async(lambda tx: repository.spend(tx, project, first))
    users = await rooms.database.read_async(
        lambda tx: repository.spend_by_user(tx, project, first, MOST_ATTEMPTS, USERS)
    )
    return {
        "spend": [row._asdict() for row in rows],
        "users": [row._asdict() for row in users],
        "is_bounded": sum(row.attempts for row in rows) > MOST_ATTEMPTS,
        "summed_at_us": now_us,
        "until_us": start + DAY_US,
        "total": {
            "settled_nanos": sum(row.settled_nanos for row in rows),
            "held_nanos": sum(row.held_nanos for row in rows),
            "attempts": sum(row.attempts for row in rows),
        },
    }


spending = Spending()


async def view(rooms: Server, exchange: Exchange, caller: Caller) -> dict[str, Any]:
    project = caller.project_id
    database = rooms.database
    spent = await spending.today(rooms, project)
    recent = await database.read_async(lambda tx: listing.runs(tx, project, Wanted(), listing.LAST, b"", 6))
    collections = await rooms.rag.collections(project)
    return {
        "attention": await attention(rooms, project),
        "recent": [show_row(run) for run in recent],
        "processes": await asyncio.to_thread(processes, rooms),
        **spent,
        "budgets": [show_budget(budget) for budget in await rooms.journal.budgets(project)],
        "collections": [collection.name for collection in collections],
        "at_us": rooms.clock.now_us(),
    }
