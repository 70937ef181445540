"""What was acknowledged survives kill -9, and whoever writes together loses nothing."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.storage.rows import names, note

from mooring.storage import Database

WRITE = """
import asyncio, sys
from mooring.storage import Database

database = Database.open(sys.argv[1])
own = sys.argv[2]

async def client(number):
    for step in range(int(sys.argv[3])):
        name = f"{own}/{number}/{step}"
        await database.write_async(
            lambda tx: tx.execute("INSERT INTO batches (id, at_us) VALUES (?, ?)", (name.encode(), 2**60)))
        print(name, flush=True)

async def main():
    await asyncio.gather(*(client(number) for number in range(8)))

asyncio.run(main())
database.close()
"""


def start(url: str, own: str, steps: int) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", WRITE, url, own, str(steps)], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("lines", [1, 200])
def test_every_acknowledged_write_survives_kill_9(database_url: str, lines: int) -> None:
    acknowledged = []
    with start(database_url, "a", 100_000) as child:
        assert child.stdout is not None
        for _ in range(lines):
            acknowledged.append(child.stdout.readline().strip())
        child.kill()
        acknowledged += [line.strip() for line in child.stdout if line.endswith("\n")]
    database = Database.open(database_url)
    try:
        kept = {name.decode() for name in database.read(names)}
        assert set(acknowledged) <= kept
        assert database.write(lambda tx: note(tx, b"after")).result() == 1
    finally:
        database.close()


def test_processes_that_start_and_write_together_lose_nothing(database_url: str) -> None:
    children = [start(database_url, own, 20) for own in "abc"]
    said: set[str] = set()
    for child in children:
        with child:
            assert child.stdout is not None
            said |= {line.strip() for line in child.stdout}
        assert child.returncode == 0
    database = Database.open(database_url)
    try:
        assert {name.decode() for name in database.read(names)} == said
        assert len(said) == 3 * 8 * 20
    finally:
        database.close()


def test_a_database_in_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Exception, match="file"):
        Database.open(f"sqlite:///{tmp_path / 'file' / 'mooring.db'}")
