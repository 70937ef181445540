"""`mooring doctor --sizes`: what takes how much, and what [retention] lets go."""

from typing import Any

import msgspec

from mooring.storage import sizes
from mooring.wiring import Server

from .copies import know_every_table
from .doctor import size_of

EXAMPLE_DAYS = 30.0


class Freed(msgspec.Struct, frozen=True):
    """What a rule of [retention] would delete now."""

    rule: str
    is_set: bool
    rows: int
    size_bytes: int


class Sizes(msgspec.Struct, frozen=True):
    """The report."""

    files: dict[str, int]
    tables: list[tuple[str, int, int]]
    freed: list[Freed]


async def report(rooms: Server) -> Sizes:
    """Files on disk, tables, and the effect of the rules, or of thirty days where none is set."""
    know_every_table()
    tables = await rooms.database.read_async(sizes.of_tables)
    per_row = {table.table: table.size_bytes / table.rows if table.rows else 0.0 for table in tables}
    retention = rooms.config.retention
    freed = []
    for rule, days, counted, with_it in (
        ("calls_days", retention.calls_days, "calls", ("calls", "attempts")),
        ("runs_days", retention.runs_days, "runs", ("runs",)),
    ):
        old: Any = await rooms.journal.older_than(days or EXAMPLE_DAYS)
        rows = old[counted]
        freed.append(
            Freed(
                rule=f"{rule} = {days or EXAMPLE_DAYS:g}",
                is_set=days is not None,
                rows=rows,
                size_bytes=round(rows * sum(per_row[table] for table in with_it)),
            )
        )
    files = {
        entry.name: size_of(entry) for entry in rooms.home.path.iterdir() if entry.name not in (".gitignore", "run")
    }
    return Sizes(files, [(table.table, table.rows, table.size_bytes) for table in tables if table.rows], freed)
