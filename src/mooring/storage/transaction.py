"""What an operation sees of its transaction: a thin raw cursor with `?` placeholders on both databases."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol

Dialect = Literal["sqlite", "postgresql"]


class Lock(NamedTuple):
    """A row that the operation will change, locked before any operation of its batch runs.

    All locks of a batch are taken in (table, id) order, so that two batches never deadlock on them. A `place` is no row
    but a name of eight bytes: whoever counts under it before inserting counts what all others have committed.
    """

    table: Literal["runs", "budgets", "place"]
    id: bytes


class Tx(Protocol):
    """One transaction's cursor. Valid only while the operation or query that received it runs."""

    @property
    def dialect(self) -> Dialect: ...

    def execute(self, sql: str, params: Sequence[object] = ()) -> int:
        """Run one statement; the number of rows it changed."""
        ...

    def one(self, sql: str, params: Sequence[object] = ()) -> tuple[Any, ...] | None:
        """The first row, or None."""
        ...

    def all(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows."""
        ...


class RawCursor(Protocol):
    """What the two database modules' cursors have in common."""

    @property
    def rowcount(self) -> int: ...
    def execute(self, sql: Any, params: Any = ..., /) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def close(self) -> None: ...


class Session(Protocol):
    """One connection as the writer and the readers use it; `sqlite.py` and `postgresql.py` implement it."""

    @property
    def tx(self) -> Tx: ...

    def begin(self, batch_id: bytes, locks: Sequence[Lock]) -> None:
        """Open a writing transaction, record the batch where that is needed, lock the rows in order."""
        ...

    def begin_read(self) -> None:
        """Open a reading transaction: one snapshot for all statements of a query."""
        ...

    def check(self) -> None:
        """After an operation without a savepoint.

        Raises:
            StorageError: a statement of it had failed, it went on, and the transaction cannot be committed any more.
        """
        ...

    def savepoint(self) -> None: ...
    def release(self) -> None: ...
    def undo(self) -> None:
        """Back to the savepoint, which ends."""
        ...

    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def is_usable(self, error: Exception) -> bool:
        """Whether the transaction still stands after an error, so that `undo` can save the rest of the batch."""
        ...

    def is_alive(self) -> bool:
        """Whether the connection can be used again."""
        ...

    def was_committed(self, batch_id: bytes) -> bool:
        """After a lost COMMIT: whether it had happened. Waits for a transaction that is still under way."""
        ...

    def close(self) -> None: ...


OpenSession = Callable[[], Session]
