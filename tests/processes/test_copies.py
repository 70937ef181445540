"""Backup and restore: whole or absent, consistent while others write, and nothing of a copy is done twice."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from tests.databases import postgres
from tests.processes.copied import BLOB, PROJECT, Filled, configured, fill

from mooring.config import Config
from mooring.core.errors import InvalidRequest, MooringError, NotAuthenticated, StorageError
from mooring.core.ids import new_id
from mooring.journal.records import NewRun, RunRecord, RunRef
from mooring.processes.copies import Restoration, backup, restore
from mooring.storage import FileLock, Home
from mooring.wiring import Server, build

T = TypeVar("T")


def silent(_line: str) -> None:
    """Nobody watches."""


def restored(file: Path, home: Path, config: Config | None = None, **how: bool) -> Restoration:
    flags = {"is_forced": False, "resumes_runs": False, "verifies": True} | how
    return restore(config or Config(), file, home, say=silent, **flags)


async def in_rooms(home: Path, config: Config, work: Callable[[Server], Awaitable[T]]) -> T:
    async with build(config, Home(home), kind="cli") as rooms:
        return await work(rooms)


async def look(rooms: Server) -> tuple[list[RunRecord], int, list[bytes]]:
    """The runs, how many calls are uncertain, and every answer."""
    calls = await rooms.journal.list_calls(PROJECT)
    bodies = [await rooms.journal.get_body(PROJECT, call.id) for call in reversed(calls)]
    return await rooms.journal.list_runs(PROJECT), len(await rooms.journal.uncertain(PROJECT)), bodies


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def made(home: Home, tmp_path: Path) -> Path:
    """A backup of a home with a run in flight."""
    filled = fill(home, Config())
    file, _ = backup(Config(), home, tmp_path, with_secrets=True, say=silent)
    filled.close()
    return file


def test_a_folder_that_is_not_there_is_made_and_a_name_with_a_suffix_is_a_file(home: Home, tmp_path: Path) -> None:
    fill(home, Config()).close()
    inside, _ = backup(Config(), home, tmp_path / "copies" / "daily", with_secrets=True, say=silent)
    assert (inside.parent, inside.suffix) == (tmp_path / "copies" / "daily", ".mooring")
    file, _ = backup(Config(), home, tmp_path / "one.mooring", with_secrets=True, say=silent)
    assert file == tmp_path / "one.mooring"


@pytest.mark.parametrize(("source", "target"), [("sqlite", "sqlite"), ("sqlite", "pg"), ("pg", "pg"), ("pg", "sqlite")])
def test_a_restored_copy_has_everything_and_sets_aside_what_was_under_way(
    source: str, target: str, home: Home, tmp_path: Path
) -> None:
    with (
        postgres() if "pg" in (source, target) else open("/dev/null") as first,
        postgres() if (source, target) == ("pg", "pg") else open("/dev/null") as second,
    ):
        urls = [str(first), str(second) if source == "pg" else str(first)]
        there = configured(tmp_path, urls[0] if source == "pg" else None)
        here = configured(tmp_path, urls[1] if target == "pg" else None)
        filled = fill(home, there)
        file, manifest = backup(there, home, tmp_path, with_secrets=True, say=silent)
        filled.close()
        assert (manifest.rows["calls"], manifest.blobs, manifest.facts["in_flight"]) == (5, 1, 1)
        done = restored(file, tmp_path / "copy", here)
        assert done.faults == []
        assert (done.rest.uncertain, done.rest.parked) == (1, 1)
        [run], uncertain, bodies = asyncio.run(in_rooms(tmp_path / "copy", here, look))
        assert (run.state, run.settled_nanos, run.held_nanos, uncertain) == ("parked", 1_200, 500, 1)
        assert bodies[1] == BLOB
        if target == "pg":
            with pytest.raises(InvalidRequest, match="not empty"):
                restored(file, tmp_path / "again", here)


def test_nothing_of_a_copy_runs_until_somebody_says_so(made: Path, tmp_path: Path) -> None:
    async def scene(rooms: Server) -> None:
        assert await rooms.journal.claim_run(["agent"]) is None
        [run] = await rooms.journal.list_runs(PROJECT)
        [call] = await rooms.journal.uncertain(PROJECT)
        await rooms.journal.resolve_uncertain(PROJECT, call.call.id, decision="failed", result=None, by="test")
        assert (await rooms.journal.get_run(PROJECT, run.id)).state == "parked"
        await rooms.journal.resume_run(PROJECT, run.id)
        taken = await rooms.journal.claim_run(["agent"])
        assert taken is not None
        assert taken.epoch > 1
        kinds = [event.kind for event in await rooms.journal.events(PROJECT, run.id)]
        assert kinds[-1] == "run.parked"

    restored(made, tmp_path / "copy")
    asyncio.run(in_rooms(tmp_path / "copy", Config(), scene))


def test_runs_go_on_in_a_copy_that_is_told_to(made: Path, tmp_path: Path) -> None:
    async def scene(rooms: Server) -> None:
        assert await rooms.journal.claim_run(["agent"]) is not None
        assert len(await rooms.journal.uncertain(PROJECT)) == 1

    restored(made, tmp_path / "copy", resumes_runs=True)
    asyncio.run(in_rooms(tmp_path / "copy", Config(), scene))


def test_a_backup_is_one_moment_while_others_write(home: Home, tmp_path: Path) -> None:
    filled, ended = fill(home, Config()), threading.Event()

    async def write() -> None:
        await filled.journal.create_run(NewRun(id=new_id(), project_id=PROJECT, handler="agent", name="b", input=b"{}"))
        run = await filled.journal.claim_run(["agent"])
        assert run is not None
        number = 0
        while not ended.is_set():
            number += 1
            await filled.step(RunRef(run.id, run.epoch, f"w{number}"))

    writer = threading.Thread(target=lambda: asyncio.run(write()))
    writer.start()
    files = [
        backup(Config(), home, tmp_path / f"{number}.mooring", with_secrets=True, say=silent) for number in range(4)
    ]
    ended.set()
    writer.join()
    filled.close()
    assert [restored(file, tmp_path / f"copy-{file.stem}").faults for file, _ in files] == [[]] * 4


@pytest.mark.parametrize("how", ["killed", "full"])
def test_a_backup_that_ends_on_the_way_leaves_no_file_that_looks_whole(home: Home, tmp_path: Path, how: str) -> None:
    fill(home, Config()).close()
    target = tmp_path / "a.mooring"
    command = [sys.executable, "-m", "tests.processes.copied", str(home.path), str(target), how]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert not target.exists()
    if how == "full":
        assert "disk" in done.stderr
        assert list(tmp_path.glob(".*partial")) == []
        return
    [left] = tmp_path.glob(".*partial")
    with pytest.raises(InvalidRequest, match=r"not whole|not a backup"):
        restored(left, tmp_path / "copy")
    file, _ = backup(Config(), home, target, with_secrets=True, say=silent)
    assert restored(file, tmp_path / "copy").faults == []
    assert list(tmp_path.glob(".*partial")) == []


def test_a_file_that_was_cut_or_changed_is_refused_and_leaves_no_home(made: Path, tmp_path: Path) -> None:
    whole = made.read_bytes()
    for number, length in enumerate(range(0, len(whole) - 20_480, len(whole) // 7)):
        made.write_bytes(whole[:length])
        with pytest.raises(MooringError, match=r"whole|not a backup|damaged"):
            restored(made, tmp_path / f"cut-{number}")
        assert not (tmp_path / f"cut-{number}" / "mooring.db").exists()
    for place in (600, whole.find(BLOB[:512]) + 4_000, whole.find(b'{"version"') + 30):
        made.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(StorageError, match="damaged"):
            restored(made, tmp_path / "changed")
        assert {entry.name for entry in (tmp_path / "changed").iterdir()} <= {".gitignore", "run"}


def test_a_home_that_holds_something_or_runs_is_refused_and_force_moves_it_aside(made: Path, tmp_path: Path) -> None:
    home = tmp_path / "copy"
    restored(made, home)
    with pytest.raises(InvalidRequest, match="not empty"):
        restored(made, home)
    before = (home / "secret.key").read_bytes()
    lock = FileLock.acquire(home / "run" / "up.lock")
    assert lock is not None
    with pytest.raises(InvalidRequest, match="runs on"):
        restored(made, home, is_forced=True)
    lock.release()
    done = restored(made, home, is_forced=True)
    assert done.aside is not None
    assert (done.aside / "mooring.db").exists()
    assert (home / "secret.key").read_bytes() == before


def test_the_secrets_come_back_for_the_owner_only_or_are_left_out(home: Home, tmp_path: Path) -> None:
    async def make(rooms: Server) -> str:
        return await rooms.keys.create(PROJECT, name="shop")

    async def use(rooms: Server) -> bool:
        try:
            return (await rooms.keys.verify(key)).project_id == PROJECT
        except NotAuthenticated:
            return False

    key = asyncio.run(in_rooms(home.path, Config(), make))
    for name, with_secrets in (("with", True), ("without", False)):
        file, _ = backup(Config(), home, tmp_path / name, with_secrets=with_secrets, say=silent)
        assert file.stat().st_mode & 0o777 == 0o600
        assert ((home.path / "secret.key").read_bytes() in file.read_bytes()) is with_secrets
        restored(file, tmp_path / f"copy-{name}")
        assert (tmp_path / f"copy-{name}" / "secret.key").stat().st_mode & 0o777 == 0o600
        assert asyncio.run(in_rooms(tmp_path / f"copy-{name}", Config(), use)) is with_secrets


def test_verifying_finds_what_a_home_had_lost_before_it_was_backed_up(home: Home, tmp_path: Path) -> None:
    filled: Filled = fill(home, Config())
    filled.database.write(lambda tx: tx.execute("DELETE FROM contents")).result()
    filled.database.write(lambda tx: tx.execute("UPDATE budget_windows SET settled_nanos = 1")).result()
    [blob] = home.blobs_dir.glob("*/*/*")
    blob.unlink()
    file, manifest = backup(Config(), home, tmp_path, with_secrets=True, say=silent)
    filled.close()
    assert len(manifest.missing) == 1
    faults = "\n".join(restored(file, tmp_path / "copy").faults)
    assert "have lost their content" in faults
    assert "1 blobs that rows name are missing" in faults
    assert "1 budget windows have other sums" in faults


def test_a_file_that_exists_is_not_written_over(home: Home, made: Path) -> None:
    with pytest.raises(InvalidRequest, match="exists"):
        backup(Config(), home, made, with_secrets=True, say=silent)
