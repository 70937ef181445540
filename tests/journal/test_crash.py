"""A real process, killed with SIGKILL at each boundary: what was paid is never lost, what is unknown never guessed."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mooring.core.errors import CallUncertain, NotFound
from mooring.core.ids import new_id
from mooring.journal import Journal, NewRun
from mooring.storage import Home

PROJECT = "default"
DYING = Path(__file__).with_name("dying.py")
Kill = Callable[[str], tuple[bytes, bytes]]


@pytest.fixture
def kill(database_url: str, tmp_path: Path) -> Kill:
    """Run a process that dies at a boundary; the ids of its call and attempt."""

    def run(boundary: str) -> tuple[bytes, bytes]:
        call, attempt = new_id(), new_id()
        home = Home(tmp_path / "home")
        command = [sys.executable, str(DYING), database_url, str(home.path), boundary, call.hex(), attempt.hex()]
        ended = subprocess.run(command, capture_output=True, timeout=120, check=False)
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
        return call, attempt

    return run


async def state_of(journal: Journal) -> tuple[int, int]:
    (budget,) = await journal.budgets(PROJECT)
    return budget.settled_nanos, budget.held_nanos


@pytest.mark.parametrize("boundary", ["before intent", "in the intent's batch"])
def test_j1_an_intent_that_was_not_committed_leaves_nothing(journal: Journal, kill: Kill, boundary: str) -> None:
    asyncio.run(journal.put_budget(PROJECT, scope="project", subject="", window="total", cap_nanos=100))
    call, _ = kill(boundary)

    async def scene() -> None:
        assert len(await journal.sweep_dead()) == 1
        with pytest.raises(NotFound):
            await journal.get_call(PROJECT, call)
        assert await state_of(journal) == (0, 0)
        assert await journal.find_key(PROJECT, "k", b"bound") is None

    asyncio.run(scene())


@pytest.mark.parametrize("boundary", ["after intent", "in the result's batch"])
def test_j4_an_attempt_whose_process_died_in_flight_is_uncertain_and_its_late_result_completes_it(
    journal: Journal, kill: Kill, words: Any, boundary: str
) -> None:
    asyncio.run(journal.put_budget(PROJECT, scope="project", subject="", window="total", cap_nanos=100))
    call, attempt = kill(boundary)

    async def scene() -> None:
        assert (await journal.get_call(PROJECT, call)).state == "running"
        assert len(await journal.sweep_dead()) == 1
        assert await journal.sweep_dead() == []
        (uncertain,) = await journal.uncertain(PROJECT)
        assert uncertain.call.id == call
        assert [one.outcome for one in uncertain.attempts] == ["uncertain"]
        assert await state_of(journal) == (0, 100)
        assert [one.id for one in await journal.unsettled(PROJECT)] == [attempt]
        with pytest.raises(CallUncertain):
            await journal.find_key(PROJECT, "k", b"bound")
        late = words.result(uncertain.attempts[0], 30)
        await journal.finish_attempt(late, words.answer(b"late"))
        assert await journal.uncertain(PROJECT) == []
        assert await state_of(journal) == (30, 0)
        found = await journal.find_key(PROJECT, "k", b"bound")
        assert found is not None
        assert await journal.get_body(PROJECT, found.id) == b"late"

    asyncio.run(scene())


def test_j1_a_result_that_was_committed_survives_the_process(journal: Journal, kill: Kill) -> None:
    asyncio.run(journal.put_budget(PROJECT, scope="project", subject="", window="total", cap_nanos=100))
    call, _ = kill("after result")

    async def scene() -> None:
        assert len(await journal.sweep_dead()) == 1
        assert await journal.uncertain(PROJECT) == []
        assert await journal.get_body(PROJECT, call) == b"paid"
        assert await state_of(journal) == (30, 0)

    asyncio.run(scene())


def test_a_dead_workers_run_is_claimed_at_once_under_a_new_epoch(journal: Journal, kill: Kill) -> None:
    run = NewRun(id=new_id(), project_id=PROJECT, handler="agent", name="a", input=b"")
    asyncio.run(journal.create_run(run))
    kill("after intent")

    async def scene() -> None:
        assert await journal.claim_run(["agent"]) is None  # its lease has not run out: only proof frees it
        await journal.sweep_dead()
        taken = await journal.claim_run(["agent"])
        assert taken is not None
        assert taken.id == run.id
        assert taken.epoch > 1
        assert len(await journal.uncertain(PROJECT)) == 1

    asyncio.run(scene())
