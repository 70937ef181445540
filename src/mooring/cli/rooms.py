"""How verbs get at a home: its journal alone, which is quick, or all of its rooms; never through a server."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mooring.core import ids
from mooring.core.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from mooring.journal.journal import Journal
    from mooring.journal.records import RunRecord
    from mooring.storage import Database, Home
    from mooring.tracing.tracing import Traces
    from mooring.wiring import Server

T = TypeVar("T")
PROJECT = "default"


def with_rooms(work: "Callable[[Server], Awaitable[T]]", *, makes_home: bool = True) -> T:
    """Opens the home, runs `work`, closes it. What only looks makes no home.

    Raises:
        NotFound: there is no home, and none may be made.
    """
    from mooring import config, storage
    from mooring.wiring import build

    settings = config.load()
    if not makes_home and settings.storage.url is None:
        require_home()

    async def run() -> T:
        async with build(settings, storage.Home.locate(), kind="cli") as rooms:
            return await work(rooms)

    return asyncio.run(run())


def with_journal(work: "Callable[[Journal], Awaitable[T]]") -> T:
    """Opens the journal alone, runs `work`, closes it: for what looks at it.

    Without a configuration nothing of the other rooms is imported: half of the time of a verb.

    Raises:
        NotFound: there is no home.
    """
    if is_configured():
        return with_rooms(lambda rooms: work(rooms.journal), makes_home=False)
    return _with_quick_journal(lambda journal, database, home: work(journal))


def with_traces(work: "Callable[[Traces], Awaitable[T]]") -> T:
    """The same for the traces: the journal, and the spans that other programs sent.

    Raises:
        NotFound: there is no home.
    """
    from mooring.tracing.foreign import Foreign
    from mooring.tracing.spans import Spans
    from mooring.tracing.tracing import Traces

    if is_configured():
        return with_rooms(lambda rooms: work(Traces(rooms.journal, Foreign(rooms.spans))), makes_home=False)

    async def quick(journal: "Journal", database: "Database", home: "Home") -> T:
        with contextlib.closing(Spans(database, home.traces_path)) as spans:
            return await work(Traces(journal, Foreign(spans)))

    return _with_quick_journal(quick)


def _with_quick_journal(work: "Callable[[Journal, Database, Home], Awaitable[T]]") -> T:
    require_home()
    from mooring.core.clock import SystemClock
    from mooring.journal.base import TOPICS
    from mooring.journal.journal import Journal
    from mooring.storage import Blobs, Database, Home

    home = Home.locate()
    database = Database.open(home.database_url, readers=1)

    async def run() -> T:
        journal = Journal(
            database,
            Blobs(home.blobs_dir),
            process_id=ids.new_id(),
            clock=SystemClock(),
            new_id=ids.new_id,
            wakeups=database.wakeups,
            topics=TOPICS,
        )
        return await work(journal, database, home)

    with contextlib.closing(database):
        return asyncio.run(run())


def is_configured() -> bool:
    """Whether something other than the defaults is in force: then it is loaded, and its mistakes are told."""
    named = any(name.startswith("MOORING_") and "__" in name for name in os.environ)
    return named or "MOORING_CONFIG" in os.environ or Path("mooring.toml").is_file()


def require_home() -> Path:
    """The home that is there.

    Raises:
        NotFound: none is; the message says how to start.
    """
    found = find_database()
    if found is None:
        named = os.environ.get("MOORING_HOME")
        where = f"{named} holds none" if named else f"{Path.cwd()} and the folders above hold none"
        raise NotFound(
            f"There is no Mooring home: {where}.",
            hint="Start one with `mooring up`, take the tour with `mooring demo`, or set MOORING_HOME.",
        )
    return found


def find_database() -> Path | None:
    """The home with a database in it, if there is one; none is made."""
    from mooring.storage.home import find_home

    home = find_home()
    return home if (home / "mooring.db").is_file() else None


async def find_run(journal: "Journal", text: str) -> "RunRecord":
    """The run named `run_…`, or the newest for `last`.

    Raises:
        InvalidRequest: the text is no run's id.
        NotFound: there is none.
    """
    if text != "last":
        return await journal.get_run(PROJECT, read_id("run", text))
    run = await journal.last_run(PROJECT)
    if run is None:
        raise NotFound("There is no run yet.", hint="Start one: mooring run app.py")
    return run


def read_id(prefix: ids.Prefix, text: str) -> bytes:
    """The id behind what was typed.

    Raises:
        InvalidRequest: it is none; the hint says where to find one.
    """
    where = {"run": "mooring runs", "call": "mooring runs uncertain", "key": "mooring keys list"}
    try:
        return ids.read(prefix, text)
    except InvalidRequest as error:
        error.hint = f"List them: {where.get(prefix, 'mooring --help')}"
        raise
