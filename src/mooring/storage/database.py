"""The straight line of storage: open a database, write in groups, read in snapshots, close.

An operation is a function of a `Tx`. It may be run again after a failed batch, so it must do nothing but SQL.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, Self, TypeVar

from mooring.core.errors import ConfigError, StorageError, StorageFull
from mooring.core.registry import late

from . import sqlite
from .ballast import Ballast
from .completion import Job
from .datagrams import Datagrams
from .readers import Readers
from .schema_version import HEAD
from .session_lock import SessionLock, key_of
from .transaction import Dialect, Lock, OpenSession, Tx
from .wakeups import Channel, Wakeups
from .writer import Writer

T = TypeVar("T")
Durability = Literal["kill", "power"]


class Engine(NamedTuple):
    """What differs between the two databases."""

    dialect: Dialect
    open_writer: OpenSession
    open_reader: OpenSession
    errors: tuple[type[Exception], ...]
    explain: Callable[[Exception], StorageError]
    open_channel: "Callable[[Callable[[Callable[[Tx], None]], Future[None]]], Channel]"
    path: Path | None = None
    open_lock: Callable[[bytes, Callable[[Tx], bool]], SessionLock] | None = None


class Counters(NamedTuple):
    """Batches and the operations in them say how well they are grouped; `retried` batches failed as a whole.

    `pending` is what the writer has still to take: hand-overs, each of all that one pass of an event loop wrote.
    """

    batches: int
    operations: int
    retried: int
    pending: int


class Database:
    """One database of this process: a writer thread, a few reader threads."""

    def __init__(self, engine: Engine, *, readers: int, ballast: Ballast | None) -> None:
        self.dialect: Dialect = engine.dialect
        self._path = engine.path
        self._ballast = ballast
        on_full = ballast.free if ballast is not None else lambda: False
        self._writer = Writer(engine.open_writer, errors=engine.errors, explain=engine.explain, on_full=on_full)
        self._readers = Readers(engine.open_reader, count=readers, errors=engine.errors, explain=engine.explain)
        self.wakeups = Wakeups(engine.open_channel(self.write))
        self._open_lock = engine.open_lock
        self._locks: list[SessionLock] = []

    @classmethod
    def open(cls, url: str, *, durability: Durability = "kill", readers: int = 2, ballast: Path | None = None) -> Self:
        """Open `sqlite:///path` or `postgresql://…`, bring its schema up to date under a lock, start the threads.

        `ballast` is the path of a file whose space is given back when the disk is full (see `require_space`).

        Raises:
            ConfigError: the URL cannot be understood, or the database is newer than this program.
            StorageError: it cannot be opened.
        """
        engine = engine_of(url, durability)
        if not is_current(engine):
            late("mooring.storage.migrate").upgrade(
                _plain(url)
            )  # SQLAlchemy and Alembic: more than all the rest of a start
        return cls(engine, readers=readers, ballast=Ballast(ballast) if ballast is not None else None)

    @classmethod
    def beside(cls, path: Path, create: Callable[[Tx], None]) -> Self:
        """A SQLite file without migrations, for what can be made again: `create` brings its tables.

        Raises:
            StorageError: it cannot be opened or written.
        """
        database = cls(_sqlite(path, "kill"), readers=1, ballast=None)
        try:
            database.write(create).result()
        except BaseException:
            database.close()
            raise
        return database

    def require_space(self) -> None:
        """To be asked before new work is taken on; what is in flight is written without asking.

        Raises:
            StorageFull: the disk was full, and has no room for the ballast yet.
        """
        if self.is_full:
            raise StorageFull(
                "The disk is full: new calls are refused until there is room.",
                hint="Free space on the disk of MOORING_HOME; calls resume by themselves.",
            )

    @property
    def is_full(self) -> bool:
        """Whether new work is refused for want of space."""
        return self._ballast is not None and self._ballast.is_full

    @property
    def counters(self) -> Counters:
        """What was written since the start, for the metrics."""
        return Counters(self._writer.batches, self._writer.operations, self._writer.retried, self._writer.pending)

    def write(self, operation: Callable[[Tx], T], *, locks: Sequence[Lock] = ()) -> "Future[T]":
        """Queue an operation; the future is done after its COMMIT.

        An exception of the operation undoes only what the operation wrote, and is the future's.
        """
        job = Job(operation, locks)
        self._writer.submit(job)
        assert job.future is not None
        return job.future

    async def write_async(self, operation: Callable[[Tx], T], *, locks: Sequence[Lock] = ()) -> T:
        """The operation's result, after its COMMIT. A cancelled caller does not undo it."""
        job = Job(operation, locks, asyncio.get_running_loop())
        self._writer.submit(job)
        assert job.waiter is not None
        return await job.waiter  # type: ignore[no-any-return]

    def read(self, query: Callable[[Tx], T]) -> T:
        """The query's result; all its statements see one snapshot."""
        job = Job(query)
        self._readers.submit(job)
        assert job.future is not None
        return job.future.result()  # type: ignore[no-any-return]

    async def read_async(self, query: Callable[[Tx], T]) -> T:
        """The query's result, without blocking the loop."""
        job = Job(query, (), asyncio.get_running_loop())
        self._readers.submit(job)
        assert job.waiter is not None
        return await job.waiter  # type: ignore[no-any-return]

    def session_lock(self, identity: bytes, on_taken: Callable[[Tx], bool]) -> SessionLock | None:
        """The lock by which others know on PostgreSQL that this owner lives, taken; None on SQLite, where files do.

        `on_taken` runs with it in hand, each time that it was taken: True where the owner had been buried.

        Raises:
            StorageError: the server is away.
        """
        if self._open_lock is None:
            return None
        lock = self._open_lock(identity, on_taken)
        self._locks.append(lock)
        lock.take()
        return lock

    def scrub(self, *, is_whole: bool = False) -> bool:
        """On SQLite: empty the write-ahead log, which still holds what was deleted; False if a reader held it.

        `is_whole` first rewrites the file, for what earlier versions of rows left between others: it takes as much free
        space as the database, and writers wait. PostgreSQL's own vacuum does this by itself.
        """
        if self._path is None:
            return True
        session = sqlite.SqliteSession(self._path)
        try:
            if is_whole:
                session.tx.all("VACUUM")
            row = session.tx.one("PRAGMA wal_checkpoint(TRUNCATE)")
            return row is not None and row[0] == 0
        except sqlite.module().Error as error:
            raise sqlite.explain(error) from error
        finally:
            session.close()

    def close(self) -> None:
        """Write and answer what is pending, then close every connection."""
        self.wakeups.close()
        self._writer.close()
        self._readers.close()
        for lock in self._locks:
            lock.close()


def engine_of(url: str, durability: Durability = "kill") -> Engine:
    """How to talk to the database behind a URL; nothing is opened yet.

    Raises:
        ConfigError: the URL cannot be understood.
    """
    if url.startswith("sqlite:///"):
        return _sqlite(Path(url.removeprefix("sqlite:///")), durability)
    if url.startswith(("postgresql://", "postgres://")):
        return _postgresql(_plain(url))
    raise ConfigError(
        "The database's URL must begin with sqlite:/// or postgresql://.",
        hint="Set [storage] url.",
        param="storage.url",
    )


def _plain(url: str) -> str:
    """One scheme for PostgreSQL."""
    return "postgresql://" + url.removeprefix("postgres://") if url.startswith("postgres://") else url


def is_current(engine: Engine) -> bool:
    """Whether the database has this program's schema; if it cannot tell, migrating finds out."""
    try:
        session = engine.open_reader()
    except StorageError:
        return False
    try:
        session.begin_read()
        rows = session.tx.all("SELECT version_num FROM alembic_version")
        session.rollback()
    except engine.errors:
        return False
    finally:
        session.close()
    return rows == [(HEAD,)]


def _sqlite(path: Path, durability: Durability) -> Engine:
    path.parent.mkdir(parents=True, exist_ok=True)
    return Engine(
        "sqlite",
        partial(sqlite.SqliteSession, path, durability=durability),
        partial(sqlite.SqliteSession, path, durability=durability, is_reader=True),
        (sqlite.module().Error,),
        sqlite.explain,
        lambda _write: Datagrams(path),
        path,
    )


def _postgresql(url: str) -> Engine:
    postgresql = late("mooring.storage.postgresql")
    notifications = late("mooring.storage.notifications")
    session = partial(postgresql.PostgresSession, url)  # how hard a COMMIT is flushed is the server's own setting
    return Engine(
        "postgresql",
        session,
        session,
        postgresql.error_classes(),
        postgresql.explain,
        lambda write: notifications.Notifications(url, write),
        open_lock=lambda identity, on_taken: SessionLock(
            partial(postgresql.LockSession, url, key_of(identity)), on_taken=on_taken, errors=postgresql.error_classes()
        ),
    )
