"""Writes the initial revision from the tables of all rooms: `python -m tests.storage.write_revision`.

To be run while no release has been made; after that, a change of a table is a revision of its own.
"""

from pathlib import Path

from sqlalchemy import BigInteger, Column, LargeBinary, Table, Text, UniqueConstraint
from tests.storage.rooms import ROOMS

import mooring.storage.migrations.versions as versions
from mooring.storage.schema import metadata

FILE = Path(next(iter(versions.__path__))) / "r0001_initial.py"
KINDS = {LargeBinary: "_bytes", BigInteger: "_int", Text: "_text"}
HEAD = '''"""The tables of the first release, as the rooms' `tables.py` describe them.

Written by `python -m tests.storage.write_revision` until that release; frozen afterwards.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:  # noqa: PLR0915 - a statement for each table and index
    """All rooms."""
'''
TAIL = """

def _bytes(name: str, *, is_key: bool = False, required: bool = False) -> "sa.Column[bytes]":
    return sa.Column(name, sa.LargeBinary, primary_key=is_key, nullable=not (is_key or required))


def _int(name: str, *, is_key: bool = False, required: bool = False) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, primary_key=is_key, nullable=not (is_key or required), autoincrement=False)


def _text(name: str, *, is_key: bool = False, required: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, primary_key=is_key, nullable=not (is_key or required))
"""


def _column(column: "Column[object]") -> str:
    kind = KINDS[type(column.type)]
    assert column.server_default is None, f"{column} has a default: write it where rows are made"
    fact = ", is_key=True" if column.primary_key else "" if column.nullable else ", required=True"
    return f'        {kind}("{column.name}"{fact}),'


def _place(expression: object) -> str:
    return f'"{expression.name}"' if isinstance(expression, Column) else f'sa.text("{expression}")'


def _table(table: Table) -> list[str]:
    lines = ["    op.create_table(", f'        "{table.name}",', *map(_column, table.columns)]
    for constraint in sorted(
        (c for c in table.constraints if isinstance(c, UniqueConstraint)), key=lambda c: str(c.name)
    ):
        names = ", ".join(f'"{column.name}"' for column in constraint.columns)
        lines.append(f'        sa.UniqueConstraint({names}, name="{constraint.name}"),')
    if not table.dialect_options["sqlite"]["with_rowid"]:
        lines.append("        sqlite_with_rowid=False,")
    lines.append("    )")
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        names = ", ".join(map(_place, index.expressions))
        where = index.dialect_options["sqlite"]["where"]
        options = ", unique=True" if index.unique else ""
        if where is not None:
            options += "".join(f', {dialect}_where=sa.text("{where}")' for dialect in ("sqlite", "postgresql"))
        lines.append(f'    op.create_index("{index.name}", "{table.name}", [{names}]{options})')
    return lines


def render() -> str:
    """The revision's text, before formatting."""
    tables = sorted(metadata.tables.values(), key=lambda table: table.name)
    return HEAD + "\n".join(line for table in tables for line in _table(table)) + "\n" + TAIL


if __name__ == "__main__":
    FILE.write_text(render())
    print(f"{FILE}: {len(metadata.tables)} tables of {', '.join(ROOMS)}. Now run: ruff format")
