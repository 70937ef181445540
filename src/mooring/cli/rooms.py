"""How verbs get at a home: its rooms wired for one command, without a server."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from mooring import config, storage
from mooring.core import ids
from mooring.core.errors import NotFound
from mooring.journal.records import RunRecord
from mooring.wiring import Server, build

T = TypeVar("T")
PROJECT = "default"


def with_rooms(work: Callable[[Server], Awaitable[T]]) -> T:
    """Opens the home, runs `work`, closes it."""

    async def run() -> T:
        async with build(config.load(), storage.Home.locate(), kind="cli") as rooms:
            return await work(rooms)

    return asyncio.run(run())


async def find_run(rooms: Server, text: str) -> RunRecord:
    """The run named `run_…`, or the newest for `last`.

    Raises:
        NotFound: there is none.
    """
    if text != "last":
        return await rooms.journal.get_run(PROJECT, ids.read("run", text))
    run = await rooms.journal.last_run(PROJECT)
    if run is None:
        raise NotFound("There is no run yet.", hint="Start one: mooring run app.py")
    return run
