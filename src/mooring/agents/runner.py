"""Runs a claimed run, for a worker: load the code, hold the lease, drive the loop, write the end."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from mooring.client.app import Agent, App
from mooring.client.client import AsyncClient
from mooring.client.encoding import canonical
from mooring.core import ids
from mooring.core.clock import Clock, SystemClock
from mooring.core.errors import ConfigError, LeaseLost, MooringError, StorageError
from mooring.core.ids import NewId, new_id
from mooring.journal.journal import Journal
from mooring.journal.records import RunRecord

from .agents import AgentLoop, Completed, Failed
from .effects import Parked
from .loading import LoadedApp, load
from .online import OnlineEffects
from .serving import Serve

log = logging.getLogger("mooring.agents")


class AgentRunner:
    """Runs of agents. One per worker process and event loop; `app` is for runs that name no file of their own."""

    handler = "agent"

    def __init__(
        self,
        journal: Journal,
        client: Callable[[], AsyncClient],
        app: App | None = None,
        *,
        clock: Clock | None = None,
        new_id: NewId = new_id,
        lease_seconds: float = 10.0,
        load: Callable[[str | Path], LoadedApp] = load,
    ) -> None:
        self._journal = journal
        self._serve = Serve(client)
        self._app = app
        self._clock = clock or SystemClock()
        self._new_id = new_id
        self._lease_seconds = lease_seconds
        self._load_code = load
        self._deps: dict[int, Any] = {}

    async def run(self, record: RunRecord) -> None:
        """Work on a claimed run until it is over, parks, or belongs to another worker."""
        try:
            await self._while_leased(record, self._work(record))
        except LeaseLost:
            log.info("Run %s belongs to another worker now", ids.show("run", record.id))

    async def close(self) -> None:
        """Close the connections to `serve`."""
        await self._serve.close()

    async def _work(self, record: RunRecord) -> None:
        try:
            outcome = await self._drive(record)
        except Parked as parked:
            await self._park(record, parked)
        except LeaseLost:
            raise
        except MooringError as error:
            await self._end(record, Failed(error.code, str(error)))
        else:
            await self._end(record, outcome)

    async def agent_of(self, record: RunRecord) -> Agent:
        """The run's agent as its code is now.

        Raises:
            ConfigError: the code is gone, does not load, or has no such agent.
        """
        return (await self._load(record)).find_agent(record.name)

    async def _drive(self, record: RunRecord) -> Completed | Failed:
        agent = (await self._load(record, flags=True)).find_agent(record.name)
        effects = OnlineEffects(
            record,
            journal=self._journal,
            serve=self._serve,
            clock=self._clock,
            new_id=self._new_id,
            deps=self._deps_of(agent.app),
        )
        return await AgentLoop(agent, record, effects).drive()

    async def _load(self, record: RunRecord, *, flags: bool = False) -> App:
        """The run's app, from its own file; other code than it began with is flagged in its events."""
        if record.app_path is None:
            if self._app is None:
                raise ConfigError(
                    "The run names no app.", hint="Start the worker with --app, or the run with app_path."
                )
            return self._app
        loaded = await asyncio.to_thread(self._load_code, Path(record.app_path))
        if flags and record.app_digest is not None and record.app_digest != loaded.digest:
            await self._flag(record, record.app_digest, loaded.digest)
        return loaded.app

    async def _flag(self, record: RunRecord, was: bytes, is_: bytes) -> None:
        payload = canonical({"was": was.hex(), "is": is_.hex()})
        events = await self._journal.events(record.project_id, record.id)
        if not any(event.kind == "code.changed" and event.payload == payload for event in events):
            await self._journal.append(record.id, record.epoch, "code.changed", payload)

    async def _park(self, record: RunRecord, parked: Parked) -> None:
        if parked.wake_after_seconds is None:
            await self._journal.park_run(record.id, record.epoch, reason=parked.message)
            return
        wake_at_us = self._clock.now_us() + round(parked.wake_after_seconds * 1e6)
        await self._journal.park_run(
            record.id, record.epoch, reason=parked.message, wake_at_us=wake_at_us, state="waiting"
        )

    async def _end(self, record: RunRecord, outcome: Completed | Failed) -> None:
        if isinstance(outcome, Completed):
            await self._journal.finish_run(record.id, record.epoch, "completed", output=outcome.output)
        else:
            await self._journal.finish_run(
                record.id, record.epoch, "failed", error_code=outcome.code, error_message=outcome.message
            )

    async def _while_leased(self, record: RunRecord, work: Coroutine[Any, Any, None]) -> None:
        """Renew the lease as long as the work goes on; a lost lease stops the work.

        Raises:
            LeaseLost: another worker owns the run.
        """
        working = asyncio.create_task(work)
        renewing = asyncio.create_task(self._renew(record))
        try:
            await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            return renewing.result()
        finally:
            for task in (working, renewing):
                task.cancel()
            await asyncio.gather(working, renewing, return_exceptions=True)

    async def _renew(self, record: RunRecord) -> None:
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            try:
                await self._journal.renew(record.id, record.epoch, lease_seconds=self._lease_seconds)
            except StorageError as error:
                log.warning("The lease of run %s was not renewed: %s", ids.show("run", record.id), error)

    def _deps_of(self, app: App) -> Any:
        if id(app) not in self._deps:
            self._deps[id(app)] = None if app.deps is None else app.deps()
        return self._deps[id(app)]
