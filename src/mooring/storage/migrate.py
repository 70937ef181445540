"""Bring a database's schema up to date, under a lock that all processes share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from mooring.core.errors import ConfigError

from . import estimates, postgresql, sqlite

_SCRIPTS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = (
    7_306_091_146_550_211_943  # the advisory lock's number: the same in every process, else without meaning
)


def upgrade(url: str) -> None:
    """Create or upgrade the schema.

    Raises:
        ConfigError: the URL cannot be understood, or the database is newer than this program.
        StorageError: the database refused.
    """
    is_sqlite = url.startswith("sqlite:")
    try:
        with _engine(url) as engine, engine.begin() as connection:
            if not is_sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            _apply(connection)
    except DBAPIError as error:
        cause = error.orig if isinstance(error.orig, Exception) else error
        raise (sqlite if is_sqlite else postgresql).explain(cause) from error


def _apply(connection: Connection) -> None:
    """Run the revisions that the database lacks.

    Raises:
        ConfigError: it knows one that this program does not.
    """
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    present = set(MigrationContext.configure(connection).get_current_heads())
    unknown = present - {revision.revision for revision in scripts.walk_revisions()}
    if unknown:
        raise ConfigError(
            f"The database was written by a newer Mooring (its schema is {', '.join(sorted(unknown))}).",
            hint="Install that version again, or restore a backup from before the upgrade.",
            param="storage.url",
        )
    if present != set(scripts.get_heads()):
        command.upgrade(config, "head")
        if connection.dialect.name == "sqlite":
            estimates.write(connection)


@contextmanager
def _engine(url: str) -> Iterator[Engine]:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError(
            "The database's URL cannot be understood.", hint="Write postgresql://user@host/name.", param="storage.url"
        ) from error
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, module=sqlite.module(), poolclass=NullPool)
        event.listen(engine, "connect", _manual)
        event.listen(engine, "begin", _immediate)
    else:
        postgresql.require_driver()
        engine = create_engine(parsed.set(drivername="postgresql+psycopg"), poolclass=NullPool)
    try:
        yield engine
    finally:
        engine.dispose()


def _manual(connection: Any, _record: object) -> None:
    """The driver must open no transaction of its own."""
    connection.isolation_level = None
    sqlite.prepare(connection, "kill")


def _immediate(connection: Connection) -> None:
    """Take the write lock at once: two processes that start together migrate one after the other."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
