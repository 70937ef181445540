"""A database's operations are written in groups, each on its own feet."""

import asyncio
import random
import threading

import pytest
from tests.storage.rows import Gate, names, note

from mooring.core.errors import ConfigError, StorageError
from mooring.storage import Database, Tx


def refuse(tx: Tx) -> None:
    note(tx, b"refused")
    raise ValueError("no")


def test_what_was_written_can_be_read_as_soon_as_its_future_is_done(database: Database) -> None:
    assert database.write(lambda tx: note(tx, b"a")).result() == 1
    assert database.read(names) == [b"a"]


def test_what_is_pending_is_written_in_one_transaction(database: Database) -> None:
    gate = Gate(database)
    before = database.counters
    futures = [database.write(lambda tx, n=n: note(tx, b"%02d" % n)) for n in range(50)]
    gate.open()
    assert [future.result() for future in futures] == [1] * 50
    after = database.counters
    assert (after.batches - before.batches, after.retried) == (1, 0)
    assert len(database.read(names)) == 50


def test_the_exception_of_an_operation_undoes_only_that_operation(database: Database) -> None:
    gate = Gate(database)
    first = database.write(lambda tx: note(tx, b"first"))
    refused = database.write(refuse)
    last = database.write(lambda tx: note(tx, b"last"))
    gate.open()
    assert (first.result(), last.result()) == (1, 1)
    with pytest.raises(ValueError, match="no"):
        refused.result()
    assert database.read(names) == [b"first", b"last"]
    assert database.counters.retried == 0


def test_a_lone_operation_that_raises_leaves_nothing(database: Database) -> None:
    with pytest.raises(ValueError, match="no"):
        database.write(refuse).result()
    assert database.read(names) == []
    assert database.write(lambda tx: note(tx, b"next")).result() == 1


def test_a_constraint_that_fails_is_a_storage_error_and_spares_the_others(database: Database) -> None:
    gate = Gate(database)
    futures = [database.write(lambda tx, n=n: note(tx, b"%d" % n)) for n in (1, 2, 2, 3)]
    gate.open()
    assert [type(future.exception()) for future in futures] == [type(None), type(None), StorageError, type(None)]
    assert database.read(names) == [b"1", b"2", b"3"]
    assert database.counters.retried == 0


def test_an_operation_that_swallows_a_failed_statement_loses_nothing_of_the_others(database: Database) -> None:
    def careless(tx: Tx) -> None:
        note(tx, b"careless")
        try:
            tx.execute("INSERT INTO nowhere VALUES (1)")
        except Exception:
            return

    gate = Gate(database)
    futures = [
        database.write(lambda tx: note(tx, b"a")),
        database.write(careless),
        database.write(lambda tx: note(tx, b"z")),
    ]
    gate.open()
    assert [futures[0].result(), futures[2].result()] == [1, 1]
    is_refused = futures[1].exception() is not None
    assert database.read(names) == ([b"a", b"z"] if is_refused else [b"a", b"careless", b"z"])
    assert is_refused is (database.dialect == "postgresql"), "PostgreSQL cannot go on after a failed statement"


def test_any_mix_of_operations_and_refusals_keeps_exactly_what_was_acknowledged(database: Database) -> None:
    chance = random.Random(7)

    async def client(number: int) -> set[bytes]:
        kept = set()
        for step in range(20):
            name = b"%d/%d" % (number, step)
            is_bad = chance.random() < 0.3

            def operation(tx: Tx, name: bytes = name, is_bad: bool = is_bad) -> None:
                note(tx, name)
                if is_bad:
                    raise ValueError("no")

            try:
                await database.write_async(operation)
                kept.add(name)
            except ValueError:
                assert is_bad
        return kept

    async def act() -> set[bytes]:
        return set().union(*await asyncio.gather(*(client(number) for number in range(16))))

    assert asyncio.run(act()) == set(database.read(names))


def test_a_caller_that_is_cancelled_does_not_undo_its_operation(database: Database) -> None:
    async def act() -> None:
        gate = await asyncio.to_thread(Gate, database)
        task = asyncio.ensure_future(database.write_async(lambda tx: note(tx, b"a")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.to_thread(gate.open)
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    asyncio.run(act())
    database.write(lambda tx: None).result()
    assert database.read(names) == [b"a"]


def test_a_loop_that_was_closed_does_not_stop_the_writer(database: Database) -> None:
    async def abandon() -> None:
        task = asyncio.ensure_future(database.write_async(lambda tx: note(tx, b"a")))
        await asyncio.sleep(0)
        task.cancel()

    gate = Gate(database)
    asyncio.run(abandon())
    gate.open()
    assert database.write(lambda tx: note(tx, b"b")).result() == 1
    assert database.read(names) == [b"a", b"b"]


def test_a_query_sees_one_snapshot(database: Database) -> None:
    in_query, may_go_on = threading.Event(), threading.Event()

    def query(tx: Tx) -> tuple[list[bytes], list[bytes]]:
        first = names(tx)
        in_query.set()
        may_go_on.wait(30)
        return first, names(tx)

    results: list[tuple[list[bytes], list[bytes]]] = []
    reader = threading.Thread(target=lambda: results.append(database.read(query)))
    reader.start()
    in_query.wait(30)
    database.write(lambda tx: note(tx, b"a")).result()
    may_go_on.set()
    reader.join(30)
    assert results == [([], [])]
    assert database.read(names) == [b"a"]


def test_a_query_cannot_write(database: Database) -> None:
    with pytest.raises(StorageError):
        database.read(lambda tx: note(tx, b"a"))
    assert database.read(names) == []


def test_a_query_that_raises_leaves_its_reader_usable(database: Database) -> None:
    def query(tx: Tx) -> None:
        tx.all("SELECT * FROM nowhere")

    for _ in range(5):
        with pytest.raises(StorageError, match="nowhere"):
            database.read(query)
    assert asyncio.run(database.read_async(names)) == []


def test_bytes_integers_and_text_come_back_as_they_went_in(database: Database) -> None:
    values = (b"\x00\xff", 2**62, -1, "Grüße 🚢", None)
    casts = ", ".join(
        f"CAST(? AS {kind})"
        for kind in (
            ("BYTEA", "BIGINT", "BIGINT", "TEXT", "TEXT")
            if database.dialect == "postgresql"
            else ("BLOB", "BIGINT", "BIGINT", "TEXT", "TEXT")
        )
    )
    assert database.read(lambda tx: tx.one(f"SELECT {casts}", values)) == values


def test_a_statement_with_a_percent_sign_means_the_same_on_both(database: Database) -> None:
    database.write(lambda tx: note(tx, b"a")).result()
    assert database.read(lambda tx: tx.one("SELECT 17 % 5, ? WHERE 'abc' LIKE 'a%'", (1,))) == (2, 1)


def test_returning_gives_the_rows_and_truth_counts_as_a_number(database: Database) -> None:
    sql = "INSERT INTO batches (id, at_us) VALUES (?, ?) RETURNING at_us"
    assert database.write(lambda tx: tx.one(sql, (b"a", True))).result() == (1,)
    assert database.write(lambda tx: tx.execute("UPDATE batches SET at_us = 2 WHERE id = ?", (b"none",))).result() == 0


def test_closing_writes_what_is_pending(database_url: str) -> None:
    database = Database.open(database_url)
    gate = Gate(database)
    future = database.write(lambda tx: note(tx, b"a"))
    closer = threading.Thread(target=database.close)
    closer.start()
    gate.open()
    closer.join(30)
    assert future.result() == 1
    again = Database.open(database_url)
    assert again.read(names) == [b"a"]
    again.close()


def test_after_close_everything_is_refused_and_closing_again_is_no_error(database: Database) -> None:
    database.close()
    database.close()
    with pytest.raises(StorageError, match="closed"):
        database.write(names)
    with pytest.raises(StorageError, match="closed"):
        database.read(names)


@pytest.mark.parametrize("url", ["mysql://localhost/x", "/tmp/x.db", ""])
def test_a_url_of_another_kind_is_refused_with_what_to_write(url: str) -> None:
    with pytest.raises(ConfigError, match="sqlite:/// or postgresql://"):
        Database.open(url)
