"""What takes how much: rows and bytes by table, from counts and a sample, so that it is quick on any database."""

from typing import NamedTuple

from sqlalchemy import Table

from .snapshot import columns_of, tables
from .transaction import Tx

SAMPLE = 1_000


class Size(NamedTuple):
    """A table. On SQLite bytes are about those of its rows, without indexes; PostgreSQL knows all of it."""

    table: str
    rows: int
    size_bytes: int


def of_tables(tx: Tx) -> list[Size]:
    """Every table, the largest first."""
    return sorted((_size(tx, table) for table in tables()), key=lambda size: -size.size_bytes)


def _size(tx: Tx, table: Table) -> Size:
    name = str(table.name)
    row = tx.one(f"SELECT COUNT(*) FROM {name}")  # noqa: S608 - the schema's own names
    count = int(row[0]) if row else 0
    if tx.dialect == "postgresql":
        whole = tx.one("SELECT pg_total_relation_size(?::regclass)", (name,))
        return Size(name, count, int(whole[0]) if whole else 0)
    key = ", ".join(f"{column.name} DESC" for column in table.primary_key.columns)
    length = " + ".join(f"COALESCE(LENGTH({column}), 0)" for column in columns_of(table))
    sample = tx.one(f"SELECT AVG(n) FROM (SELECT {length} AS n FROM {name} ORDER BY {key} LIMIT ?)", (SAMPLE,))  # noqa: S608
    return Size(name, count, round(count * float(sample[0] or 0)) if sample else 0)
