"""A fresh PostgreSQL database for a battery: it must neither see nor leave anything in the databases that are there."""

import contextlib
import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql


@contextlib.contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """The URL of a new database on the server of the URL `server`, whose user may create databases; dropped at the end.

    Raises:
        psycopg.Error: the server is away, or its user may not.
    """
    name = "mooring_verify_" + secrets.token_hex(6)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield urlunsplit(urlsplit(server)._replace(path="/" + name))
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
