"""Deaths and decisions: what is uncertain is listed, parked for, and resolved by somebody."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mooring.core.errors import NotFound
from mooring.core.ids import new_id
from mooring.journal import Journal, NewRun, RunRef
from mooring.storage import Home, ProcessLock

PROJECT = "default"
MakeJournal = Callable[[], Journal]


async def a_step(journal: Journal) -> RunRef:
    await journal.create_run(NewRun(id=new_id(), project_id=PROJECT, handler="agent", name="a", input=b""))
    run = await journal.claim_run(["agent"])
    assert run is not None
    return RunRef(run_id=run.id, epoch=run.epoch, step="1")


def test_a_living_process_is_not_buried(make_journal: MakeJournal, tmp_path: Path) -> None:
    async def scene() -> None:
        mine, other = make_journal(), make_journal()
        lock = ProcessLock.acquire(Home(tmp_path / "home"), process_id=other.process_id, kind="worker")
        await other.register_process(kind="worker", pid=os.getpid(), lock_path=lock.path)
        assert await mine.sweep_dead() == []
        lock.release()
        assert await mine.sweep_dead() == [other.process_id]

    asyncio.run(scene())


def test_a_workers_death_leaves_the_model_call_in_serve_alone(make_journal: MakeJournal, words: Any) -> None:
    async def scene() -> None:
        serve, worker, heir = make_journal(), make_journal(), make_journal()
        step = await a_step(worker)
        model, tool = words.call(run=step, key="run/1"), words.call(kind="tool", run=step)
        sent = words.intent(model, held_nanos=10)
        await serve.begin_attempt(sent, call=model)
        await worker.begin_tool(step, tool, words.intent(tool), event_payload=b"{}")
        assert await heir.bury(worker.process_id) == 1
        assert [one.call.id for one in await heir.uncertain(PROJECT)] == [tool.id]
        await serve.finish_attempt(words.result(sent, 3), words.answer(b"drained"))
        taken = await heir.claim_run(["agent"])
        assert taken is not None
        found = await heir.find_key(PROJECT, "run/1", b"bound")
        assert found is not None
        assert await heir.get_body(PROJECT, found.id) == b"drained"

    asyncio.run(scene())


@pytest.mark.parametrize("is_late", [True, False])
def test_a_run_parked_for_an_uncertain_call_goes_on_when_the_late_result_comes(
    make_journal: MakeJournal, words: Any, is_late: bool
) -> None:
    async def scene() -> None:
        serve, worker = make_journal(), make_journal()
        step = await a_step(worker)
        call = words.call(run=step)
        sent = words.intent(call, held_nanos=10)
        await serve.begin_attempt(sent, call=call)
        await worker.bury(serve.process_id)
        finish = serve.finish_attempt(words.result(sent, 3), words.answer(b"late"))
        if not is_late:  # it comes a moment before the run is parked
            await finish
        await worker.park_run(step.run_id, step.epoch, reason="uncertain")
        if is_late:
            assert (await worker.get_run(PROJECT, step.run_id)).state == "parked"
            await finish
        assert (await worker.get_run(PROJECT, step.run_id)).state == "queued"
        assert (await worker.get_call(PROJECT, call.id)).state == "completed"

    asyncio.run(scene())


@pytest.mark.parametrize(("decision", "state"), [("completed", "completed"), ("failed", "failed"), ("retry", "failed")])
def test_somebody_decides_what_became_of_an_uncertain_call(
    make_journal: MakeJournal, words: Any, decision: Any, state: str
) -> None:
    async def scene() -> None:
        worker, heir = make_journal(), make_journal()
        step = await a_step(worker)
        tool = words.call(kind="tool", run=step, key="t")
        used = words.intent(tool)
        await worker.begin_tool(step, tool, used, event_payload=b"{}")
        await heir.bury(worker.process_id)
        run = await heir.claim_run(["agent"])
        assert run is not None
        await heir.park_run(run.id, run.epoch, reason="a call is uncertain")
        await heir.resolve_uncertain(PROJECT, tool.id, decision=decision, result=b"r", by="ada")
        call = await heir.get_call(PROJECT, tool.id)
        assert (call.state, call.attributes["resolved_by"]) == (state, "ada")
        assert (await heir.get_run(PROJECT, run.id)).state == "queued"
        found = await heir.find_step(PROJECT, run.id, "1")
        assert (found is None) == (decision == "retry")
        assert (await heir.find_key(PROJECT, "t", b"bound") is None) == (decision == "retry")
        with pytest.raises(NotFound):
            await heir.resolve_uncertain(PROJECT, tool.id, decision=decision, result=None, by="ada")

    asyncio.run(scene())


def test_a_tool_that_may_be_repeated_is_a_second_attempt_of_the_same_call(
    make_journal: MakeJournal, words: Any
) -> None:
    async def scene() -> None:
        worker, heir = make_journal(), make_journal()
        step = await a_step(worker)
        tool = words.call(kind="tool", run=step)
        await worker.begin_tool(step, tool, words.intent(tool), event_payload=b"{}")
        await heir.bury(worker.process_id)
        run = await heir.claim_run(["agent"])
        assert run is not None
        again = RunRef(run_id=run.id, epoch=run.epoch, step="1")
        second = words.intent(tool, number=2, reason="repeat")
        await heir.begin_tool(again, tool, second, event_payload=b"{}")
        assert await heir.uncertain(PROJECT) == []
        await heir.finish_tool(again, words.result(second), words.answer(b"done"), event_payload=b"{}")
        assert (await heir.get_call(PROJECT, tool.id)).state == "completed"
        assert [one.outcome for one in await heir.attempts(PROJECT, tool.id)] == ["uncertain", "completed"]
        events = await heir.events(PROJECT, run.id)
        assert [one.kind for one in events] == ["tool.started", "tool.started", "tool.finished"]
        assert {one.call_id for one in events} == {tool.id}

    asyncio.run(scene())


def test_a_call_is_not_uncertain_while_another_attempt_of_it_runs(journal: Journal, words: Any) -> None:
    async def scene() -> None:
        call = words.call()
        first, hedge = words.intent(call), words.intent(call, number=2, reason="hedge")
        await journal.begin_attempt(first, call=call)
        await journal.begin_attempt(hedge)
        await journal.finish_attempt(words.result(first, None, outcome="uncertain"))
        assert (await journal.get_call(PROJECT, call.id)).state == "running"
        await journal.finish_attempt(words.result(hedge, 1), words.answer())
        assert (await journal.get_call(PROJECT, call.id)).state == "completed"

    asyncio.run(scene())


def test_a_call_whose_process_died_between_two_attempts_failed_and_its_key_is_free(
    make_journal: MakeJournal, words: Any
) -> None:
    async def scene() -> None:
        serve, other = make_journal(), make_journal()
        call = words.call(key="k")
        sent = words.intent(call, held_nanos=5)
        await serve.begin_attempt(sent, call=call)
        await serve.finish_attempt(words.result(sent, 0, outcome="failed"))
        assert await other.bury(serve.process_id) == 0
        assert (await other.get_call(PROJECT, call.id)).error_code == "process_died"
        assert await other.find_key(PROJECT, "k", b"bound") is None

    asyncio.run(scene())


def test_j5_a_run_tells_its_events_and_its_calls_answers_byte_for_byte(journal: Journal, words: Any) -> None:
    async def scene() -> None:
        step = await a_step(journal)
        payloads: list[bytes] = []
        for number in range(5):
            at = RunRef(run_id=step.run_id, epoch=step.epoch, step=str(number))
            call = words.call(kind="tool", run=at, request_body=b'{"n":%d}' % number)
            intent = words.intent(call)
            await journal.begin_tool(at, call, intent, event_payload=b'{"start": %d}' % number)
            answer = words.answer(b"answer %d \xff" % number)
            await journal.finish_tool(at, words.result(intent), answer, event_payload=b'{"end":  %d}' % number)
            payloads += [b'{"start": %d}' % number, b'{"end":  %d}' % number]
        await journal.finish_run(step.run_id, step.epoch, "completed", output=b"out")
        events = await journal.events(PROJECT, step.run_id)
        assert [event.seq for event in events] == list(range(1, 12))
        assert [event.payload for event in events[:-1]] == payloads
        for number in range(5):
            call_id = events[2 * number].call_id
            assert call_id is not None
            assert await journal.get_body(PROJECT, call_id) == b"answer %d \xff" % number
            assert (await journal.get_request(PROJECT, call_id))[0] == b'{"n":%d}' % number

    asyncio.run(scene())


def test_a_release_is_written_once_and_the_outbox_tells_what_was_asked_for(
    journal: Journal, words: Any, database: Any, tmp_path: Path, clock: Any
) -> None:
    from mooring.storage import Blobs

    async def scene() -> None:
        body = b'{"routes":{}}' * 50
        release = await journal.put_release(PROJECT, body)
        assert await journal.put_release(PROJECT, body) == release
        assert await journal.get_release(PROJECT, release) == body
        with pytest.raises(NotFound):
            await journal.get_release("other", release)
        await journal.record_call(words.call(), words.answer())
        assert await journal.outbox("call.closed") == []
        told = Journal(
            database, Blobs(tmp_path / "b"), process_id=new_id(), clock=clock, new_id=new_id, topics=("call.closed",)
        )
        call = words.call()
        await told.record_call(call, words.answer())
        (row,) = await told.outbox("call.closed")
        assert (row.subject_id, row.project_id) == (call.id, PROJECT)
        await told.outbox_done([row.id])
        assert (await told.counts())["outbox"] == 0

    asyncio.run(scene())


def test_what_a_dead_process_left_is_removed_once_its_death_is_on_record(
    make_journal: MakeJournal, tmp_path: Path
) -> None:
    async def scene() -> None:
        mine, buried, retired, starting = (make_journal() for _ in range(4))
        home = Home(tmp_path / "home")
        locks = {
            journal: ProcessLock.acquire(home, process_id=journal.process_id, kind="worker")
            for journal in (mine, buried, retired, starting)
        }
        for journal in (mine, buried, retired):
            await journal.register_process(kind="worker", pid=os.getpid(), lock_path=locks[journal].path)
        for journal in (buried, retired, starting):
            locks[journal]._lock.release()  # what the kernel does to a killed process
        await retired.retire()  # killed after its last word, before it removed its file
        assert await mine.sweep_dead() == [buried.process_id]
        assert not locks[buried].path.exists()
        assert await mine.clear_files() == 1
        assert not locks[retired].path.exists()
        assert locks[starting].path.exists()  # not on record: it may be about to take its lock
        assert locks[mine].path.exists()
        assert await mine.clear_files() == 0
        locks[mine].release()

    asyncio.run(scene())


def test_on_a_full_disk_only_runs_that_have_begun_are_claimed(
    make_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        worker = make_journal()
        begun = await a_step(worker)
        new = NewRun(id=new_id(), project_id=PROJECT, handler="agent", name="a", input=b"")
        await worker.create_run(new)
        monkeypatch.setattr("mooring.storage.Database.is_full", True)
        await worker.bury(worker.process_id)
        taken = await worker.claim_run(["agent"])
        assert taken is not None
        assert taken.id == begun.run_id
        assert await worker.claim_run(["agent"]) is None
        monkeypatch.setattr("mooring.storage.Database.is_full", False)
        later = await worker.claim_run(["agent"])
        assert later is not None
        assert later.id == new.id

    asyncio.run(scene())
