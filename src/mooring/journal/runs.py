"""Runs: durable work with a lease. Who lost the lease writes nothing more; its epoch does not match."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, TypeVar

import msgspec

from mooring.core.errors import NotFound
from mooring.core.text import shorten
from mooring.storage import Lock, Tx

from .attempts import lease_lost
from .base import RUN_FINISHED
from .contents import BLOB_BYTES
from .ledger import Ledger
from .records import NewRun, RunEvent, RunRecord, RunState
from .repository import runs
from .repository.contents import RAW, Kept
from .repository.runs import Candidate, Stored
from .waiting import POLL_SECONDS, QUEUE, run_channel

LEASE_SECONDS = 10.0  # for stopped processes and partitions; a death is proven by its lock, at once
CLAIM_TRIES = 3  # runs of one project that a worker tries before it looks again: others claim at the same moment
EVENTS_AT_ONCE = 1_000
MOST_MESSAGE_CHARACTERS = 4_000
NO_BYTES = Kept(RAW, b"")

T = TypeVar("T")


class RunFinished(msgspec.Struct, frozen=True, omit_defaults=True):
    """The payload of `run.finished`."""

    state: RunState
    error_code: str | None = None
    error_message: str | None = None


class RunParked(msgspec.Struct, frozen=True, omit_defaults=True):
    """The payload of `run.parked`."""

    state: RunState
    reason: str
    wake_at_us: int | None = None


class Runs(Ledger):
    """Create, claim, write, end; read and wait."""

    async def create_run(self, run: NewRun) -> RunRecord:
        """Queue a run; the existing one where the project has one with its key.

        Raises:
            StorageFull: the disk is full.
        """
        self._database.require_space()
        body = await self._contents.pack(run.project_id, run.input)
        at_us = self._now()

        def create(tx: Tx) -> RunRecord:
            if runs.insert(tx, run.project_id, run, body, at_us):
                self._contents.write(tx, run.project_id, body)
            elif run.key is not None:
                return self._read(tx, runs.find_key(tx, run.project_id, run.key))
            return self._read(tx, runs.find(tx, run.project_id, run.id))

        created = await self._database.write_async(create)
        self._wakeups.notify(QUEUE)
        return created

    async def claim_run(self, handlers: Sequence[str], *, lease_seconds: float = LEASE_SECONDS) -> RunRecord | None:
        """Take a run that is due, or that a lost lease left behind; the project with the fewest at work comes first.

        On a full disk only one that has begun: it is in flight.
        """
        if self._may_be_dead:
            return None  # whose runs are given away takes no new ones
        at_us = self._now()

        def look(tx: Tx) -> list[Candidate]:
            found = [one for handler in handlers for one in runs.claimable(tx, handler, at_us, CLAIM_TRIES)]
            if len(found) > 1:
                running = runs.running(tx)
                found.sort(key=lambda one: (running.get(one.project_id, 0), one.id))
            return [one for one in found if one.epoch > 0] if self._database.is_full else found

        candidates = await self._database.read_async(look)
        if not candidates:
            return None
        until_us = at_us + round(lease_seconds * 1e6)

        def claim(tx: Tx) -> RunRecord | None:
            for one in candidates:
                if runs.claim(
                    tx, one.project_id, one.id, one.epoch, process_id=self.process_id, at_us=at_us, until_us=until_us
                ):
                    return self._read(tx, runs.find(tx, one.project_id, one.id))
            return None

        return await self._database.write_async(claim)

    async def wait_for_work(self, *, timeout_seconds: float) -> None:
        """Until a run may be there to claim, or the time is over; look with `claim_run` either way."""
        await self._wakeups.wait(QUEUE, timeout_seconds)

    async def renew(self, run_id: bytes, epoch: int, *, lease_seconds: float = LEASE_SECONDS) -> None:
        """Keep the lease.

        Raises:
            LeaseLost: another worker has it, or the run is over.
        """
        until_us = self._now() + round(lease_seconds * 1e6)
        if not await self._write_run(run_id, lambda tx: runs.renew(tx, run_id, epoch, until_us)):
            raise lease_lost()

    async def append(
        self, run_id: bytes, epoch: int, kind: str, payload: bytes, *, call_id: bytes | None = None
    ) -> int:
        """Write an event; its number.

        Raises:
            LeaseLost: another worker owns the run; nothing was written.
        """
        kept = await self._pack_event(run_id, payload)
        seq = await self._write_run(
            run_id, lambda tx: self._event(tx, run_id, epoch, kind, payload=kept, call_id=call_id)[0]
        )
        self._wakeups.notify(run_channel(run_id))
        return seq

    async def finish_run(
        self,
        run_id: bytes,
        epoch: int,
        state: Literal["completed", "failed", "cancelled"],
        *,
        output: bytes | None = None,
        error_code: str | None = None,
        error_message: str | None = None,
    ) -> None:
        """End the run, with the event `run.finished`.

        Raises:
            LeaseLost: another worker owns the run; nothing was written.
        """
        kept = await self._pack_event(run_id, output or b"")
        error_message = None if error_message is None else shorten(error_message, MOST_MESSAGE_CHARACTERS)
        payload = Kept(RAW, msgspec.json.encode(RunFinished(state, error_code, error_message)))
        at_us = self._now()

        def finish(tx: Tx) -> None:
            _, project_id = self._event(tx, run_id, epoch, "run.finished", payload=payload)
            self._contents.write(tx, project_id, kept)
            runs.finish(
                tx,
                project_id,
                run_id,
                state=state,
                output=None if output is None else kept,
                error_code=error_code,
                error_message=error_message,
                at_us=at_us,
            )
            self._publish(tx, project_id, RUN_FINISHED, run_id)

        await self._write_run(run_id, finish)
        self._wakeups.notify(run_channel(run_id))

    async def park_run(
        self,
        run_id: bytes,
        epoch: int,
        *,
        reason: str,
        wake_at_us: int | None = None,
        state: Literal["parked", "waiting"] = "parked",
    ) -> None:
        """Set the run aside: `waiting` until its time, `parked` until somebody resumes it; with the event `run.parked`.

        A reason with the word `uncertain` resumes by itself once no call of the run is uncertain any more.

        Raises:
            LeaseLost: another worker owns the run; nothing was written.
        """
        reason = shorten(reason, MOST_MESSAGE_CHARACTERS)
        payload = Kept(RAW, msgspec.json.encode(RunParked(state, reason, wake_at_us)))

        def park(tx: Tx) -> bool:
            _, project_id = self._event(tx, run_id, epoch, "run.parked", payload=payload)
            runs.park(tx, project_id, run_id, state=state, reason=reason, wake_at_us=wake_at_us)
            return runs.wake(tx, project_id, run_id)  # the late result may have come a moment before

        is_awake = await self._write_run(run_id, park)
        self._wakeups.notify(run_channel(run_id))
        if is_awake:
            self._wakeups.notify(QUEUE)

    async def resume_run(self, project_id: str, run_id: bytes) -> None:
        """Queue a run that was set aside; nothing happens to one that was not.

        Raises:
            NotFound: the project has no such run.
        """

        def resume(tx: Tx) -> bool:
            self._read(tx, runs.find(tx, project_id, run_id))
            return runs.resume(tx, project_id, run_id)

        if await self._write_run(run_id, resume):
            self._wakeups.notify(QUEUE)

    async def cancel_run(self, project_id: str, run_id: bytes) -> None:
        """End a run from outside: whoever works on it loses the lease. Nothing happens to one that is over.

        Raises:
            NotFound: the project has no such run.
        """
        payload = Kept(RAW, msgspec.json.encode(RunFinished("cancelled")))
        at_us = self._now()

        def cancel(tx: Tx) -> None:
            self._read(tx, runs.find(tx, project_id, run_id))
            seq = runs.cancel(tx, project_id, run_id)
            if seq is None:
                return
            runs.add_event(tx, project_id, run_id, seq, kind="run.finished", payload=payload, call_id=None, at_us=at_us)
            runs.finish(
                tx,
                project_id,
                run_id,
                state="cancelled",
                output=None,
                error_code=None,
                error_message=None,
                at_us=at_us,
            )
            self._publish(tx, project_id, RUN_FINISHED, run_id)

        await self._write_run(run_id, cancel)
        self._wakeups.notify(run_channel(run_id))

    # reading ---------------------------------------------------------------------------------------------------------

    async def get_run(self, project_id: str, run_id: bytes) -> RunRecord:
        """The run.

        Raises:
            NotFound: the project has no such run.
        """
        return await self._database.read_async(lambda tx: self._read(tx, runs.find(tx, project_id, run_id)))

    async def list_runs(
        self, project_id: str, *, state: RunState | None = None, limit: int = 50, before: bytes | None = None
    ) -> list[RunRecord]:
        """Runs, newest first; `before` is the last id of the page before."""

        def query(tx: Tx) -> list[RunRecord]:
            if state is None:
                found = runs.recent(tx, project_id, limit, before)
            else:
                found = runs.recent_in_state(tx, project_id, state, limit, before)
            return [self._read(tx, one) for one in found]

        return await self._database.read_async(query)

    async def last_run(self, project_id: str) -> RunRecord | None:
        """The newest run."""
        found = await self.list_runs(project_id, limit=1)
        return found[0] if found else None

    async def events(self, project_id: str, run_id: bytes, *, after: int = 0) -> list[RunEvent]:
        """Events of a run after a number, all of them, in order."""
        found: list[RunEvent] = []
        while True:
            last = found[-1].seq if found else after
            page = await self._database.read_async(partial(self._events, project_id, run_id, last))
            found += page
            if len(page) < EVENTS_AT_ONCE:
                return found

    async def wait_events(
        self, project_id: str, run_id: bytes, *, after: int, timeout_seconds: float
    ) -> list[RunEvent]:
        """Events after a number as soon as there are any; none when the time is over."""
        until = self._clock.monotonic() + timeout_seconds
        with self._wakeups.subscribe(run_channel(run_id)) as subscription:
            while True:
                found = await self.events(project_id, run_id, after=after)
                left = until - self._clock.monotonic()
                if found or left <= 0:
                    return found
                await subscription.wait(timeout_seconds=min(left, POLL_SECONDS))

    def _events(self, project_id: str, run_id: bytes, after: int, tx: Tx) -> list[RunEvent]:
        rows = runs.events(tx, project_id, run_id, after, EVENTS_AT_ONCE)
        return [runs.event_of(row, self._contents.read(tx, project_id, row[4], row[5])) for row in rows]

    def _read(self, tx: Tx, stored: Stored | None) -> RunRecord:
        if stored is None:
            raise NotFound("There is no such run in this project.", hint="List them with `mooring runs`.")
        project_id = stored.record.project_id
        output = self._contents.read(tx, project_id, *stored.output) if stored.output[0] is not None else None
        return msgspec.structs.replace(
            stored.record, input=self._contents.read(tx, project_id, *stored.input), output=output
        )

    # writing ---------------------------------------------------------------------------------------------------------

    async def _write_run(self, run_id: bytes, operation: Callable[[Tx], T]) -> T:
        return await self._database.write_async(operation, locks=(Lock("runs", run_id),) if self._needs_locks else ())

    async def _pack_event(self, run_id: bytes, payload: bytes) -> Kept:
        project_id: str | None = None
        if len(payload) >= BLOB_BYTES:
            project_id = await self._database.read_async(lambda tx: runs.project_of(tx, run_id))
        return await self._contents.pack(project_id or "", payload) or NO_BYTES

    def _event(
        self, tx: Tx, run_id: bytes, epoch: int, kind: str, *, payload: Kept, call_id: bytes | None = None
    ) -> tuple[int, str]:
        """Fence, number and write an event; its number and the project."""
        fenced = runs.next_seq(tx, run_id, epoch)
        if fenced is None:
            raise lease_lost()
        seq, project_id = fenced
        at_us = self._now()
        runs.add_event(tx, project_id, run_id, seq, kind=kind, payload=payload, call_id=call_id, at_us=at_us)
        self._contents.write(tx, project_id, payload)
        return seq, project_id
