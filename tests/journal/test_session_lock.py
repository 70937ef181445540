"""On PostgreSQL death is proven across machines, and who may be taken for dead sends nothing."""

import asyncio
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from mooring.core.clock import ManualClock
from mooring.core.errors import MooringError, Unavailable
from mooring.core.ids import new_id
from mooring.journal import Journal, NewRun
from mooring.journal.repository import processes
from mooring.storage import Blobs, Database, Home, ProcessLock
from mooring.storage.session_lock import key_of

PROJECT = "default"
DYING = Path(__file__).with_name("dying.py")
HOLDER = (
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
    " AND ((classid::bigint << 32) | objid::bigint) = %s"
)


class Machine(NamedTuple):
    """A process on a machine of its own: no file of another machine means anything here."""

    journal: Journal
    database: Database
    url: str

    def lose_power(self) -> None:
        """What the server sees when the process is gone."""
        assert self.journal._session_lock is not None
        self.journal._session_lock.close()
        await_freed(self.url, self.journal.process_id)


def await_freed(url: str, process_id: bytes) -> None:
    """Until the server has seen that the connection is gone."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (key_of(process_id),))


Boot = Callable[[], Machine]


@pytest.fixture
def boot(postgres_url: str, tmp_path: Path) -> Iterator[Boot]:
    machines: list[Machine] = []

    def make() -> Machine:
        database = Database.open(postgres_url)
        blobs = Blobs(tmp_path / "blobs")
        journal = Journal(database, blobs, process_id=new_id(), clock=ManualClock(), new_id=new_id)
        machines.append(Machine(journal, database, postgres_url))
        far = tmp_path / f"machine-{len(machines)}" / "serve.lock"
        asyncio.run(journal.register_process(kind="serve", pid=os.getpid(), lock_path=far))
        return machines[-1]

    yield make
    for machine in machines:
        machine.database.close()


def cut(url: str, machine: Machine) -> None:
    """Ends the connection that holds the machine's lock, on the server."""
    with psycopg.connect(url, autocommit=True) as connection:
        for (pid,) in connection.execute(HOLDER, (key_of(machine.journal.process_id),)):
            connection.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))


class Contender:
    """Somebody who stands in line for a machine's lock: who is cut off does not get it back before him."""

    def __init__(self, url: str, machine: Machine) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._key = key_of(machine.journal.process_id)
        self._thread = threading.Thread(
            target=self._connection.execute, args=("SELECT pg_advisory_lock(%s)", (self._key,)), daemon=True
        )
        self._thread.start()
        with psycopg.connect(url, autocommit=True) as look:
            waits = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND pid = %s"
            while not look.execute(waits, (self._connection.info.backend_pid,)).fetchone():
                pass

    def await_lock(self) -> None:
        self._thread.join(30)

    def let_go(self) -> None:
        self._connection.close()


async def swept(journal: Journal) -> list[bytes]:
    """Two looks in a row."""
    return [*await journal.sweep_dead(), *await journal.sweep_dead()]


def test_a_process_killed_on_another_machine_is_buried_at_once_and_its_run_is_free(
    boot: Boot, postgres_url: str, tmp_path: Path
) -> None:
    survivor = boot().journal
    asyncio.run(survivor.create_run(NewRun(id=new_id(), project_id=PROJECT, handler="agent", name="a", input=b"")))
    call, attempt = new_id(), new_id()
    command = [
        sys.executable,
        str(DYING),
        postgres_url,
        str(tmp_path / "far"),
        "after intent",
        call.hex(),
        attempt.hex(),
    ]
    subprocess.run(command, capture_output=True, timeout=60, check=False)
    (tmp_path / "far").rename(tmp_path / "unreachable")

    async def scene() -> None:
        for row in await survivor.read(processes.living):
            if row.id != survivor.process_id:
                await_freed(postgres_url, row.id)
        assert await survivor.claim_run(["agent"]) is None  # its lease has not run out
        assert len(await swept(survivor)) == 1
        taken = await survivor.claim_run(["agent"])
        assert taken is not None
        assert taken.epoch > 1
        assert [one.call.id for one in await survivor.uncertain(PROJECT)] == [call]

    asyncio.run(scene())


def test_a_living_process_of_another_machine_is_left_alone(boot: Boot) -> None:
    mine, other = boot(), boot()
    assert asyncio.run(swept(mine.journal)) == []
    other.lose_power()
    assert asyncio.run(swept(mine.journal)) == [other.journal.process_id]


def test_a_clean_end_leaves_nobody_to_bury(boot: Boot) -> None:
    mine, other = boot(), boot()
    asyncio.run(other.journal.retire())
    assert asyncio.run(swept(mine.journal)) == []


def test_who_is_cut_off_sends_nothing_until_it_has_the_lock_again(boot: Boot, postgres_url: str, words: Any) -> None:
    owner, other = boot(), boot().journal
    contender = Contender(postgres_url, owner)

    async def scene() -> None:
        journal = owner.journal
        before = words.call(key="k")
        sent = words.intent(before)
        await journal.begin_attempt(sent, call=before)
        await journal.finish_attempt(words.result(sent, 0, outcome="failed"))
        cut(postgres_url, owner)
        await asyncio.to_thread(contender.await_lock)
        while not journal._may_be_dead:
            await asyncio.sleep(0)
        after = words.call()
        first = asyncio.create_task(journal.begin_attempt(words.intent(after), call=after))
        retry = asyncio.create_task(journal.begin_attempt(words.intent(before, number=2)))
        await other.bury(journal.process_id)
        assert await other.find_key(PROJECT, "k", b"bound") is None  # somebody else may ask again
        assert not first.done()
        assert not retry.done()
        assert await journal.claim_run(["agent"]) is None
        assert len(await other.attempts(PROJECT, after.id)) == 0
        contender.let_go()
        await first
        assert len(await other.attempts(PROJECT, after.id)) == 1
        with pytest.raises(Unavailable):  # its call was given up in its name
            await retry
        assert len(await other.attempts(PROJECT, before.id)) == 1
        owner.lose_power()
        assert await swept(other) == [journal.process_id]  # it was one of the living again
        assert [one.call.id for one in await other.uncertain(PROJECT)] == [after.id]

    asyncio.run(scene())


def test_who_stays_cut_off_refuses(boot: Boot, postgres_url: str, words: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mooring.storage.session_lock.PATIENCE_SECONDS", 0.05)
    owner = boot()
    contender = Contender(postgres_url, owner)

    async def scene() -> None:
        cut(postgres_url, owner)
        await asyncio.to_thread(contender.await_lock)
        while not owner.journal._may_be_dead:
            await asyncio.sleep(0)
        call = words.call()
        with pytest.raises(Unavailable, match="session lock"):
            await owner.journal.begin_attempt(words.intent(call), call=call)

    asyncio.run(scene())
    contender.let_go()


def test_who_was_buried_before_it_noticed_is_refused_by_the_database(boot: Boot, words: Any) -> None:
    owner, other = boot().journal, boot().journal

    async def scene() -> None:
        await other.bury(owner.process_id)
        call = words.call()
        with pytest.raises(Unavailable):
            await owner.begin_attempt(words.intent(call, held_nanos=5), call=call)
        with pytest.raises(MooringError):
            await other.get_call(PROJECT, call.id)

    asyncio.run(scene())


def test_the_result_of_what_was_sent_before_the_burial_is_taken(boot: Boot, words: Any) -> None:
    owner, other = boot().journal, boot().journal

    async def scene() -> None:
        call = words.call()
        sent = words.intent(call, held_nanos=5)
        await owner.begin_attempt(sent, call=call)
        await other.bury(owner.process_id)
        assert (await other.get_call(PROJECT, call.id)).state == "uncertain"
        await owner.finish_attempt(words.result(sent, 3), words.answer(b"late"))
        assert (await other.get_call(PROJECT, call.id)).state == "completed"

    asyncio.run(scene())


def test_of_two_that_bury_one_does(boot: Boot, words: Any) -> None:
    first, second, other = boot().journal, boot().journal, boot()

    async def scene() -> None:
        call = words.call()
        await other.journal.begin_attempt(words.intent(call), call=call)
        other.lose_power()
        both = await asyncio.gather(swept(first), swept(second))
        assert sorted(both, key=len) == [[], [other.journal.process_id]]
        assert [one.call.id for one in await first.uncertain(PROJECT)] == [call.id]

    asyncio.run(scene())


def test_a_file_that_tells_is_believed_before_the_server(boot: Boot, tmp_path: Path) -> None:
    mine, other = boot(), boot()
    lock = ProcessLock.acquire(Home(tmp_path / "home"), process_id=other.journal.process_id, kind="serve")

    async def scene() -> None:
        other.lose_power()
        await other.journal.register_process(kind="serve", pid=os.getpid(), lock_path=lock.path)
        other.lose_power()
        assert await swept(mine.journal) == []
        lock.release()
        assert await mine.journal.sweep_dead() == [other.journal.process_id]

    asyncio.run(scene())


def test_who_was_cut_off_itself_judges_nobody_for_a_while(boot: Boot, postgres_url: str) -> None:
    mine, other = boot(), boot()

    async def scene() -> None:
        cut(postgres_url, mine)
        session = mine.journal._session_lock
        assert session is not None
        while not session.times_lost:
            await asyncio.sleep(0)
        await session.regained()
        other.lose_power()
        assert not session.may_judge or await swept(mine.journal) == []

    asyncio.run(scene())


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_cut_and_buried_no_attempt_is_left_behind(
    boot: Boot, postgres_url: str, words: Any, seed: int
) -> None:
    """An owner works, its connection is cut and two others bury what they can; in the end it is killed."""
    chance = random.Random(seed)
    owner, others = boot(), [boot().journal, boot().journal]
    journal = owner.journal
    tried: list[bytes] = []

    async def work() -> None:
        for _ in range(25):
            call = words.call()
            tried.append(call.id)
            sent = words.intent(call, held_nanos=1)
            try:
                await journal.begin_attempt(sent, call=call)
                if chance.random() < 0.8:
                    await journal.finish_attempt(words.result(sent, 1), words.answer())
            except Unavailable:
                continue

    async def harass() -> None:
        for _ in range(4):
            if chance.random() < 0.6:
                await asyncio.to_thread(cut, postgres_url, owner)
            await asyncio.gather(*(swept(one) for one in others))

    async def scene() -> None:
        await asyncio.gather(*(work() for _ in range(4)), harass())
        owner.lose_power()
        await asyncio.gather(*(swept(one) for one in others))
        left = await others[0].read(
            lambda tx: tx.all(
                "SELECT id FROM attempts WHERE outcome = 'intended' AND process_id = ?", (journal.process_id,)
            )
        )
        assert left == []
        calls = await others[0].read(lambda tx: tx.all("SELECT id FROM calls WHERE state = 'running'"))
        assert calls == []

    asyncio.run(scene())
