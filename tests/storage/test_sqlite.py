"""Which SQLite is safe, and what a full disk does."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import cast

import pytest
from tests.storage.rows import Gate, names, note

from mooring.core.errors import ConfigError, StorageError, StorageFull
from mooring.storage import Ballast, Database, Tx, ballast, sqlite


@pytest.mark.parametrize(
    ("version", "is_safe"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 53, 0), True),
        ((4, 0, 0), True),
    ],
)
def test_only_versions_without_the_wal_reset_bug_are_safe(version: tuple[int, ...], is_safe: bool) -> None:
    assert sqlite.is_safe(version) is is_safe


def test_a_file_that_is_no_database_is_said_to_be_damaged_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "mooring.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(
        StorageError, match="The database is damaged: SQLite says that file is not a database"
    ) as caught:
        Database.open(f"sqlite:///{tmp_path / 'mooring.db'}")
    assert "restore a backup" in (caught.value.hint or "")


def library(version: str) -> ModuleType:
    numbers = tuple(int(part) for part in version.split("."))
    return cast(ModuleType, SimpleNamespace(sqlite_version=version, sqlite_version_info=numbers))


def test_the_first_safe_library_is_taken() -> None:
    old, new = library("3.40.1"), library("3.51.3")
    assert sqlite.choose((None, new)) is new
    assert sqlite.choose((old, new)) is new


def test_without_a_safe_library_storage_refuses_and_names_postgresql() -> None:
    with pytest.raises(ConfigError, match=r"SQLite 3\.40\.1 can corrupt .* PostgreSQL"):
        sqlite.choose((None, library("3.40.1")))


def test_every_connection_of_this_process_uses_one_safe_library() -> None:
    assert sqlite.is_safe(sqlite.module().sqlite_version_info)
    assert sqlite.module() is not sqlite3 or sqlite.is_safe(sqlite3.sqlite_version_info)


@pytest.mark.parametrize(("durability", "level"), [("kill", 1), ("power", 2)])
def test_durability_decides_whether_a_commit_is_flushed(sqlite_url: str, durability: str, level: int) -> None:
    database = Database.open(sqlite_url, durability=durability)  # type: ignore[arg-type]
    assert database.write(lambda tx: tx.one("PRAGMA synchronous")).result() == (level,)
    assert database.read(lambda tx: tx.one("PRAGMA journal_mode")) == ("wal",)
    database.close()


@pytest.fixture
def full(sqlite_url: str, tmp_path: Path) -> Iterator[Database]:
    """A database that may not grow by more than a few pages, as on a full disk."""
    opened = Database.open(sqlite_url, ballast=tmp_path / "ballast")

    def limit(tx: Tx) -> None:
        pages = tx.one("PRAGMA page_count")
        assert pages is not None
        tx.one(f"PRAGMA max_page_count = {pages[0] + 2}")

    opened.write(limit).result()
    yield opened
    opened.close()


def much(tx: Tx) -> None:
    for number in range(200):
        note(tx, b"much/%d" % number + b"x" * 2000)


def test_a_full_disk_is_said_and_what_still_fits_is_kept(full: Database) -> None:
    gate = Gate(full)
    small = full.write(lambda tx: note(tx, b"small"))
    large = full.write(much)
    gate.open()
    with pytest.raises(StorageFull, match="Free space"):
        large.result()
    assert small.result() == 1
    assert full.read(names) == [b"small"]


def test_a_full_disk_frees_the_ballast_and_refuses_new_work(full: Database, tmp_path: Path) -> None:
    full.require_space()
    assert (tmp_path / "ballast").exists()
    with pytest.raises(StorageFull):
        full.write(much).result()
    assert not (tmp_path / "ballast").exists()
    with pytest.raises(StorageFull, match="new calls are refused"):
        full.require_space()
    assert full.write(lambda tx: note(tx, b"in flight")).result() == 1


def test_work_is_taken_again_once_the_ballast_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ballast, "RETRY_SECONDS", 0.0)
    weight = Ballast(tmp_path / "ballast", size_bytes=65_536)
    assert (tmp_path / "ballast").stat().st_blocks * 512 >= 65_536
    assert weight.free() is True
    assert weight.free() is False
    assert weight.is_full is False
    assert (tmp_path / "ballast").exists()


def test_a_disk_without_room_for_the_ballast_stays_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ballast, "RETRY_SECONDS", 0.0)
    weight = Ballast(tmp_path / "folder" / "ballast", size_bytes=65_536)  # the folder is not there: no room
    weight.free()
    assert weight.is_full is True


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mooring.db").write_bytes(b"not a database, " * 100)
    with pytest.raises(StorageError, match="not a database"):
        Database.open(f"sqlite:///{tmp_path / 'mooring.db'}")


def test_a_database_that_another_program_locks_says_so(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    database = Database.open(sqlite_url)
    other = sqlite.module().connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="another program"):
        database.write(lambda tx: note(tx, b"a")).result()
    other.execute("ROLLBACK")
    other.close()
    assert database.write(lambda tx: note(tx, b"a")).result() == 1
    database.close()


def test_no_thread_is_left_after_close(sqlite_url: str) -> None:
    before = set(threading.enumerate())
    database = Database.open(sqlite_url)
    database.read(names)
    database.close()
    assert set(threading.enumerate()) == before
