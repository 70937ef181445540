"""PostgreSQL: a session on psycopg's raw cursor, with the same statements as SQLite.

Every integer is sent as bigint, every string as text and every bytes as bytea, in binary: the columns know no other
types, and a statement is prepared once whatever the size of its numbers.
"""

import selectors
import time
from collections.abc import Mapping, Sequence
from typing import Any

from mooring.core.errors import ConfigError, StorageError, StorageFull

from .transaction import Dialect, Lock

try:
    import psycopg
    from psycopg import errors
    from psycopg.adapt import AdaptersMap
    from psycopg.pq import ExecStatus, TransactionStatus
    from psycopg.types.numeric import Int8BinaryDumper
    from psycopg.types.string import BytesBinaryDumper, StrBinaryDumper
except ImportError:  # the extra is not installed: `connect` says how
    HAS_DRIVER = False
else:
    HAS_DRIVER = True

_RECORD_BATCH = "INSERT INTO batches (id, at_us) VALUES (%s, %s)"
_CLAIM_BATCH = "INSERT INTO batches (id, at_us) VALUES (%s, %s) ON CONFLICT (id) DO NOTHING"
_FORGET_BATCHES = "DELETE FROM batches WHERE at_us < %s"
_LOCK_BUDGETS = "SELECT id FROM budgets WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
_LOCK_PLACES = "SELECT pg_advisory_xact_lock(key) FROM (SELECT unnest(%s) AS key ORDER BY 1) AS wanted"
_LOCK_RUNS = "SELECT id FROM runs WHERE id = ANY(%s) ORDER BY id FOR UPDATE"

BATCH_LIFETIME_US = 3_600_000_000  # a lost COMMIT is looked up within seconds
FORGET_EVERY = 1_000  # batches

_TAKE_LOCK = "SELECT pg_try_advisory_lock(%s)"
# A machine that lost its power says nothing: its lock is free after five seconds, not after the system's two hours.
_WATCHED = (("tcp_keepalives_idle", "2"), ("tcp_keepalives_interval", "1"), ("tcp_keepalives_count", "3"))
_KEEPALIVES = {"keepalives": 1} | {name.removeprefix("tcp_"): int(value) for name, value in _WATCHED}
_SET_IF_KNOWN = "SELECT set_config(name, %s, false) FROM pg_settings WHERE name = %s"

_statements: dict[str, str] = {}


def error_classes() -> tuple[type[Exception], ...]:
    """What the driver raises."""
    require_driver()
    return (psycopg.Error,)


def require_driver() -> None:
    """Raises ConfigError with the install command when psycopg is missing."""
    if not HAS_DRIVER:
        raise ConfigError(
            "PostgreSQL needs the package 'psycopg'.", hint="Run: pip install 'mooring[postgres]'", param="storage.url"
        )


def translate(sql: str) -> str:
    """`?` placeholders as psycopg's; statements hold no literal with a question mark."""
    translated = _statements.get(sql)
    if translated is None:
        translated = _statements[sql] = sql.replace("%", "%%").replace("?", "%s")
    return translated


def explain(error: Exception) -> StorageError:
    """The driver's error in our words."""
    if isinstance(error, errors.DiskFull):
        return StorageFull(
            "The disk of the PostgreSQL server is full: nothing was written.",
            hint="Free space there; calls resume by themselves.",
        )
    # A connection that broke under a bare statement has no state and only the base class.
    if type(error) is psycopg.DatabaseError or (isinstance(error, psycopg.OperationalError) and not error.sqlstate):
        return StorageError(
            f"The PostgreSQL server is away: {_first_line(error)}.", hint="Calls resume when it is back."
        )
    return StorageError(f"PostgreSQL refused: {_first_line(error)}.")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def connect(url: str, options: Mapping[str, Any] = {}) -> "psycopg.Connection[tuple[Any, ...]]":
    """A connection in autocommit mode: transactions are begun and ended by statements of our own.

    `options` are libpq's.

    Raises:
        ConfigError: the driver is missing.
        StorageError: the server cannot be reached.
    """
    require_driver()
    try:
        connection = psycopg.connect(url, autocommit=True, application_name="mooring", connect_timeout=10, **options)
    except psycopg.Error as error:
        raise explain(error) from error
    adapt(connection.adapters)
    return connection


def adapt(adapters: "AdaptersMap") -> None:
    """Bigint, text and bytea only."""
    for kind in (int, bool):
        adapters.register_dumper(kind, Int8BinaryDumper)
    adapters.register_dumper(str, StrBinaryDumper)
    for buffer in (bytes, bytearray, memoryview):
        adapters.register_dumper(buffer, BytesBinaryDumper)


class PostgresTx:
    """`Tx` on psycopg's cursor."""

    __slots__ = ("_cursor", "_run", "dialect")

    def __init__(self, cursor: "psycopg.Cursor[tuple[Any, ...]]") -> None:
        self.dialect: Dialect = "postgresql"
        self._cursor = cursor
        self._run: Any = cursor.execute

    def execute(self, sql: str, params: Sequence[object] = ()) -> int:
        self._run(_statements.get(sql) or translate(sql), params)
        return self._cursor.rowcount

    def one(self, sql: str, params: Sequence[object] = ()) -> tuple[Any, ...] | None:
        self._run(_statements.get(sql) or translate(sql), params)
        return self._cursor.fetchone()

    def all(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        self._run(_statements.get(sql) or translate(sql), params)
        return self._cursor.fetchall()


class PostgresSession:
    """One connection, used by one thread."""

    def __init__(self, url: str) -> None:
        self._connection = connect(url)
        self._cursor = self._connection.cursor(binary=True)
        self._run: Any = self._cursor.execute
        self._wire = self._connection.pgconn
        self._batches = 0
        self._has_savepoint = False
        self.tx = PostgresTx(self._cursor)

    def begin(self, batch_id: bytes, locks: Sequence[Lock]) -> None:
        self._control(b"BEGIN")
        now_us = time.time_ns() // 1000
        self._run(_RECORD_BATCH, (batch_id, now_us))
        self._batches += 1
        if self._batches % FORGET_EVERY == 0:
            self._run(_FORGET_BATCHES, (now_us - BATCH_LIFETIME_US,))
        if locks:
            budgets = [lock.id for lock in locks if lock.table == "budgets"]
            runs = [lock.id for lock in locks if lock.table == "runs"]
            if budgets:
                self._run(_LOCK_BUDGETS, (budgets,))
            if runs:
                self._run(_LOCK_RUNS, (runs,))
            places = [int.from_bytes(lock.id, "big", signed=True) for lock in locks if lock.table == "place"]
            if places:
                self._run(_LOCK_PLACES, (places,))

    def begin_read(self) -> None:
        self._control(b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def savepoint(self) -> None:
        # A savepoint costs a round trip here: the one before is released in the same one.
        self._control(b"RELEASE operation; SAVEPOINT operation" if self._has_savepoint else b"SAVEPOINT operation")
        self._has_savepoint = True

    def release(self) -> None:
        self.check()

    def check(self) -> None:
        if self._wire.transaction_status == TransactionStatus.INERROR:
            raise StorageError(
                "The operation went on after a statement of it had failed.", hint="Report this as a bug."
            )

    def undo(self) -> None:
        self._control(b"ROLLBACK TO operation")

    def commit(self) -> None:
        self._has_savepoint = False
        self._control(b"COMMIT")

    def rollback(self) -> None:
        self._has_savepoint = False
        if self._wire.transaction_status != TransactionStatus.IDLE:
            self._control(b"ROLLBACK")

    def _control(self, statement: bytes) -> None:
        """A statement without parameters or rows, on the bare protocol: a third of a cursor's cost."""
        result = self._wire.exec_(statement)
        if result.status != ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result)

    def is_usable(self, error: Exception) -> bool:
        if isinstance(error, errors.DiskFull) or (isinstance(error, psycopg.Error) and _is_transient(error)):
            return False
        return self._wire.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR)

    def is_alive(self) -> bool:
        return not (self._connection.closed or self._connection.broken)

    def was_committed(self, batch_id: bytes) -> bool:
        # An INSERT of the same id waits for a transaction that is still under way, so the answer is final.
        self._run(_CLAIM_BATCH, (batch_id, time.time_ns() // 1000))
        return self._cursor.rowcount == 0

    def close(self) -> None:
        self._cursor.close()
        self._connection.close()


class LockSession:
    """A connection that may hold a session's advisory lock, and notices at once when it is cut; used by one thread."""

    def __init__(self, url: str, key: int) -> None:
        self._connection = connect(url, _KEEPALIVES)
        self._cursor = self._connection.cursor(binary=True)
        self._key = key
        self.tx = PostgresTx(self._cursor)
        for name, value in (*_WATCHED, ("idle_session_timeout", "0")):
            self._cursor.execute(_SET_IF_KNOWN, (value, name))

    def try_take(self) -> bool:
        row = self._cursor.execute(_TAKE_LOCK, (self._key,)).fetchone()
        return bool(row and row[0])

    def wait_cut(self, wake: int) -> None:
        wire = self._connection.pgconn
        with selectors.DefaultSelector() as selector:
            selector.register(wire.socket, selectors.EVENT_READ)
            selector.register(wake, selectors.EVENT_READ)
            while all(key.fd != wake for key, _ in selector.select()):
                wire.consume_input()  # the server's last words, then the end, which raises

    def close(self) -> None:
        self._cursor.close()
        self._connection.close()


def _is_transient(error: "psycopg.Error") -> bool:
    """Class 40: a deadlock or a serialization failure; the same operation may well succeed alone."""
    return (error.sqlstate or "").startswith("40")
