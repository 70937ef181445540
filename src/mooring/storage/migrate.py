"""Bring a database's schema up to date, under a lock that all processes share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool

from . import sqlite
from .schema import metadata


def upgrade(url: str) -> None:
    """Create or upgrade the schema."""
    with _engine(url) as engine, engine.begin() as connection:
        _apply(connection)


def _apply(connection: Connection) -> None:
    metadata.create_all(connection)


@contextmanager
def _engine(url: str) -> Iterator[Engine]:
    engine = create_engine(url, module=sqlite.module(), poolclass=NullPool)
    event.listen(engine, "connect", _manual)
    event.listen(engine, "begin", _immediate)
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
