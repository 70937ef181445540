"""Operations on the one table that storage owns, for its tests."""

import threading

from mooring.storage import Database, Tx

MARK = 2**60  # far in the future, so that these rows are told apart from the writer's own and never swept


def note(tx: Tx, name: bytes) -> int:
    """Write one row."""
    return tx.execute("INSERT INTO batches (id, at_us) VALUES (?, ?)", (name, MARK))


def names(tx: Tx) -> list[bytes]:
    """The names of all rows that `note` wrote."""
    return [row[0] for row in tx.all("SELECT id FROM batches WHERE at_us = ? ORDER BY id", (MARK,))]


class Gate:
    """Holds the writer inside an operation, so that what is queued meanwhile becomes one batch."""

    def __init__(self, database: Database) -> None:
        self._open = threading.Event()
        self._reached = threading.Event()
        self._future = database.write(self._hold)
        self._reached.wait(30)

    def _hold(self, _tx: Tx) -> None:
        self._reached.set()
        self._open.wait(30)

    def open(self) -> None:
        self._open.set()
        self._future.result(30)
