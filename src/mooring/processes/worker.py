"""The worker loop: claim a run, let its handler work, take the next; bury dead processes in between.

Every process of a home sweeps, so a dead worker's runs are taken over at once, not after the lease's time-out.
"""

import asyncio
import contextlib
import itertools
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from mooring.core.errors import LeaseLost, MooringError
from mooring.core.ids import show
from mooring.journal.journal import Journal
from mooring.journal.records import RunRecord

log = logging.getLogger("mooring.worker")
events = logging.getLogger("mooring.run")  # speaks where lines are JSON

SWEEP_SECONDS = 0.1  # one flock attempt per live process: microseconds
FAR_TURNS = 5  # twice a second PostgreSQL is asked for the processes of other machines
CLEAR_TURNS = 600  # once a minute
IDLE_SECONDS = 0.25  # polling is the fall-back of the wake-up
LEASE_SECONDS = 10.0

Handler = Callable[[RunRecord], Awaitable[None]]


class Worker:
    """Works on up to `slots` runs at once, until `stop`.

    `handlers` are functions by the name that a run's row holds. A handler keeps its run's lease and ends
    the run; what it raises ends it here.
    """

    def __init__(self, journal: Journal, handlers: Mapping[str, Handler], *, slots: int = 8) -> None:
        self._journal = journal
        self._handlers = handlers
        self._slots = slots
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """No new runs; running ones may finish their step (see `run`)."""
        self._stopping.set()

    async def run(self, *, drain_seconds: float = 5.0) -> None:
        """Until `stop`; then waits for the running ones, and gives back what is left to other workers."""
        sweeper = asyncio.create_task(sweep(self._journal))
        try:
            while not self._stopping.is_set():
                if len(self._running) < self._slots:
                    await self._claim_one()
                else:
                    await self._first_of(asyncio.wait([*self._running], return_when=asyncio.FIRST_COMPLETED))
        finally:
            sweeper.cancel()
            if self._running:
                await asyncio.wait(self._running, timeout=drain_seconds)
            for task in self._running:
                task.cancel()
            await asyncio.gather(sweeper, *self._running, return_exceptions=True)

    async def _claim_one(self) -> None:
        record = None
        try:
            record = await self._journal.claim_run(list(self._handlers), lease_seconds=LEASE_SECONDS)
        except MooringError as error:
            log.warning("No run could be claimed: %s", error)
        if record is None:
            await self._first_of(self._journal.wait_for_work(timeout_seconds=IDLE_SECONDS))
            return
        task = asyncio.create_task(self.work(record))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _first_of(self, event: Coroutine[Any, Any, object]) -> None:
        """Waits for `event`, or for `stop`."""
        either = {asyncio.create_task(self._stopping.wait()), asyncio.create_task(event)}
        _, waiting = await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def work(self, record: RunRecord) -> None:
        """One run, to its end or until another worker has it."""
        _tell(record, "run.claimed")
        try:
            await self._handlers[record.handler](record)
            _tell(record, "run.released")
        except LeaseLost:
            log.info("run %s went to another worker", record.id.hex())
        except Exception as error:  # the worker loop's edge: a run's failure is the run's, not the worker's
            log.exception("run %s failed", record.id.hex())
            code = error.code if isinstance(error, MooringError) else "internal_error"
            with contextlib.suppress(MooringError):
                await self._journal.finish_run(
                    record.id, record.epoch, "failed", error_code=code, error_message=f"{type(error).__name__}: {error}"
                )


def _tell(record: RunRecord, event: str) -> None:
    if events.isEnabledFor(logging.INFO):
        facts = {
            "event": event,
            "run": show("run", record.id),
            "epoch": record.epoch,
            "agent": record.name,
            "project": record.project_id,
            "user": record.user,
            "session": record.session,
        }
        events.info("%s %s", event, facts["run"], extra={"facts": facts})


async def sweep(journal: Journal) -> None:
    """Buries dead processes until cancelled, and now and then clears away what they left."""
    for turn in itertools.count():
        try:
            if turn % CLEAR_TURNS == 0:
                await journal.clear_files()
            for dead in await journal.sweep_dead(looks_far=turn % FAR_TURNS == 0):
                log.info("process %s is dead; its runs are free and its calls in flight are listed", dead.hex())
        except MooringError as error:
            log.warning("sweep failed: %s", error)
        await asyncio.sleep(SWEEP_SECONDS)


def stop_on_signals(stop: Callable[[], None]) -> None:
    """SIGTERM and SIGINT call `stop` in the running loop."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
