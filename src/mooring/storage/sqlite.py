"""SQLite: which library is safe, and a session on its raw cursor.

Source of the version rule: SQLite 3.7.0 to 3.51.2 can corrupt a WAL database that two connections write and checkpoint
(https://sqlite.org/wal.html, the WAL-reset bug); 3.44.6 and 3.50.7 carry the fix.
"""

import functools
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from mooring.core.errors import ConfigError, StorageError, StorageFull

from .transaction import Dialect, Lock, RawCursor

try:
    import pysqlite3.dbapi2 as wheel
except ImportError:  # no wheel for this platform
    wheel = None

BUSY_SECONDS = 15.0


def is_safe(version: tuple[int, ...]) -> bool:
    """Whether this SQLite may write a WAL database from several connections."""
    return version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51, 0) or (3, 44, 6) <= version < (3, 45, 0)


def choose(candidates: Sequence[ModuleType | None]) -> ModuleType:
    """The first safe library.

    Raises:
        ConfigError: none is safe.
    """
    present = [module for module in candidates if module is not None]
    for module in present:
        if is_safe(module.sqlite_version_info):
            return module
    versions = ", ".join(str(module.sqlite_version) for module in present)
    raise ConfigError(
        f"SQLite {versions} can corrupt a database in WAL mode, and no other SQLite is installed.",
        hint="Use SQLite 3.44.6, 3.50.7 or 3.51.3 and later, or set [storage] url to a PostgreSQL database.",
        param="storage.url",
    )


@functools.cache
def module() -> ModuleType:
    """The SQLite library that this process uses for every file: two libraries on one file would break its locks."""
    library = choose((wheel, sqlite3))
    # Each bytes or None without an adapter is asked, in vain and at 1.5 µs, whether it can adapt itself. These two give
    # back what they get; it halves the cost of an INSERT of ours.
    library.register_adapter(bytes, bytes)
    library.register_adapter(type(None), {}.get)
    return library


def prepare(connection: Any, durability: Literal["kill", "power"]) -> None:
    """WAL, and as much fsync as asked for: NORMAL survives kill -9, FULL a power loss."""
    connection.execute(f"PRAGMA busy_timeout = {round(BUSY_SECONDS * 1000)}")
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'power' else 'NORMAL'}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA cache_size = -16000")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA journal_size_limit = 67108864").fetchall()  # a WAL that once grew is cut back


def explain(error: Exception) -> StorageError:
    """The library's error in our words."""
    text = str(error)
    if "full" in text:
        return StorageFull(
            "The disk is full: nothing was written.",
            hint="Free space on the disk of MOORING_HOME; calls resume by themselves.",
        )
    if "locked" in text or "busy" in text:
        return StorageError(
            f"The database stayed locked for {BUSY_SECONDS:.0f} s.", hint="Look for another program that holds it open."
        )
    if "malformed" in text or "not a database" in text:
        return StorageError(
            f"The database is damaged: SQLite says that {text}.",
            hint="Stop Mooring, keep a copy of the home, and restore a backup: mooring restore FILE --force",
        )
    return StorageError(f"SQLite refused: {text}.")


class SqliteTx:
    """`Tx` on SQLite's raw cursor."""

    __slots__ = ("_cursor", "_run", "dialect")

    def __init__(self, cursor: RawCursor) -> None:
        self.dialect: Dialect = "sqlite"
        self._cursor = cursor
        self._run = cursor.execute

    def execute(self, sql: str, params: Sequence[object] = ()) -> int:
        return self._run(sql, params).rowcount  # type: ignore[no-any-return]

    def one(self, sql: str, params: Sequence[object] = ()) -> tuple[Any, ...] | None:
        rows = self._run(
            sql, params
        ).fetchall()  # to the end: a RETURNING that is left open would outlive its savepoint
        return rows[0] if rows else None

    def all(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._run(sql, params).fetchall()  # type: ignore[no-any-return]


class SqliteSession:
    """One connection, used by one thread."""

    def __init__(self, path: Path, *, durability: Literal["kill", "power"] = "kill", is_reader: bool = False) -> None:
        library = module()
        try:
            self._connection = library.connect(
                str(path), timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=512
            )
        except library.Error as error:
            raise explain(error) from error
        try:
            prepare(self._connection, durability)
            if is_reader:
                self._connection.execute("PRAGMA query_only = ON")
        except library.Error as error:
            self._connection.close()
            raise explain(error) from error
        self._cursor = self._connection.cursor()
        self._run = self._cursor.execute
        self.tx = SqliteTx(self._cursor)

    def begin(self, batch_id: bytes, locks: Sequence[Lock]) -> None:
        self._run("BEGIN IMMEDIATE")  # the one writer of the file: rows need no locks, and no COMMIT is ever lost

    def begin_read(self) -> None:
        self._run("BEGIN")

    def check(self) -> None:
        if not self._connection.in_transaction:
            raise StorageError("A statement of the operation had ended its transaction.", hint="Report this as a bug.")

    def savepoint(self) -> None:
        self._run("SAVEPOINT operation")

    def release(self) -> None:
        self._run("RELEASE operation")

    def undo(self) -> None:
        self._run("ROLLBACK TO operation")
        self._run("RELEASE operation")

    def commit(self) -> None:
        self._run("COMMIT")

    def rollback(self) -> None:
        if self._connection.in_transaction:
            self._run("ROLLBACK")

    def is_usable(self, error: Exception) -> bool:
        return bool(self._connection.in_transaction) and not isinstance(explain(error), StorageFull)

    def is_alive(self) -> bool:
        return True

    def was_committed(self, batch_id: bytes) -> bool:
        return False

    def close(self) -> None:
        self._cursor.close()
        self._connection.close()
