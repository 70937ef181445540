"""Reader threads: each with a connection of its own, each query in one snapshot."""

import threading
from collections.abc import Callable
from queue import SimpleQueue

from mooring.core.errors import StorageError

from .completion import Job, deliver
from .transaction import OpenSession, Session


class Readers:
    """`count` threads that run queries; they see everything that was committed before a query began."""

    def __init__(
        self,
        open_session: OpenSession,
        *,
        count: int,
        errors: tuple[type[Exception], ...],
        explain: Callable[[Exception], StorageError],
    ) -> None:
        self._open_session = open_session
        self._errors = errors
        self._explain = explain
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._gate = threading.Lock()
        self._is_closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"mooring-reader-{n}", daemon=True) for n in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> None:
        with self._gate:
            if self._is_closed:
                raise StorageError("The database is closed.", hint="Restart the process.")
            self._queue.put(job)

    def close(self) -> None:
        """Answer what is pending, then stop."""
        with self._gate:
            if self._is_closed:
                return
            self._is_closed = True
            for _ in self._threads:
                self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        session: Session | None = None
        while (job := self._queue.get()) is not None:
            session = self._answer(session, job)
            deliver((job,))
        if session is not None:
            session.close()

    def _answer(self, session: Session | None, job: Job) -> Session | None:
        """Run one query; the session for the next one, None if this one broke."""
        try:
            session = self._begin(session)
            try:
                job.result = job.operation(session.tx)
            finally:
                session.rollback()
        except self._errors as error:
            ours = self._explain(error)
            ours.__cause__ = error
            job.error = ours
        except BaseException as error:  # edge: whatever the query raised is its caller's to see
            job.error = error
        if session is not None and not session.is_alive():
            session.close()
            return None
        return session

    def _begin(self, session: Session | None) -> Session:
        if session is not None:
            try:
                session.begin_read()
            except self._errors:
                if session.is_alive():
                    raise
                session.close()  # the server was restarted while nothing was asked
            else:
                return session
        session = self._open_session()
        session.begin_read()
        return session
