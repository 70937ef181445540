"""Runs: queued, claimed under a lease, fenced by their epoch, numbered without gaps."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from mooring.core.clock import ManualClock
from mooring.core.errors import BudgetExceeded, LeaseLost, NotFound
from mooring.core.ids import new_id
from mooring.journal import Journal, NewRun, RunRef

PROJECT = "default"
MakeJournal = Callable[[], Journal]


def new_run(**fields: Any) -> NewRun:
    defaults: dict[str, Any] = {
        "id": new_id(),
        "project_id": PROJECT,
        "handler": "agent",
        "name": "support",
        "input": b'{"q":1}',
    }
    return NewRun(**(defaults | fields))


async def claimed(journal: Journal, **fields: Any) -> Any:
    await journal.create_run(new_run(**fields))
    run = await journal.claim_run(["agent"])
    assert run is not None
    return run


def test_a_run_is_queued_claimed_written_and_finished(journal: Journal) -> None:
    async def scene() -> None:
        created = await journal.create_run(new_run(user="u", tags=("t",), app_path="app.py"))
        assert (created.state, created.input, created.user, created.tags) == ("queued", b'{"q":1}', "u", ("t",))
        assert await journal.claim_run(["another"]) is None
        run = await journal.claim_run(["another", "agent"])
        assert run is not None
        assert (run.id, run.state, run.epoch, run.owner_process_id) == (created.id, "running", 1, journal.process_id)
        assert await journal.claim_run(["agent"]) is None
        assert await journal.append(run.id, run.epoch, "step", b"1") == 1
        assert await journal.append(run.id, run.epoch, "step", b"x" * 300_000) == 2
        await journal.finish_run(run.id, run.epoch, "completed", output=b'"done"')
        done = await journal.get_run(PROJECT, run.id)
        assert (done.state, done.output) == ("completed", b'"done"')
        events = await journal.events(PROJECT, run.id)
        assert [(event.seq, event.kind) for event in events] == [(1, "step"), (2, "step"), (3, "run.finished")]
        assert events[1].payload == b"x" * 300_000
        assert [event.seq for event in await journal.events(PROJECT, run.id, after=2)] == [3]
        last = await journal.last_run(PROJECT)
        assert last is not None
        assert last.id == run.id
        assert [one.id for one in await journal.list_runs(PROJECT, state="completed")] == [run.id]
        assert await journal.list_runs("other") == []
        with pytest.raises(LeaseLost):
            await journal.append(run.id, run.epoch, "step", b"late")

    asyncio.run(scene())


def test_the_same_key_gives_the_same_run(journal: Journal) -> None:
    async def scene() -> None:
        first = await journal.create_run(new_run(key="k"))
        assert (await journal.create_run(new_run(key="k", input=b"other"))).id == first.id
        assert (await journal.create_run(new_run(key="k", project_id="other"))).id != first.id

    asyncio.run(scene())


def test_who_lost_the_lease_writes_no_event_and_no_intent_but_its_results_are_taken(
    make_journal: MakeJournal, words: Any, clock: ManualClock
) -> None:
    async def scene() -> None:
        slow, quick = make_journal(), make_journal()
        old = await claimed(slow)
        step = RunRef(run_id=old.id, epoch=old.epoch, step="1")
        model, tool = words.call(run=step), words.call(kind="tool", run=step)
        sent, used = words.intent(model, held_nanos=10), words.intent(tool)
        await slow.begin_attempt(sent, call=model)
        await slow.begin_tool(step, tool, used, event_payload=b"{}")
        clock.advance(11)
        new = await quick.claim_run(["agent"])
        assert new is not None
        assert (new.id, new.epoch) == (old.id, old.epoch + 1)
        late = words.call(run=step)
        for write in (
            slow.append(old.id, old.epoch, "step", b""),
            slow.renew(old.id, old.epoch),
            slow.finish_run(old.id, old.epoch, "completed"),
            slow.park_run(old.id, old.epoch, reason="approval"),
            slow.begin_attempt(words.intent(late), call=late),
            slow.begin_tool(step, late, words.intent(late), event_payload=b"{}"),
            slow.finish_tool(step, words.result(used, 0), words.answer(b"took"), event_payload=b"{}"),
        ):
            with pytest.raises(LeaseLost):
                await write
        await slow.finish_attempt(words.result(sent, 4), words.answer(b"paid"))
        assert await quick.get_body(PROJECT, model.id) == b"paid"
        assert await quick.get_body(PROJECT, tool.id) == b"took"
        with pytest.raises(NotFound):
            await quick.get_call(PROJECT, late.id)
        assert [event.kind for event in await quick.events(PROJECT, old.id)] == ["tool.started"]
        assert await quick.append(new.id, new.epoch, "step", b"") == 2
        await quick.renew(new.id, new.epoch)

    asyncio.run(scene())


def test_a_run_holds_its_calls_to_its_own_cap_and_knows_its_cost(journal: Journal, words: Any) -> None:
    async def scene() -> None:
        run = await claimed(journal, max_cost_nanos=100)
        step = RunRef(run_id=run.id, epoch=run.epoch, step="1")
        call = words.call(run=step)
        intent = words.intent(call, held_nanos=80)
        await journal.begin_attempt(intent, call=call)
        with pytest.raises(BudgetExceeded, match="The run may cost"):
            await journal.begin_attempt(words.intent(call, number=2, held_nanos=21))
        await journal.finish_attempt(words.result(intent, 30), words.answer())
        record = await journal.get_run(PROJECT, run.id)
        assert (record.settled_nanos, record.held_nanos) == (30, 0)
        await journal.begin_attempt(words.intent(call, number=2, held_nanos=70))
        assert (await journal.bill(PROJECT, run_id=run.id)).held_nanos == 70

    asyncio.run(scene())


def test_a_key_of_a_run_lives_as_long_as_the_run(journal: Journal, words: Any, clock: ManualClock) -> None:
    async def scene() -> None:
        run = await claimed(journal)
        step = RunRef(run_id=run.id, epoch=run.epoch, step="1")
        call = words.call(run=step, key="run/1", key_lifetime_seconds=1)
        await journal.record_call(call, words.answer())
        clock.advance(10_000_000)
        assert await journal.find_key(PROJECT, "run/1", b"bound") is not None
        found = await journal.find_step(PROJECT, run.id, "1")
        assert found is not None
        assert found.id == call.id
        assert await journal.find_step(PROJECT, run.id, "2") is None

    asyncio.run(scene())


def test_a_run_waits_for_its_time_and_a_parked_one_for_somebody(journal: Journal, clock: ManualClock) -> None:
    async def scene() -> None:
        run = await claimed(journal, due_at_us=clock.now_us())
        await journal.park_run(run.id, run.epoch, reason="sleep", state="waiting", wake_at_us=clock.now_us() + 5)
        assert await journal.claim_run(["agent"]) is None
        clock.advance(1)
        again = await journal.claim_run(["agent"])
        assert again is not None
        await journal.park_run(again.id, again.epoch, reason="approval")
        clock.advance(1_000)
        assert await journal.claim_run(["agent"]) is None
        assert (await journal.get_run(PROJECT, run.id)).state == "parked"
        with pytest.raises(NotFound):
            await journal.resume_run("other", run.id)
        await journal.resume_run(PROJECT, run.id)
        assert await journal.claim_run(["agent"]) is not None
        later = await journal.create_run(new_run(due_at_us=clock.now_us() + 1))
        assert await journal.claim_run(["agent"]) is None
        await journal.cancel_run(PROJECT, later.id)
        clock.advance(1)
        assert await journal.claim_run(["agent"]) is None

    asyncio.run(scene())


def test_a_cancelled_run_ends_at_once_and_its_worker_is_fenced(journal: Journal) -> None:
    async def scene() -> None:
        run = await claimed(journal)
        await journal.append(run.id, run.epoch, "step", b"")
        await journal.cancel_run(PROJECT, run.id)
        await journal.cancel_run(PROJECT, run.id)
        with pytest.raises(LeaseLost):
            await journal.append(run.id, run.epoch, "step", b"")
        assert [(one.seq, one.kind) for one in await journal.events(PROJECT, run.id)] == [
            (1, "step"),
            (2, "run.finished"),
        ]
        assert (await journal.get_run(PROJECT, run.id)).state == "cancelled"

    asyncio.run(scene())


def test_the_project_with_fewer_runs_at_work_comes_first(journal: Journal) -> None:
    async def scene() -> None:
        for _ in range(3):
            await journal.create_run(new_run(project_id="busy"))
        await journal.create_run(new_run(project_id="quiet"))
        order = [await journal.claim_run(["agent"]) for _ in range(4)]
        assert [run.project_id for run in order if run] == ["busy", "quiet", "busy", "busy"]

    asyncio.run(scene())


def test_every_run_is_claimed_once_by_workers_that_race(make_journal: MakeJournal) -> None:
    async def scene() -> None:
        first = make_journal()
        for _ in range(10):
            await first.create_run(new_run())
        workers = [make_journal() for _ in range(8)]
        taken: list[bytes] = []

        async def work(worker: Journal) -> None:
            while len(taken) < 10:
                run = await worker.claim_run(["agent"])
                if run is not None:
                    taken.append(run.id)

        await asyncio.gather(*(work(worker) for worker in workers))
        assert len(set(taken)) == len(taken) == 10

    asyncio.run(scene())


def test_who_waits_for_events_gets_them_as_they_are_written(journal: Journal) -> None:
    async def scene() -> None:
        run = await claimed(journal)
        waiting = asyncio.create_task(journal.wait_events(PROJECT, run.id, after=0, timeout_seconds=60))
        await asyncio.sleep(0)
        await journal.append(run.id, run.epoch, "step", b"1")
        assert [event.payload for event in await waiting] == [b"1"]
        assert await journal.wait_events(PROJECT, run.id, after=1, timeout_seconds=0) == []

    asyncio.run(scene())
