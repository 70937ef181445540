"""The straight line of storage: open a database, write in groups, read in snapshots, close.

An operation is a function of a `Tx`. It may be run again after a failed batch, so it must do nothing but SQL.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, Self, TypeVar

from mooring.core.errors import ConfigError, StorageError

from . import migrate, postgresql, sqlite
from .completion import Job
from .readers import Readers
from .transaction import Dialect, Lock, OpenSession, Tx
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


class Database:
    """One database of this process: a writer thread, a few reader threads."""

    def __init__(self, dialect: Dialect, writer: Writer, readers: Readers) -> None:
        self.dialect: Dialect = dialect
        self._writer = writer
        self._readers = readers

    @classmethod
    def open(cls, url: str, *, durability: Durability = "kill", readers: int = 2) -> Self:
        """Open `sqlite:///path` or `postgresql://…`, bring its schema up to date under a lock, start the threads.

        Raises:
            ConfigError: the URL cannot be understood, or the database is newer than this program.
            StorageError: it cannot be opened.
        """
        if url.startswith("sqlite:///"):
            path = Path(url.removeprefix("sqlite:///"))
            path.parent.mkdir(parents=True, exist_ok=True)
            engine = Engine(
                "sqlite",
                partial(sqlite.SqliteSession, path, durability=durability),
                partial(sqlite.SqliteSession, path, durability=durability, is_reader=True),
                (sqlite.module().Error,),
                sqlite.explain,
            )
        elif url.startswith(("postgresql://", "postgres://")):
            url = "postgresql://" + url.partition("://")[2]
            session = partial(
                postgresql.PostgresSession, url
            )  # how hard a COMMIT is flushed is the server's own setting
            engine = Engine("postgresql", session, session, postgresql.error_classes(), postgresql.explain)
        else:
            raise ConfigError(
                "The database's URL must begin with sqlite:/// or postgresql://.",
                hint="Set [storage] url.",
                param="storage.url",
            )
        migrate.upgrade(url)
        writer = Writer(engine.open_writer, errors=engine.errors, explain=engine.explain)
        return cls(
            engine.dialect,
            writer,
            Readers(engine.open_reader, count=readers, errors=engine.errors, explain=engine.explain),
        )

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

    def close(self) -> None:
        """Write and answer what is pending, then close every connection."""
        self._writer.close()
        self._readers.close()
