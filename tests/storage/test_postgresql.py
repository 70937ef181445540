"""What can happen to a PostgreSQL server in the middle of work, and what our callers see of it."""

import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest
from tests.storage.rows import Gate, names, note

import mooring.journal.tables  # noqa: F401 - locks name its rows
from mooring.core.errors import StorageError
from mooring.storage import Database, Lock, Tx
from mooring.storage.postgresql import PostgresSession

# A run with nothing in it: only its row is locked.
RUN = """INSERT INTO runs
(id, project_id, handler, name, state, epoch, next_seq, created_at_us, settled_nanos, held_nanos)
VALUES (?, 'p', 'h', 'n', 'queued', 0, 1, 0, 0, 0)"""
OTHERS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture
def server(postgres_url: str) -> Iterator[Database]:
    opened = Database.open(postgres_url, readers=1)
    yield opened
    opened.close()


def cut_connections(url: str) -> None:
    """What a restart or a fail-over does to every client."""
    with psycopg.connect(url, autocommit=True) as connection:
        for (pid,) in connection.execute(OTHERS).fetchall():
            connection.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))


def test_a_connection_that_was_cut_while_idle_is_made_again_unseen(server: Database, postgres_url: str) -> None:
    server.write(lambda tx: note(tx, b"a")).result()
    assert server.read(names) == [b"a"]
    cut_connections(postgres_url)
    assert server.write(lambda tx: note(tx, b"b")).result() == 1
    assert server.read(names) == [b"a", b"b"]


def test_a_connection_that_is_cut_in_mid_batch_loses_and_doubles_nothing(server: Database, postgres_url: str) -> None:
    cuts = [None]

    def cut_once(tx: Tx) -> None:
        note(tx, b"cutter")
        if cuts:
            cuts.pop()
            cut_connections(postgres_url)

    gate = Gate(server)
    futures = [
        server.write(lambda tx: note(tx, b"a")),
        server.write(cut_once),
        server.write(lambda tx: note(tx, b"z")),
    ]
    gate.open()
    assert [future.exception() for future in futures] == [None, None, None]
    assert server.read(names) == [b"a", b"cutter", b"z"]
    assert server.counters.retried == 1


@pytest.mark.parametrize("has_happened", [True, False])
def test_a_lost_commit_is_looked_up_before_anyone_is_told(
    server: Database, postgres_url: str, monkeypatch: pytest.MonkeyPatch, has_happened: bool
) -> None:
    commit = PostgresSession.commit
    commits: list[str] = []

    def lose_the_second(session: PostgresSession) -> None:
        """The connection breaks after, or before, the server has carried the COMMIT out."""
        commits.append("commit")
        if len(commits) == 2:
            if has_happened:
                commit(session)
            cut_connections(postgres_url)
        commit(session)

    gate = Gate(server)  # its own COMMIT is the first
    futures = [server.write(lambda tx, n=n: note(tx, b"%d" % n)) for n in range(3)]
    monkeypatch.setattr(PostgresSession, "commit", lose_the_second)
    gate.open()
    assert [future.result(30) for future in futures] == [1, 1, 1]
    assert server.read(names) == [b"0", b"1", b"2"]
    assert server.counters.retried == (0 if has_happened else 1)


def test_two_writers_that_lock_the_same_rows_in_any_order_never_deadlock(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE counters (id BYTEA PRIMARY KEY, n BIGINT)")
        connection.execute("INSERT INTO counters VALUES ('a', 0), ('b', 0)")
    first, second = Database.open(postgres_url), Database.open(postgres_url)
    first.write(lambda tx: [tx.execute(RUN, (name,)) for name in (b"a", b"b")]).result()
    locks = [Lock("runs", b"a"), Lock("runs", b"b")]
    barrier = threading.Barrier(2)

    def count(database: Database, order: list[Lock]) -> None:
        barrier.wait(30)
        for _ in range(50):
            futures = [
                database.write(
                    lambda tx, lock=lock: tx.execute("UPDATE counters SET n = n + 1 WHERE id = ?", (lock.id,)),
                    locks=[lock],
                )
                for lock in order
            ]
            for future in futures:
                future.result(30)

    threads = [
        threading.Thread(target=count, args=(first, locks)),
        threading.Thread(target=count, args=(second, locks[::-1])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert first.read(lambda tx: tx.all("SELECT n FROM counters ORDER BY id")) == [(100,), (100,)]
    assert (first.counters.retried, second.counters.retried) == (0, 0)
    first.close()
    second.close()


def test_a_deadlock_on_other_rows_is_retried_one_by_one(postgres_url: str) -> None:
    first, second = Database.open(postgres_url), Database.open(postgres_url)
    for name in (b"a", b"b"):
        first.write(lambda tx, name=name: note(tx, name)).result()
    barrier = threading.Barrier(2)

    def touch(*order: bytes) -> Callable[[Tx], int]:
        is_first = [True]

        def operation(tx: Tx) -> int:
            tx.execute("UPDATE batches SET at_us = at_us + 1 WHERE id = ?", (order[0],))
            if is_first:  # the first try of both meets in the middle
                is_first.clear()
                barrier.wait(30)
            return tx.execute("UPDATE batches SET at_us = at_us + 1 WHERE id = ?", (order[1],))

        return operation

    futures = [first.write(touch(b"a", b"b")), second.write(touch(b"b", b"a"))]
    assert [future.result(30) for future in futures] == [1, 1]
    assert first.counters.retried + second.counters.retried >= 1
    first.close()
    second.close()


def test_a_server_that_is_away_is_a_storage_error_that_says_so() -> None:
    with pytest.raises(StorageError, match="away"):
        Database.open("postgresql://nobody@127.0.0.1:1/nothing")


def test_text_that_postgresql_cannot_hold_is_refused_for_that_operation_alone(server: Database) -> None:
    gate = Gate(server)
    bad = server.write(lambda tx: tx.one("SELECT ?", ("a\0b",)))
    good = server.write(lambda tx: note(tx, b"a"))
    gate.open()
    with pytest.raises(StorageError):
        bad.result()
    assert good.result() == 1
    assert server.counters.retried == 0
