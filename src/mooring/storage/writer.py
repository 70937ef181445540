"""Group commit: one thread gathers what is pending into one transaction and tells everyone after its COMMIT.

Refusals are rare, so a batch first runs without savepoints; one that holds a refusal is undone and runs again with each
operation under a savepoint, so that the refusal never undoes the others. A failed batch is tried again operation by
operation. After a lost COMMIT the batch is looked up before anyone is told.
"""

import asyncio
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue

from mooring.core.errors import StorageError, StorageFull

from .completion import Job, deliver
from .transaction import Lock, OpenSession, Session

LOOK_UP_SECONDS = 30.0  # a restart or a fail-over of the server takes less
MAX_TRIES = 8
MAX_BATCH = 256  # about: bounds how long the first of a batch waits for the last


class Writer:
    """The only writer of this process. `explain` turns the library's errors into ours; `errors` are their classes."""

    def __init__(
        self,
        open_session: OpenSession,
        *,
        errors: tuple[type[Exception], ...],
        explain: Callable[[Exception], StorageError],
        on_full: Callable[[], bool] = lambda: False,
    ) -> None:
        self._open_session = open_session
        self._errors = errors
        self._refusals: tuple[type[Exception], ...] = (StorageError, *errors)
        self._explain = explain
        self._on_full = on_full
        self._queue: SimpleQueue[list[Job] | None] = SimpleQueue()
        self._passing: dict[asyncio.AbstractEventLoop, list[Job]] = {}
        self._session: Session | None = open_session()
        self._gate = threading.Lock()
        self._is_closed = False
        self.batches = 0
        self.operations = 0
        self.retried = 0
        self._has_refusal = False
        self._thread = threading.Thread(target=self._work, name="mooring-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job; `deliver` tells its owner after the COMMIT.

        The jobs of one pass of an event loop go to the thread together: it wakes once, to a larger batch, and does not
        fight for the interpreter with the tasks of that pass.
        """
        if self._is_closed:
            raise _closed()
        if job.loop is None:
            self._enqueue([job])
            return
        passing = self._passing.get(job.loop)
        if passing is None:
            passing = self._passing[job.loop] = []
            job.loop.call_soon(self._pass_on, job.loop)
        passing.append(job)

    def _pass_on(self, loop: asyncio.AbstractEventLoop) -> None:
        jobs = self._passing.pop(loop, [])  # none where `close` was faster
        try:
            self._enqueue(jobs)
        except StorageError as error:
            for job in jobs:
                job.error = error
            deliver(jobs)

    def _enqueue(self, jobs: list[Job]) -> None:
        with self._gate:
            if self._is_closed:
                raise _closed()
            self._queue.put(jobs)

    @property
    def pending(self) -> int:
        """Lists of jobs that the thread has not taken yet."""
        return self._queue.qsize()

    def close(self) -> None:
        """Write what is pending, then stop."""
        with self._gate:
            if self._is_closed:
                return
            self._is_closed = True
            for loop in list(self._passing):
                self._queue.put(self._passing.pop(loop, []))
            self._queue.put(None)
        self._thread.join()

    # the thread ------------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        is_open = True
        while is_open:
            batch, is_open = self._gather()
            if batch:
                self.batches += 1
                self.operations += len(batch)
                try:
                    self._write(batch)
                except BaseException as error:  # edge: a mistake of our own: whoever waits must hear of it
                    for job in batch:
                        job.result, job.error = None, error
                    self._reset()
                deliver(batch)
        self._reset()

    def _gather(self) -> tuple[list[Job], bool]:
        """Everything that is pending, at least one; False when it was the last."""
        queue = self._queue
        batch: list[Job] = []
        jobs = queue.get()
        while jobs is not None:
            batch += jobs
            if batch and (queue.empty() or len(batch) >= MAX_BATCH):
                return batch, True
            jobs = queue.get_nowait()
        return batch, False

    def _write(self, batch: list[Job]) -> None:
        """Write a batch; each job holds its result or its error afterwards."""
        if self._attempt(batch) or (self._has_refusal and self._attempt(batch, is_careful=True)):
            return
        self.retried += 1
        for job in batch:
            self._write_alone(job)

    def _write_alone(self, job: Job) -> None:
        """Write one operation of a batch that failed; a few times, for who lost a deadlock may lose the next."""
        for tries_left in range(MAX_TRIES - 1, -1, -1):
            job.result = job.error = None
            if self._attempt([job], is_last=tries_left == 0):
                return
            time.sleep(random.uniform(0.001, 0.02))  # noqa: S311 - only spreads two writers

    def _attempt(self, batch: list[Job], *, is_last: bool = False, is_careful: bool = False) -> bool:
        """Run a batch in one transaction. False: nothing of it was written, and each job may be tried alone.

        `is_careful`: under savepoints. Without them one refusal undoes all, and `_has_refusal` says that it was one.
        """
        batch_id = os.urandom(16)
        self._has_refusal = False
        try:
            session = self._begin(batch_id, in_order(batch))
        except self._refusals as error:  # locked for long, or away: to try each alone would only take longer
            return self._failed(batch, error, is_last=True)
        try:
            if len(batch) == 1:
                if not self._run_alone(session, batch[0]):
                    return True
            elif is_careful:
                for job in batch:
                    self._run_one(session, job)
            elif not self._run_together(session, batch):
                return False
        except self._errors as error:
            return self._failed(batch, error, is_last=is_last)
        try:
            session.commit()
        except self._errors as error:
            return self._was_committed(batch_id) or self._failed(batch, error, is_last=is_last)
        return True

    def _begin(self, batch_id: bytes, locks: list[Lock]) -> Session:
        if self._session is not None:
            try:
                self._session.begin(batch_id, locks)
            except self._errors:
                if self._session.is_alive():
                    raise
                self._reset()  # the server was restarted while nothing was under way
            else:
                return self._session
        session = self._session = self._open_session()
        session.begin(batch_id, locks)
        return session

    def _run_alone(self, session: Session, job: Job) -> bool:
        """The only operation of its transaction needs no savepoint. False: it refused, and the whole was undone."""
        try:
            job.result = job.operation(session.tx)
            session.check()
        except Exception as error:  # edge: what an operation raises is its caller's to see
            if not session.is_usable(error):
                raise
            session.rollback()
            job.result = None
            job.error = self._in_our_words(error)
            return False
        return True

    def _run_together(self, session: Session, batch: list[Job]) -> bool:
        """All operations without savepoints: they cost as much as the rows. False: one refused, and all was undone."""
        try:
            for job in batch:
                job.result = job.operation(session.tx)
                session.check()
        except Exception as error:  # edge: what an operation raises is its caller's to see
            if not session.is_usable(error):
                raise
            self._undo()
            for job in batch:
                job.result = None
            self._has_refusal = True
            return False
        return True

    def _run_one(self, session: Session, job: Job) -> None:
        session.savepoint()
        try:
            job.result = job.operation(session.tx)
            session.release()
        except Exception as error:  # edge: what an operation raises is its caller's to see
            if not session.is_usable(error):
                raise
            session.undo()
            job.result = None
            job.error = self._in_our_words(error)

    # failures --------------------------------------------------------------------------------------------------------

    def _failed(self, batch: list[Job], error: Exception, *, is_last: bool) -> bool:
        """Undo the transaction. True: the jobs hold the error; False: each may be tried alone."""
        self._undo()
        failure = self._in_our_words(error)
        if isinstance(failure, StorageFull):
            has_room = self._on_full()
            is_last = (is_last or len(batch) == 1) and not has_room
        if is_last:
            for job in batch:
                job.result, job.error = None, failure
        return is_last

    def _undo(self) -> None:
        if self._session is None:
            return
        try:
            self._session.rollback()
        except self._errors:
            self._reset()
        else:
            if not self._session.is_alive():
                self._reset()

    def _was_committed(self, batch_id: bytes) -> bool:
        """Look the batch up on a new connection, if this one is gone.

        Raises:
            StorageError: the server stayed away; nobody can know.
        """
        if self._session is not None and self._session.is_alive():
            return False
        give_up_at = time.monotonic() + LOOK_UP_SECONDS
        while True:
            self._reset()
            try:
                self._session = self._open_session()
                return self._session.was_committed(batch_id)
            except self._refusals as error:
                if time.monotonic() > give_up_at or self._is_closed:
                    raise StorageError(
                        "The database went away during a COMMIT and did not come back: what was written is unknown.",
                        hint="Look whether it is there before you write it again.",
                    ) from error
                time.sleep(0.2)

    def _in_our_words(self, error: BaseException) -> BaseException:
        if isinstance(error, self._errors):
            ours = self._explain(error)
            ours.__cause__ = error
            return ours
        return error

    def _reset(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with suppress(*self._errors):
                session.close()


def _closed() -> StorageError:
    return StorageError("The database is closed.", hint="Restart the process.")


def in_order(batch: Sequence[Job]) -> list[Lock]:
    """Every lock of the batch once, in the order in which all writers take them."""
    return sorted({lock for job in batch for lock in job.locks})
