"""A process's lock file proves that it lives, and its lock that it is dead."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mooring.core.ids import new_id, show
from mooring.storage import FileLock, Home, ProcessLock
from mooring.storage.liveness import if_dead, probe, process_of, read_facts

HOLD = """
import sys
from pathlib import Path
from mooring.core.ids import new_id
from mooring.storage import Home, ProcessLock
lock = ProcessLock.acquire(Home(Path(sys.argv[1])), process_id=new_id(), kind="worker")
print(lock.path, flush=True)
sys.stdin.read()
"""


def test_a_lock_file_says_who_holds_it(tmp_path: Path) -> None:
    home, process_id = Home(tmp_path), new_id()
    lock = ProcessLock.acquire(home, process_id=process_id, kind="serve")
    lock.say("http://127.0.0.1:1")
    facts = read_facts(lock.path)
    assert facts is not None
    assert (facts.process_id, facts.kind, facts.address) == (show("proc", process_id), "serve", "http://127.0.0.1:1")
    lock.release()


def test_a_living_process_is_alive_and_nothing_is_recorded(tmp_path: Path) -> None:
    lock = ProcessLock.acquire(Home(tmp_path), process_id=new_id(), kind="serve")
    recorded: list[str] = []
    assert if_dead(lock.path, lambda: recorded.append("dead")) == "alive"
    assert recorded == []
    lock.release()


def test_a_killed_process_is_known_to_be_dead_at_once_and_its_file_stays(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        path = Path(child.stdout.readline().strip())
        assert probe(path) == "alive"
        child.kill()
        child.wait()
    held: list[bool] = []
    assert if_dead(path, lambda: held.append(FileLock.acquire(path) is None)) == "dead"
    assert held == [True], "death is recorded while the lock is held"
    assert path.exists()


def test_a_clean_end_removes_the_own_file_which_reads_as_dead(tmp_path: Path) -> None:
    lock = ProcessLock.acquire(Home(tmp_path), process_id=new_id(), kind="serve")
    lock.release()
    assert not lock.path.exists()
    assert probe(lock.path) == "dead"


def test_a_path_of_another_machine_is_unknown_even_where_the_folder_exists(tmp_path: Path) -> None:
    here, there = Home(tmp_path / "here"), Home(tmp_path / "there")
    lock = ProcessLock.acquire(there, process_id=new_id(), kind="serve")
    ProcessLock.acquire(here, process_id=new_id(), kind="serve").release()
    assert probe(here.run_dir / lock.path.name) == "unknown"
    assert probe(tmp_path / "nowhere" / lock.path.name) == "unknown"
    lock.release()


def test_a_child_that_inherits_the_descriptor_counts_as_the_process(tmp_path: Path) -> None:
    lock = ProcessLock.acquire(Home(tmp_path), process_id=new_id(), kind="cli")
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, pass_fds=[lock.descriptor]
    ) as child:
        path = lock.path
        lock._lock.release()  # what the kernel does to a killed parent
        assert probe(path) == "alive"
        child.kill()
        child.wait()
    assert probe(path) == "dead"


def test_a_file_lock_is_for_one(tmp_path: Path) -> None:
    first = FileLock.acquire(tmp_path / "up.lock")
    assert first is not None
    assert FileLock.acquire(tmp_path / "up.lock") is None
    first.release()
    again = FileLock.acquire(tmp_path / "up.lock")
    assert again is not None
    again.release()


@pytest.mark.parametrize("content", [b"", b"{"])
def test_a_file_that_is_just_being_written_says_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.lock").write_bytes(content)
    assert read_facts(tmp_path / "x.lock") is None


def killed(home: Path) -> Path:
    """The lock file that a killed process left."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        path = Path(child.stdout.readline().strip())
        child.kill()
        child.wait()
    return path


def test_who_buries_a_process_removes_its_files_and_a_missing_file_still_reads_as_dead(tmp_path: Path) -> None:
    path = killed(tmp_path)
    announced = path.with_name(f"serve-{process_of(path)}.json")
    other = path.with_name("serve-proc_other.json")
    for file in (announced, other):
        file.write_text("{}")
    seen: list[bool] = []
    assert if_dead(path, lambda: seen.append(path.exists()), removes=True) == "dead"
    assert seen == [True], "what is not on record yet is not removed"
    assert (path.exists(), announced.exists(), other.exists()) == (False, False, True)
    assert probe(path) == "dead"


def test_a_file_whose_owner_lives_is_never_removed(tmp_path: Path) -> None:
    lock = ProcessLock.acquire(Home(tmp_path), process_id=new_id(), kind="serve")
    assert if_dead(lock.path, lambda: None, removes=True) == "alive"
    assert lock.path.exists()
    lock.release()


def test_another_file_at_the_same_path_is_left_alone(tmp_path: Path) -> None:
    path = killed(tmp_path)

    def meanwhile() -> None:
        path.unlink()
        path.write_text("another's")

    assert if_dead(path, meanwhile, removes=True) == "dead"
    assert path.read_text() == "another's"


def test_processes_that_bury_the_same_dead_at_once_do_not_disturb_each_other_or_who_lives(tmp_path: Path) -> None:
    dead = [killed(tmp_path) for _ in range(4)]
    home = Home(tmp_path)
    states: list[str] = []
    begin = threading.Barrier(9)

    def bury() -> None:
        begin.wait()
        states.extend(if_dead(path, lambda: None, removes=True) for path in dead for _ in range(20))

    def live() -> None:
        begin.wait()
        for _ in range(50):
            lock = ProcessLock.acquire(home, process_id=new_id(), kind="cli")
            states.append(if_dead(lock.path, lambda: None, removes=True))
            assert read_facts(lock.path) is not None
            lock.release()

    threads = [threading.Thread(target=work) for work in (bury, bury, bury, bury, live, live, live, live)]
    for thread in threads:
        thread.start()
    begin.wait()
    for thread in threads:
        thread.join()
    assert states.count("alive") >= 200
    assert "unknown" not in states
    assert not list(home.run_dir.glob("*.lock"))
