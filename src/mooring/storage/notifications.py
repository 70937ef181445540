"""Wake-ups over PostgreSQL's LISTEN / NOTIFY: hints travel in the writer's own transactions, one thread hears them."""

import threading
from collections.abc import Callable
from concurrent.futures import Future

from mooring.core.errors import StorageError

from . import postgresql
from .transaction import Tx

RECONNECT_SECONDS = 1.0
STOP_SECONDS = 0.5  # how often the listening thread looks whether it must end


class Notifications:
    """A `Channel` for everyone on the same database. `submit` queues an operation with the writer, without waiting."""

    def __init__(self, url: str, submit: Callable[[Callable[[Tx], None]], "Future[None]"]) -> None:
        self._url = url
        self._submit = submit
        self._queued: set[str] = set()
        self._refusals: tuple[type[Exception], ...] = (StorageError, *postgresql.error_classes())
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def send(self, channel: str) -> None:
        if channel in self._queued:
            return  # the hint that waits for its transaction comes after this news, and so tells of it too

        def operation(tx: Tx) -> None:
            self._queued.discard(channel)
            tx.one("SELECT pg_notify('mooring', ?)", (channel,))

        self._queued.add(channel)
        try:
            self._submit(operation).add_done_callback(lambda _: self._queued.discard(channel))
        except StorageError:  # closed: nobody waits here any more, and the others poll
            self._queued.discard(channel)

    def listen(self, on_hint: Callable[[str], None]) -> None:
        self._thread = threading.Thread(target=self._hear, args=(on_hint,), name="mooring-wakeups", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _hear(self, on_hint: Callable[[str], None]) -> None:
        while not self._stop.is_set():
            try:
                with postgresql.connect(self._url) as connection:
                    connection.execute("LISTEN mooring")
                    while not self._stop.is_set():
                        for hint in connection.notifies(timeout=STOP_SECONDS):
                            on_hint(hint.payload)
            except self._refusals:
                self._stop.wait(RECONNECT_SECONDS)  # the server is away: everyone polls
