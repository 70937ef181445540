"""Every table as pages of rows, read in one snapshot, and written again: the same on both databases.

Rows are read along the primary key, so a page is one short statement whatever the table's size; what is written
meanwhile is not seen. On SQLite the write-ahead log cannot be cut back while the snapshot is read.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Table

from mooring.core.errors import ConfigError, StorageError

from .database import Engine, engine_of
from .schema import metadata
from .schema_version import HEAD
from .transaction import Tx

PAGE_BYTES = 4 * 1024 * 1024
FIRST_ROWS, MOST_ROWS = 64, 4_096
MOST_PARAMETERS = 20_000  # of one statement: SQLite's limit is 32,766, PostgreSQL's 65,535

Row = tuple[Any, ...]


def tables() -> list[Table]:
    """All rooms' tables, by name; which batches were committed matters to the processes that run, to no copy."""
    return sorted((table for table in metadata.tables.values() if table.name != "batches"), key=lambda one: one.name)


def columns_of(table: Table) -> list[str]:
    """A table's columns, in the order in which rows are read."""
    return [str(column.name) for column in table.columns]


@contextmanager
def snapshot(url: str) -> Iterator[Tx]:
    """One reading transaction on the database, whatever its age; nothing is migrated.

    Raises:
        ConfigError: it holds no schema of ours, or another version's.
        StorageError: it cannot be read.
    """
    engine = engine_of(url)
    session = engine.open_reader()
    try:
        session.begin_read()
        _require_ours(engine, session.tx)
        yield session.tx
        session.rollback()
    except engine.errors as error:
        raise engine.explain(error) from error
    finally:
        session.close()


def _require_ours(engine: Engine, tx: Tx) -> None:
    try:
        found = tx.all("SELECT version_num FROM alembic_version")
    except engine.errors as error:
        raise ConfigError("There is no journal in this database yet.", hint="Start once: mooring up.") from error
    if found != [(HEAD,)]:
        raise ConfigError(
            f"The database has schema {found[0][0] if found else 'none'}, this program {HEAD}.",
            hint="Back it up with the version that wrote it.",
        )


def pages(tx: Tx, table: Table) -> Iterator[list[Row]]:
    """All rows of a table in pages of about `PAGE_BYTES`, in the order of its primary key."""
    key = [column.name for column in table.primary_key.columns]
    places = [columns_of(table).index(name) for name in key]
    names, order = ", ".join(columns_of(table)), ", ".join(key)
    marks = ", ".join("?" * len(key))
    first = f"SELECT {names} FROM {table.name} ORDER BY {order} LIMIT ?"  # noqa: S608 - the schema's own names
    more = f"SELECT {names} FROM {table.name} WHERE ({order}) > ({marks}) ORDER BY {order} LIMIT ?"  # noqa: S608
    limit, rows = FIRST_ROWS, tx.all(first, (FIRST_ROWS,))
    while rows:
        yield rows
        if len(rows) < limit:
            return
        last = [rows[-1][place] for place in places]
        limit = max(FIRST_ROWS, min(MOST_ROWS, PAGE_BYTES * len(rows) // max(1, size_of(rows))))
        rows = tx.all(more, (*last, limit))


def size_of(rows: Sequence[Row]) -> int:
    """About how many bytes the rows hold."""
    return sum(len(value) if isinstance(value, bytes | str) else 8 for row in rows for value in row)


def insert(tx: Tx, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Write rows of a page, many with each statement.

    Raises:
        StorageError: this program's table has no such columns.
    """
    known = metadata.tables.get(table)
    if known is None or not set(columns) <= set(known.columns.keys()):
        raise StorageError(
            f"The backup's table '{table}' has columns that this version does not know.",
            hint="Restore it with the version that made it, then upgrade.",
        )
    at_once = max(1, MOST_PARAMETERS // len(columns))
    marks = f"({', '.join('?' * len(columns))})"
    for start in range(0, len(rows), at_once):
        some = rows[start : start + at_once]
        statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([marks] * len(some))}"  # noqa: S608
        tx.execute(statement, [value for row in some for value in row])


def is_empty(tx: Tx) -> bool:
    """Whether no table of ours holds a row."""
    return all(tx.one(f"SELECT 1 FROM {table.name} LIMIT 1") is None for table in tables())  # noqa: S608


def damage(tx: Tx) -> list[str]:
    """What the database itself finds wrong with its file; PostgreSQL looks after its own."""
    if tx.dialect != "sqlite":
        return []
    return [row[0] for row in tx.all("PRAGMA integrity_check") if row[0] != "ok"]
