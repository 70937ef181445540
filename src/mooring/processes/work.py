"""`mooring worker`: one worker process on one home, with a handler for each kind of run."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from mooring.agents import AgentRunner, LoadedApp, load
from mooring.client import AsyncClient
from mooring.client.discovery import running_endpoint
from mooring.config import Config
from mooring.gateway.batch_work import BatchHandler
from mooring.rag import IngestHandler
from mooring.storage.database import engine_of, is_current
from mooring.storage.home import Home
from mooring.wiring import Server, batch_send, build

from .reload import write_report
from .upkeep import keep
from .worker import Handler, Worker, stop_on_signals

Load = Callable[[str | Path], LoadedApp]
SCHEMA_SECONDS = 5.0
READY = "ready"  # what a warm worker says in its lock file


async def work(config: Config, home: Home, *, app_path: Path | None = None, report: Path | None = None) -> None:
    """Works until SIGTERM or SIGINT; then running steps get a few seconds, and the runs go to other workers.

    The app is loaded before the first run is claimed, so that a take-over does not wait for imports. With a `report`
    it stays with the code that it has loaded: whoever reads the report replaces it when there is newer code.
    """
    await schema_made(config, home)
    async with build(config, home, kind="worker") as rooms:
        found: Load = load
        if app_path is not None:
            loaded = await asyncio.to_thread(load, app_path)
            if report is not None:
                write_report(report, app_path, loaded)
                found = staying_with(app_path, loaded)
        rooms.lock.say(READY)
        worker = Worker(rooms.journal, handlers(rooms, load=found), slots=config.worker.slots)
        stop_on_signals(worker.stop)
        beside = [
            asyncio.create_task(rooms.projector.run(home.projector_lock)),
            asyncio.create_task(keep(rooms)),
        ]
        try:
            await worker.run(drain_seconds=config.server.drain_seconds / 2)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)


async def schema_made(config: Config, home: Home) -> None:
    """A moment for `serve` to make a new home's database: what migrates would stay in this worker's memory.

    Where nobody does, this worker does it when the moment is over.
    """
    engine = engine_of(config.database_url() or home.database_url)
    until = time.monotonic() + SCHEMA_SECONDS
    while not await asyncio.to_thread(is_current, engine) and time.monotonic() < until:
        await asyncio.sleep(0.05)  # another process writes it: there is nothing to wait for


def staying_with(app_path: Path, loaded: LoadedApp) -> Load:
    """Loads other apps as ever, and this one never again."""
    own = app_path.resolve()
    return lambda path: loaded if Path(path).resolve() == own else load(path)


def handlers(rooms: Server, *, load: Load = load) -> dict[str, Handler]:
    """Who does what, by the name in the run's row."""
    agents = AgentRunner(rooms.journal, client, clock=rooms.clock, new_id=rooms.new_id, load=load)
    ingest = IngestHandler(rooms.rag, rooms.journal)
    batch = BatchHandler(
        rooms.journal,
        rooms.files,
        batch_send(rooms.http, lambda: running_endpoint(rooms.home.path)),
        clock=rooms.clock,
        lines_at_once=rooms.config.gateway.batch_lines_at_once,
    )
    return {"agent": agents.run, "ingest": ingest.run, batch.name: batch.run}


def client() -> AsyncClient:
    """The home's own serve."""
    return AsyncClient()


async def work_on(config: Config, home: Home, run_id: bytes) -> None:
    """A worker for one run of `python app.py`: any worker may take it; this one ends when the run has ended."""
    async with build(config, home, kind="worker") as rooms:
        worker = Worker(rooms.journal, handlers(rooms), slots=1)
        working = asyncio.create_task(worker.run())
        try:
            while (await rooms.journal.get_run("default", run_id)).state in ("queued", "running", "waiting"):
                await rooms.journal.wait_events("default", run_id, after=0, timeout_seconds=0.2)
        finally:
            worker.stop()
            await working
