"""Proof of life for those on other machines: an advisory lock of a PostgreSQL session, held for the process's lifetime.

It has a connection and a thread of its own. The server frees the lock when the process ends, and so whoever can take it
may bury the owner. It is freed by a cut connection or a fail-over, too: an owner that lost it says so at once, sends
nothing more (`is_held`, `regained`), and connects again. Before it holds the lock again, `on_taken` makes it one of the
living in the database, where it may have been buried meanwhile.
"""

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from hashlib import blake2b
from typing import Protocol

from mooring.core.errors import StorageError, Unavailable

from .transaction import Tx

log = logging.getLogger("mooring.storage")

TAKE_SECONDS = 0.02  # between two tries while somebody else holds it: one that buries us, or our own lost session
RECONNECT_SECONDS = (0.0, 0.05, 0.2, 1.0)  # the first at once: what was cut by a hand comes back before anybody looks
PATIENCE_SECONDS = 5.0  # how long a new attempt waits for a lock that was lost
GRACE_SECONDS = 3.0  # for all others to come back: what cut our connection has cut theirs


class LockConnection(Protocol):
    """A connection that may hold the lock; see `postgresql.LockSession`."""

    @property
    def tx(self) -> Tx: ...
    def try_take(self) -> bool: ...
    def wait_cut(self, wake: int) -> None:
        """Until the connection is cut, or the descriptor `wake` can be read."""
        ...

    def close(self) -> None: ...


class SessionLock:
    """Held from `take` until `close`, but for the moments between a cut connection and the next one."""

    def __init__(
        self,
        connect: Callable[[], LockConnection],
        *,
        on_taken: Callable[[Tx], bool],
        errors: tuple[type[Exception], ...],
    ) -> None:
        self._connect = connect
        self._on_taken = on_taken
        self._refusals: tuple[type[Exception], ...] = (StorageError, *errors)
        self._held: Future[None] = Future()
        self._stopping = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        self._first = connect()
        self._held_since = 0.0
        self.is_held = False
        self.times_lost = 0
        self._thread = threading.Thread(target=self._hold, name="mooring-session-lock", daemon=True)

    def take(self) -> None:
        """Returns with the lock.

        Raises:
            StorageError: the server went away.
        """
        self._thread.start()
        if not self._wait(PATIENCE_SECONDS):
            raise StorageError("PostgreSQL gave no session lock.", hint="Look into its log; is it a pooled connection?")

    @property
    def may_judge(self) -> bool:
        """Whether another's lock that is free means anything: after a fail-over all are free for a moment."""
        is_steady = not self.times_lost or time.monotonic() - self._held_since > GRACE_SECONDS
        return self.is_held and is_steady

    async def regained(self) -> None:
        """Returns with the lock in hand; a lost one is waited for.

        Raises:
            Unavailable: it stayed lost.
        """
        if self.is_held:
            return
        await asyncio.wait([asyncio.wrap_future(self._held)], timeout=PATIENCE_SECONDS)
        if not self.is_held:
            raise cut_off()

    def close(self) -> None:
        """Let go. The owner is on record as ended, or will be found dead."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        os.write(self._wake_write, b".")
        if self._thread.ident is not None:
            self._thread.join()
        self._first.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    # the thread ------------------------------------------------------------------------------------------------------

    def _hold(self) -> None:
        tries = 0
        connection: LockConnection | None = self._first
        while not self._stopping.is_set():
            with contextlib.suppress(*self._refusals), contextlib.closing(connection or self._connect()) as open_now:
                if self._take(open_now):
                    tries = 0
                    open_now.wait_cut(self._wake_read)
            self._lost()
            connection = None
            self._stopping.wait(RECONNECT_SECONDS[min(tries, len(RECONNECT_SECONDS) - 1)])
            tries += 1

    def _take(self, connection: LockConnection) -> bool:
        while not connection.try_take():
            if self._stopping.wait(TAKE_SECONDS):
                return False
        if self._on_taken(connection.tx):
            log.warning("This process was taken for dead: its connection was cut. What it had in flight is uncertain.")
        self._held_since = time.monotonic()
        self.is_held = True
        self._held.set_result(None)
        return True

    def _lost(self) -> None:
        if not self.is_held:
            return
        self._held = Future()  # before the flag: who sees it lost must wait for the next
        self.is_held = False
        if not self._stopping.is_set():
            self.times_lost += 1
            log.warning("The session lock was lost: nothing is sent until it is held again.")

    def _wait(self, seconds: float) -> bool:
        try:
            self._held.result(seconds)
        except TimeoutError:
            return False
        return True


def key_of(identity: bytes) -> int:
    """The number that stands for an owner, beside those of other programs on the same database."""
    return int.from_bytes(blake2b(identity, digest_size=8, person=b"mooring").digest(), "big", signed=True)


def cut_off() -> Unavailable:
    """Others may take this process for dead."""
    return Unavailable(
        "This process has lost its session lock on PostgreSQL, and sends nothing until it holds it again.",
        hint="Send it again: another process of `serve` may answer, or this one in a moment.",
    )
