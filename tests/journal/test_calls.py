"""A call: found by key, answered once, kept byte for byte."""

import asyncio
from typing import Any

import pytest

from mooring.core.clock import ManualClock
from mooring.core.errors import CallUncertain, KeyReused, NotFound
from mooring.core.ids import new_id
from mooring.journal import Journal, KeyTaken, NewRun, RunRef

PROJECT = "default"


def test_a_call_comes_back_with_its_answer_its_attempts_and_their_sums(journal: Journal, words: Any) -> None:
    async def scene() -> None:
        call = words.call(user="u", tags=("a", "b"), session="s")
        first = words.intent(call, held_nanos=50)
        await journal.begin_attempt(first, call=call)
        await journal.finish_attempt(words.result(first, 7, outcome="failed", error_code="upstream_error"))
        second = words.intent(call, number=2, reason="retry", held_nanos=50)
        await journal.begin_attempt(second)
        running = await journal.get_call(PROJECT, call.id)
        assert (running.state, running.settled_nanos, running.held_nanos) == ("running", 7, 50)
        usage = words.usage()
        await journal.finish_attempt(
            words.result(second, 20, usage=usage, provider_request_id="r1"), words.answer(attributes={"hits": [1]})
        )
        done = await journal.get_call(PROJECT, call.id)
        assert (done.state, done.settled_nanos, done.held_nanos) == ("completed", 27, 0)
        assert (done.user, done.tags, done.session, done.attributes) == ("u", ("a", "b"), "s", {"hits": [1]})
        assert await journal.get_body(PROJECT, call.id) == b'{"ok":true}'
        assert (await journal.get_request(PROJECT, call.id))[0] == call.request_body
        attempts = await journal.attempts(PROJECT, call.id)
        assert [(one.outcome, one.settlement, one.settled_nanos) for one in attempts] == [
            ("failed", "settled", 7),
            ("completed", "settled", 20),
        ]
        assert attempts[1].usage == usage
        assert attempts[1].price == second.price
        assert [one.id for one in await journal.list_calls(PROJECT)] == [call.id]

    asyncio.run(scene())


def test_a_call_of_another_project_is_not_found(journal: Journal, words: Any) -> None:
    async def scene() -> None:
        call = words.call()
        await journal.record_call(call, words.answer())
        with pytest.raises(NotFound):
            await journal.get_call("other", call.id)
        with pytest.raises(NotFound):
            await journal.get_body("other", call.id)
        assert await journal.list_calls("other") == []

    asyncio.run(scene())


def test_j2_a_key_has_one_completed_call_and_a_second_caller_gets_its_answer(journal: Journal, words: Any) -> None:
    async def scene() -> None:
        call = words.call(key="k")
        assert await journal.find_key(PROJECT, "k", b"bound") is None
        intent = words.intent(call)
        await journal.begin_attempt(intent, call=call)
        joined = await journal.find_key(PROJECT, "k", b"bound")
        assert joined is not None
        assert joined.state == "running"
        other = words.call(key="k")
        with pytest.raises(KeyTaken) as caught:
            await journal.begin_attempt(words.intent(other), call=other)
        assert caught.value.call_id == call.id
        await journal.finish_attempt(words.result(intent, 1), words.answer(b"once"))
        found = await journal.find_key(PROJECT, "k", b"bound")
        assert found is not None
        assert found.state == "completed"
        with pytest.raises(KeyReused):
            await journal.find_key(PROJECT, "k", b"another body")
        with pytest.raises(KeyTaken):
            await journal.record_call(words.call(key="k"), words.answer())
        assert await journal.find_key("other", "k", b"bound") is None
        assert len(await journal.list_calls(PROJECT)) == 1

    asyncio.run(scene())


def test_a_key_is_free_again_when_its_lifetime_is_over(journal: Journal, words: Any, clock: ManualClock) -> None:
    async def scene() -> None:
        await journal.record_call(words.call(key="k", key_lifetime_seconds=60), words.answer())
        clock.advance(61)
        assert await journal.find_key(PROJECT, "k", b"bound") is None
        await journal.record_call(words.call(key="k"), words.answer())

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("cost", "state", "is_free"),
    [(0, "failed", True), (5, "failed", False), (None, "failed", False), (0, "blocked", False)],
)
def test_a_key_is_free_after_a_failure_that_cost_nothing(
    journal: Journal, words: Any, cost: int | None, state: str, is_free: bool
) -> None:
    async def scene() -> None:
        call = words.call(key="k")
        intent = words.intent(call, held_nanos=9)
        await journal.begin_attempt(intent, call=call)
        await journal.finish_attempt(
            words.result(intent, cost, outcome="failed"), words.answer(state=state, status=502, error_code="x")
        )
        found = await journal.find_key(PROJECT, "k", b"bound")
        assert (found is None) == is_free
        assert (await journal.get_call(PROJECT, call.id)).key == "k"

    asyncio.run(scene())


def test_an_uncertain_call_is_a_conflict_that_names_it(journal: Journal, words: Any) -> None:
    async def scene() -> None:
        call = words.call(key="k")
        intent = words.intent(call)
        await journal.begin_attempt(intent, call=call)
        await journal.finish_attempt(words.result(intent, None, outcome="uncertain"))
        with pytest.raises(CallUncertain, match="call_"):
            await journal.find_key(PROJECT, "k", b"bound")

    asyncio.run(scene())


def test_a_second_result_is_ignored_but_the_cost_it_brings_is_taken(journal: Journal, words: Any) -> None:
    async def scene() -> None:
        call = words.call()
        intent = words.intent(call, held_nanos=100)
        await journal.begin_attempt(intent, call=call)
        await journal.finish_attempt(words.result(intent, None), words.answer(b"first"))
        await journal.finish_attempt(words.result(intent, 30, outcome="failed"), words.answer(b"second"))
        await journal.finish_attempt(words.result(intent, 31))
        assert await journal.get_body(PROJECT, call.id) == b"first"
        (attempt,) = await journal.attempts(PROJECT, call.id)
        assert (attempt.outcome, attempt.settled_nanos, attempt.held_nanos) == ("completed", 30, 0)

    asyncio.run(scene())


def test_a_result_without_an_intent_is_refused(journal: Journal, words: Any) -> None:
    async def scene() -> None:
        with pytest.raises(NotFound):
            await journal.finish_attempt(words.result(words.intent(words.call()), 1))

    asyncio.run(scene())


@pytest.mark.parametrize("size", [0, 10, 5_000, 100_000, 1 << 20])
def test_bodies_of_every_size_come_back_as_they_were(journal: Journal, words: Any, size: int) -> None:
    async def scene() -> None:
        body = new_id() * (size // 32) + b"x" * (size - size // 32 * 16)
        random = b"".join(new_id() for _ in range(size // 16))
        call = words.call(request_body=random)
        await journal.record_call(call, words.answer(body))
        assert await journal.get_body(PROJECT, call.id) == body
        assert (await journal.get_request(PROJECT, call.id))[0] == random

    asyncio.run(scene())


def test_who_waits_for_a_call_gets_it_once_it_is_answered(journal: Journal, words: Any) -> None:
    async def scene() -> None:
        call = words.call(key="k")
        intent = words.intent(call)
        await journal.begin_attempt(intent, call=call)
        waiting = asyncio.create_task(journal.wait_call(PROJECT, call.id, timeout_seconds=60))
        await asyncio.sleep(0)
        await journal.finish_attempt(words.result(intent, 0), words.answer())
        assert (await waiting).state == "completed"
        other = words.call()
        await journal.begin_attempt(words.intent(other), call=other)
        assert (await journal.wait_call(PROJECT, other.id, timeout_seconds=0)).state == "running"

    asyncio.run(scene())


def test_a_trace_is_found_whether_it_is_the_call_the_run_or_came_from_outside(journal: Journal, words: Any) -> None:
    async def scene() -> None:
        await journal.create_run(NewRun(id=new_id(), project_id=PROJECT, handler="h", name="n", input=b""))
        run = await journal.claim_run(["h"])
        assert run is not None
        step = RunRef(run_id=run.id, epoch=run.epoch, step="1")
        own, outside = new_id(), new_id()
        for call in (
            words.call(id=own, trace_id=own),
            words.call(trace_id=run.id, run=step),
            words.call(trace_id=outside),
            words.call(trace_id=outside, run=step),
            words.call(trace_id=own),
        ):
            await journal.record_call(call, words.answer())
            assert (await journal.get_call(PROJECT, call.id)).trace_id == call.trace_id
            assert call.id in [found.id for found in await journal.trace_calls(PROJECT, call.trace_id)]
        assert [len(await journal.trace_calls(PROJECT, trace)) for trace in (own, run.id, outside)] == [2, 1, 2]
        assert await journal.trace_calls("other", own) == []

    asyncio.run(scene())


def test_a_steps_own_key_and_one_that_its_caller_chose_are_both_told(journal: Journal, words: Any) -> None:
    async def scene() -> None:
        await journal.create_run(NewRun(id=new_id(), project_id=PROJECT, handler="h", name="n", input=b""))
        run = await journal.claim_run(["h"])
        assert run is not None
        step = RunRef(run_id=run.id, epoch=run.epoch, step="model/1")
        for key in (step.key, "mine", None):
            call = words.call(key=key, binding=b"bound", run=step)
            await journal.record_call(call, words.answer())
            assert (await journal.get_call(PROJECT, call.id)).key == key
            if key is not None:
                found = await journal.find_key(PROJECT, key, b"bound")
                assert found is not None
                assert (found.id, found.key) == (call.id, key)
                await journal.free_key(PROJECT, call.id)
                assert await journal.find_key(PROJECT, key, b"bound") is None

    asyncio.run(scene())
