"""A database's operations are written in groups, each on its own feet."""

import asyncio

import pytest

from mooring.core.errors import ConfigError, StorageError
from mooring.storage import Database, Tx


def note(tx: Tx, name: bytes) -> int:
    return tx.execute("INSERT INTO batches (id, at_us) VALUES (?, ?)", (name, 2**40))


def names(tx: Tx) -> list[bytes]:
    return [bytes(row[0]) for row in tx.all("SELECT id FROM batches WHERE at_us = ? ORDER BY id", (2**40,))]


def test_what_was_written_can_be_read_as_soon_as_its_future_is_done(database: Database) -> None:
    assert database.write(lambda tx: note(tx, b"a")).result() == 1
    assert database.read(names) == [b"a"]


def test_the_exception_of_an_operation_undoes_only_that_operation(database: Database) -> None:
    def refuse(tx: Tx) -> None:
        note(tx, b"refused")
        raise ValueError("no")

    async def write_together() -> list[object]:
        jobs = [database.write_async(lambda tx, n=n: note(tx, b"%d" % n)) for n in range(3)]
        return await asyncio.gather(*jobs[:2], database.write_async(refuse), jobs[2], return_exceptions=True)

    results = asyncio.run(write_together())
    assert [type(result) for result in results] == [int, int, ValueError, int]
    assert database.read(names) == [b"0", b"1", b"2"]


def test_a_lone_operation_that_raises_leaves_nothing(database: Database) -> None:
    def refuse(tx: Tx) -> None:
        note(tx, b"refused")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        database.write(refuse).result()
    assert database.read(names) == []


def test_a_constraint_that_fails_is_a_storage_error_and_spares_the_others(database: Database) -> None:
    async def write_together() -> list[object]:
        jobs = [database.write_async(lambda tx, n=n: note(tx, b"%d" % n)) for n in (1, 2, 2, 3)]
        return await asyncio.gather(*jobs, return_exceptions=True)

    results = asyncio.run(write_together())
    assert [type(result) for result in results] == [int, int, StorageError, int]
    assert database.read(names) == [b"1", b"2", b"3"]


def test_a_write_after_close_is_refused(database: Database) -> None:
    database.close()
    with pytest.raises(StorageError, match="closed"):
        database.write(names)


def test_a_url_of_another_kind_is_refused_with_what_to_write() -> None:
    with pytest.raises(ConfigError, match="sqlite:/// or postgresql://"):
        Database.open("mysql://localhost/x")
