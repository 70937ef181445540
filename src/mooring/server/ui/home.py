"""Home: first what needs somebody, then what runs, then what it costs."""

import asyncio
from typing import Any

from mooring.gateway.keys import Caller
from mooring.journal.windows import starts_at_us
from mooring.wiring import Server

from ..exchange import Exchange
from .attention import attention, processes, show_budget
from .repository import Wanted, listing
from .runs import show_row

TARGETS = 100
USERS = 6


async def today(rooms: Server, project: str) -> dict[str, Any]:
    """Sums that were made by the hour as calls ended, so that a busy day costs no more; what is held is now's."""
    await rooms.projector.freshen()
    start = starts_at_us("day", rooms.clock.now_us())
    targets = await rooms.spans.dearest(project, "target", since_us=start, limit=TARGETS)
    users = await rooms.spans.dearest(project, "user", since_us=start, limit=USERS)
    held = [one.held_nanos for one in await rooms.journal.unsettled(project)]
    return {
        "spend": [
            {
                "target": one.value,
                "attempts": one.calls,
                "failed": one.failed,
                "settled_nanos": one.settled_nanos,
                "input_tokens": one.input_tokens,
                "output_tokens": one.output_tokens,
            }
            for one in targets
        ],
        "users": [{"user": one.value, "calls": one.calls, "settled_nanos": one.settled_nanos} for one in users],
        "total": {
            "settled_nanos": sum(one.settled_nanos for one in targets),
            "held_nanos": sum(held),
            "attempts": sum(one.calls for one in targets),
        },
    }


async def view(rooms: Server, exchange: Exchange, caller: Caller) -> dict[str, Any]:
    project = caller.project_id
    database = rooms.database
    spent = await today(rooms, project)
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
