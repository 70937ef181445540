"""Who is dead, and what that makes uncertain. A death is recorded while its lock is held, so it is never a guess.

The lock is a file's where the process is this machine's own. Of processes on other machines PostgreSQL is asked, whose
lock of a session is free also after a cut connection: an owner that lives finds out, and sends nothing meanwhile.
"""

import asyncio
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from mooring.core.errors import NotFound
from mooring.core.ids import read, show
from mooring.storage import Tx
from mooring.storage.liveness import if_dead, process_of

from .base import CALL_CLOSED
from .records import AttemptRecord, CallAnswer, CallRecord
from .repository import attempts, calls, processes, runs
from .repository.contents import Kept
from .repository.processes import ProcessRow
from .tools import Tools
from .waiting import QUEUE

Decision = Literal["completed", "failed", "retry"]
RETRY_CODE = "resolved_retry"


class UncertainCall(msgspec.Struct, frozen=True):
    """A call of which nobody can know whether it happened, and its attempts."""

    call: CallRecord
    attempts: tuple[AttemptRecord, ...]


class Liveness(Tools):
    """Register, sweep, bury; list and resolve what is uncertain."""

    _run_dir: Path | None = None
    _suspects: frozenset[bytes] = frozenset()

    async def register_process(self, *, kind: str, pid: int, lock_path: str | Path, address: str | None = None) -> None:
        """Write this process, which holds the lock of `lock_path`, and on PostgreSQL takes a session's lock as well."""
        self._run_dir = Path(lock_path).parent
        revive = functools.partial(processes.revive, process_id=self.process_id)
        self._session_lock = await asyncio.to_thread(self._database.session_lock, self.process_id, revive)
        row = ProcessRow(self.process_id, kind, pid, str(lock_path), address, self._now())
        await self._database.write_async(lambda tx: processes.register(tx, row))

    async def bury(self, process_id: bytes) -> int:
        """Record a proven death: what the process had in flight is uncertain, its runs are free to claim.

        Only the process's own attempts: a model call of a dead worker goes on in `serve`. How many became uncertain.
        """
        count = await self._database.write_async(lambda tx: self._bury(tx, process_id))
        self._wakeups.notify(QUEUE)
        return count

    def _bury(self, tx: Tx, process_id: bytes) -> int:
        at_us = self._now()
        processes.mark_dead(tx, process_id, at_us)
        lost = attempts.bury(tx, process_id)
        for call_id, project_id in lost:
            calls.set_uncertain(tx, project_id, call_id)
            self._publish(tx, project_id, CALL_CLOSED, call_id)
        for call_id, _ in calls.open_of(tx, process_id):
            self._close(tx, call_id, process_died(), None, at_us)
        runs.release_all(tx, process_id)
        return len(lost)

    async def sweep_dead(self, *, looks_far: bool = True) -> list[bytes]:
        """Bury every registered process whose lock can be taken, while holding it; their ids.

        `looks_far`: those of other machines, too. One of them is buried when two sweeps in a row find its lock free.
        """
        living = await self._database.read_async(processes.living)
        buried, far = await asyncio.to_thread(self._bury_dead, [row for row in living if row.id != self.process_id])
        if looks_far or self._suspects:
            buried += await self._bury_far(far)
        if buried:
            self._wakeups.notify(QUEUE)
        return buried

    async def _bury_far(self, process_ids: list[bytes]) -> list[bytes]:
        """Of those of whom no file here can tell. A connection that was cut a moment ago is back at the second look."""
        if not process_ids or self._session_lock is None or not self._session_lock.may_judge:
            self._suspects = frozenset()
            return []
        found = frozenset(await self._database.read_async(lambda tx: processes.unlocked(tx, process_ids)))
        suspects, self._suspects = self._suspects & found, found
        return [one for one in sorted(suspects) if await self._database.write_async(self._bury_if_free(one))]

    def _bury_if_free(self, process_id: bytes) -> Callable[[Tx], bool]:
        def bury(tx: Tx) -> bool:
            if not processes.lock(tx, process_id) or processes.is_dead(tx, process_id):
                return False
            self._bury(tx, process_id)
            return True

        return bury

    def _bury_dead(self, rows: list[ProcessRow]) -> tuple[list[bytes], list[bytes]]:
        """Who was buried, and of whom no file on this machine can tell."""
        buried: list[bytes] = []
        far: list[bytes] = []
        for row in rows:

            def record(process_id: bytes = row.id) -> None:
                self._database.write(lambda tx: self._bury(tx, process_id)).result()
                buried.append(process_id)

            if if_dead(Path(row.lock_path), record, removes=True) == "unknown":
                far.append(row.id)
        return buried, far

    async def clear_files(self) -> int:
        """Remove what dead processes left in this process's folder of locks; how many of them had left something.

        Most are cleared when they are buried. A process that was killed between its last word to the database and its
        end is dead on record, and its file lies there. One that is not on record is left alone: it may be starting.
        """
        if self._run_dir is None:
            return 0
        files = {path: read("proc", process_of(path)) for path in self._run_dir.glob("*-proc_*.lock")}

        def query(tx: Tx) -> list[Path]:
            return [path for path, process_id in files.items() if processes.is_dead(tx, process_id)]

        found = await self._database.read_async(query) if files else []
        return sum(if_dead(path, lambda: None, removes=True) == "dead" for path in found)

    async def retire(self) -> None:
        """A clean end of this process: nothing is in flight, and nobody need look for its lock."""
        await self.bury(self.process_id)
        if self._session_lock is not None:
            await asyncio.to_thread(self._session_lock.close)

    async def uncertain(self, project_id: str) -> list[UncertainCall]:
        """Calls of which nobody can know whether they happened."""

        def query(tx: Tx) -> list[UncertainCall]:
            found = calls.uncertain(tx, project_id)
            return [UncertainCall(call, tuple(attempts.of_call(tx, project_id, call.id))) for call in found]

        return await self._database.read_async(query)

    async def resolve_uncertain(
        self, project_id: str, call_id: bytes, *, decision: Decision, result: bytes | None, by: str
    ) -> None:
        """Somebody has found out: it happened (`completed`, with its result), it did not (`failed`), or do it again.

        The decision and who made it stay with the call. Costs that are not known stay held until reconciled.
        A run that was parked for it is queued again.

        Raises:
            NotFound: the project has no such uncertain call.
        """
        body = await self._pack_answer(project_id, call_id, result or b"")
        answer = _decided(decision, by, result or b"")
        is_waking = await self._database.write_async(
            lambda tx: self._resolve(tx, project_id, call_id, decision=decision, answer=answer, body=body)
        )
        if is_waking:
            self._wakeups.notify(QUEUE)

    def _resolve(
        self, tx: Tx, project_id: str, call_id: bytes, *, decision: Decision, answer: CallAnswer, body: Kept | None
    ) -> bool:
        call = calls.find(tx, project_id, call_id)
        if call is None or call.state != "uncertain":
            raise NotFound(
                f"{show('call', call_id)} is not uncertain (any more).", hint="List them: mooring runs uncertain."
            )
        at_us = self._now()
        outcome = "completed" if decision == "completed" else "failed"
        for reserved in attempts.decide(tx, project_id, call_id, outcome, at_us):
            if reserved.reserved_nanos:
                attempts.set_unknown(tx, reserved.attempt_id)
            else:
                attempts.settle(tx, reserved.attempt_id, 0)
        closed = self._close(tx, call_id, answer, body, at_us)
        if decision == "retry" and call.key is not None:
            calls.free_key(tx, project_id, call.key, call_id)
        return closed is not None and closed.is_waking


def process_died() -> CallAnswer:
    """The answer of a call whose process died between two attempts: nothing of it is in flight."""
    return CallAnswer(state="failed", status=502, error_code="process_died")


def _decided(decision: Decision, by: str, body: bytes) -> CallAnswer:
    facts = {"resolved_by": by, "resolved_as": decision}
    if decision == "completed":
        return CallAnswer(state="completed", body=body, attributes=facts)
    code = RETRY_CODE if decision == "retry" else "resolved_failed"
    return CallAnswer(state="failed", status=409, body=body, error_code=code, attributes=facts)
