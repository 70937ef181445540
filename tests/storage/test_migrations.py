"""The schema's history leads to exactly what the rooms describe, once, under a lock, and never backwards."""

import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Engine, create_engine, make_url
from sqlalchemy.pool import NullPool
from tests.storage.rooms import ROOMS
from tests.storage.rows import names, note

from mooring.core.errors import ConfigError
from mooring.storage import Database, migrate, sqlite
from mooring.storage.schema import metadata
from mooring.storage.schema_version import HEAD

HINT = "run: python -m tests.storage.write_revision"
SHAPES = {
    "sqlite": [
        "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL"
        " AND name NOT LIKE 'alembic%' AND name NOT LIKE 'sqlite%' ORDER BY 1, 2"
    ],
    "postgresql": [
        "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        " AND tablename NOT LIKE 'alembic%%' ORDER BY 1, 2",
        "SELECT table_name, column_name, ordinal_position, data_type, is_nullable, column_default"
        " FROM information_schema.columns WHERE table_schema = 'public'"
        " AND table_name NOT LIKE 'alembic%%' ORDER BY 1, 3",
    ],
}


def engine_of(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return create_engine(parsed, module=sqlite.module(), poolclass=NullPool)
    return create_engine(parsed.set(drivername="postgresql+psycopg"), poolclass=NullPool)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = engine_of(database_url)
    yield made
    made.dispose()


def shape(engine: Engine) -> list[tuple[str, ...]]:
    """Everything that the database itself says of its tables and indexes, spacing apart."""
    with engine.connect() as connection:
        return [
            tuple(" ".join(str(value).split()) for value in row)
            for query in SHAPES[engine.dialect.name]
            for row in connection.exec_driver_sql(query)
        ]


def is_comparable(thing: Any, _name: str | None, kind: str, *_more: Any) -> bool:
    """Alembic cannot compare indexes of expressions; `shape` does."""
    return kind != "index" or all(isinstance(one, Column) for one in thing.expressions)


def test_the_revisions_make_exactly_the_tables_that_the_rooms_describe(database_url: str, engine: Engine) -> None:
    metadata.create_all(engine)
    described = shape(engine)
    metadata.drop_all(engine)
    migrate.upgrade(database_url)
    assert shape(engine) == described, HINT
    with engine.connect() as connection, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*(unsupported reflection|autogenerate skipping)")  # `shape` compares these
        context = MigrationContext.configure(connection, opts={"include_object": is_comparable})
        differences = compare_metadata(context, metadata)
    assert differences == [], HINT
    assert {"gateway", "journal", "rag"} <= set(ROOMS)


def test_columns_are_bytes_integers_and_text_only_and_have_no_defaults() -> None:
    kinds = {type(column.type).__name__ for table in metadata.tables.values() for column in table.columns}
    assert kinds == {"LargeBinary", "BigInteger", "Text"}
    assert all(column.server_default is None for table in metadata.tables.values() for column in table.columns)


def test_opening_again_changes_nothing_and_keeps_the_data(database_url: str, engine: Engine) -> None:
    first = Database.open(database_url)
    first.write(lambda tx: note(tx, b"a")).result()
    first.close()
    before = shape(engine)
    again = Database.open(database_url)
    assert again.read(names) == [b"a"]
    again.close()
    assert shape(engine) == before


def test_a_newer_database_is_refused_with_what_to_do_and_left_as_it_is(database_url: str, engine: Engine) -> None:
    Database.open(database_url).close()
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    before = shape(engine)
    with pytest.raises(ConfigError, match=r"newer Mooring \(its schema is 9999\)\. Install that version"):
        Database.open(database_url)
    assert shape(engine) == before


def test_those_who_open_a_new_database_together_all_get_it(database_url: str) -> None:
    barrier = threading.Barrier(6)
    opened: list[Database] = []
    errors: list[Exception] = []

    def open_it() -> None:
        barrier.wait(30)
        try:
            opened.append(Database.open(database_url, readers=1))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for database in opened:
        database.close()
    assert errors == []
    assert len(opened) == 6


def test_a_migration_that_fails_leaves_nothing_behind(
    database_url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade = command.upgrade

    def fail_at_the_end(*given: Any) -> None:
        upgrade(*given)
        raise RuntimeError("killed in the middle")

    with monkeypatch.context() as patch:
        patch.setattr(command, "upgrade", fail_at_the_end)
        with pytest.raises(RuntimeError, match="killed"):
            migrate.upgrade(database_url)
    assert shape(engine) == []
    Database.open(database_url).close()


def test_the_revision_that_a_start_looks_for_is_the_newest_one() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]
