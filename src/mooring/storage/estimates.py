"""What SQLite's planner believes of the tables: that they are large, in few projects. PostgreSQL finds out by itself.

Without statistics it takes an index of two columns for better than one of one: the calls of a run were then looked for
among all calls of the project. ANALYZE on a small or new database would teach it what is false by next year. So every
index gets an estimate from the names of its columns, and plans are the same on every installation.
"""

from collections.abc import Iterable

from sqlalchemy import Connection

ROWS = 1_000_000
FEW = 1_000  # rows of a partial index: what is open, unsettled, or has contents beside it
SAME = 10  # rows with the same run, trace, call, …
COARSE = {
    "project_id": 1,
    "state": 4,
    "kind": 4,
    "topic": 4,
    "handler": 4,
    "scope": 4,
}  # into how many parts they divide


def write(connection: Connection) -> None:
    """Write the estimates of all indexes, instead of what was there."""
    connection.exec_driver_sql("ANALYZE sqlite_schema")  # makes the table of statistics
    connection.exec_driver_sql("DELETE FROM sqlite_stat1")
    tables = connection.exec_driver_sql(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'alembic_version'"
    )
    for (table,) in tables.fetchall():
        indexes = connection.exec_driver_sql(
            'SELECT name, "unique", origin, partial FROM pragma_index_list(?)', (table,)
        )
        for name, is_unique, origin, is_partial in indexes.fetchall():
            found = connection.exec_driver_sql("SELECT name FROM pragma_index_info(?) ORDER BY seqno", (name,))
            estimate = of_index([row[0] for row in found], is_unique=bool(is_unique), is_partial=bool(is_partial))
            shown = table if origin == "pk" and _has_no_rowid(connection, table) else name
            connection.exec_driver_sql(
                "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)", (table, shown, estimate)
            )


def of_index(columns: Iterable[str | None], *, is_unique: bool, is_partial: bool) -> str:
    """Rows, then the rows that share the first column, the first two, …; None is an expression."""
    left = FEW if is_partial else ROWS
    numbers = [left]
    for column in columns:
        left = max(1, left // COARSE[column]) if column in COARSE else min(left, 1 if column == "id" else SAME)
        numbers.append(left)
    if is_unique:
        numbers[-1] = 1
    return " ".join(map(str, numbers))


def _has_no_rowid(connection: Connection, table: str) -> bool:
    found = connection.exec_driver_sql("SELECT wr FROM pragma_table_list WHERE name = ?", (table,)).fetchone()
    return bool(found and found[0])
