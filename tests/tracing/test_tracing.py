"""A trace shows what the journal holds, and its parts reconcile."""

import asyncio
from typing import Any

import msgspec
import pytest

from mooring.core.errors import InvalidRequest, NotFound
from mooring.core.ids import new_id
from mooring.core.usage import Usage
from mooring.journal import AttemptResult, CallAnswer
from mooring.tracing import Trace
from mooring.tracing.verify import verify

PROJECT = "default"


def traced(scene: Any) -> Trace:
    """The trace of a finished run."""

    async def work() -> Trace:
        run = await scene.agent_run()
        return await scene.traces.trace(PROJECT, run_id=run.id)

    return asyncio.run(work())


def problems(trace: Trace) -> list[str]:
    return [finding.problem for finding in verify(trace)]


def changed(trace: Trace, call: int, attempt: int, **fields: Any) -> Trace:
    """The same trace with one attempt that says something else."""
    calls = trace.calls
    attempts = list(calls[call].attempts)
    attempts[attempt] = msgspec.structs.replace(attempts[attempt], **fields)
    calls[call] = msgspec.structs.replace(calls[call], attempts=tuple(attempts))
    steps = tuple(msgspec.structs.replace(step, calls=(one,)) for step, one in zip(trace.steps, calls, strict=True))
    return msgspec.structs.replace(trace, steps=steps)


def test_a_run_is_a_tree_of_steps_calls_and_attempts_in_the_order_of_time(scene: Any) -> None:
    trace = traced(scene)
    shape = [(step.name, [[one.target for one in call.attempts] for call in step.calls]) for step in trace.steps]
    assert shape == [("1", [["sim/flaky", "sim/echo"]]), ("2", [["refund"]]), ("3", [["sim/echo"]])]
    assert [event.kind for event in trace.events] == ["run.started", "tool.started", "tool.finished", "run.finished"]
    assert trace.usage == Usage(input_tokens=2_000, output_tokens=100, cached_input_tokens=800)
    assert (trace.bytes_up, trace.bytes_down) == (3 * 1_234, 2 * 567)


def test_what_the_trace_costs_is_what_the_ledger_says_to_the_nano_dollar(scene: Any) -> None:
    trace = traced(scene)
    # (600 × 250,001 + 400 × 25,000 + 50 × 2,000,003) pico-dollars, rounded up once per attempt, twice.
    assert trace.settled_nanos == 2 * 260_001
    assert trace.run is not None
    assert trace.bill is not None
    assert trace.run.settled_nanos == trace.bill.settled_nanos == trace.settled_nanos


def test_a_finished_run_reconciles(scene: Any) -> None:
    assert verify(traced(scene)) == []


def test_the_last_run_is_found_and_none_is_said_to_be_none(scene: Any) -> None:
    async def work() -> None:
        assert await scene.traces.last(PROJECT) is None
        run = await scene.agent_run()
        last = await scene.traces.last(PROJECT)
        assert last.run.id == run.id

    asyncio.run(work())


def test_a_call_without_a_run_shows_all_that_shares_its_trace_id(scene: Any) -> None:
    async def work() -> None:
        one, two, other = scene.call(None), scene.call(None, kind="retrieval"), scene.call(None, trace_id=b"o" * 16)
        for call in (one, two, other):
            await scene.answered(await scene.send(call))
        trace = await scene.traces.trace(PROJECT, call_id=two.id)
        assert [found.call.id for found in trace.calls] == [one.id, two.id]
        assert verify(trace) == []
        assert await scene.traces.trace(PROJECT, trace_id=b"t" * 16) == trace

    asyncio.run(work())


def test_a_call_of_a_run_shows_that_call(scene: Any) -> None:
    async def work() -> None:
        run = await scene.agent_run()
        whole = await scene.traces.trace(PROJECT, run_id=run.id)
        trace = await scene.traces.trace(PROJECT, call_id=whole.calls[0].call.id)
        assert trace.calls == whole.calls[:1]
        assert verify(trace) == []

    asyncio.run(work())


def test_another_projects_run_is_not_found(scene: Any) -> None:
    async def work() -> None:
        run = await scene.agent_run()
        with pytest.raises(NotFound):
            await scene.traces.trace("other", run_id=run.id)
        with pytest.raises(NotFound):
            await scene.traces.trace(PROJECT, call_id=new_id())
        with pytest.raises(InvalidRequest):
            await scene.traces.trace(PROJECT)

    asyncio.run(work())


def test_a_run_of_many_calls_is_whole(scene: Any) -> None:
    async def work() -> None:
        run = await scene.run()
        for step in range(5):
            await scene.answered(await scene.send(scene.call(run, str(step))))
        trace = await scene.traces.trace(PROJECT, run_id=run.id)
        assert [step.name for step in trace.steps] == ["0", "1", "2", "3", "4"]
        assert verify(trace) == []

    asyncio.run(work())


def test_what_is_in_flight_or_unknown_is_held_and_still_reconciles(scene: Any) -> None:
    async def work() -> None:
        run = await scene.run()
        cut = scene.call(run, "1")
        intent = await scene.send(cut)
        await scene.journal.finish_attempt(
            AttemptResult(intent.id, "failed", None, error_code="upstream_disconnected"),
            CallAnswer("failed", status=502, error_code="upstream_disconnected"),
        )
        await scene.send(scene.call(run, "2"))
        trace = await scene.traces.trace(PROJECT, run_id=run.id)
        assert (trace.settled_nanos, trace.held_nanos) == (0, 20_000_000)
        assert verify(trace) == []

    asyncio.run(work())


def test_a_blocked_call_without_an_attempt_is_shown_and_costs_nothing(scene: Any) -> None:
    async def work() -> None:
        call = scene.call(None)
        await scene.journal.record_call(call, CallAnswer("blocked", status=400, error_code="content_blocked"))
        trace = await scene.traces.trace(PROJECT, call_id=call.id)
        assert [(found.call.state, found.attempts) for found in trace.calls] == [("blocked", ())]
        assert verify(trace) == []

    asyncio.run(work())


# what does not add up is named


def test_a_cost_that_does_not_follow_from_its_tokens_is_named(scene: Any) -> None:
    trace = changed(traced(scene), 0, 1, usage=Usage(input_tokens=1_001, output_tokens=50, cached_input_tokens=400))
    assert "$0.000260001 settled, but its tokens at its price add up to $0.000260251" in problems(trace)


def test_a_call_that_is_not_the_sum_of_its_attempts_is_named(scene: Any) -> None:
    trace = changed(traced(scene), 2, 0, settled_nanos=1, settlement="unknown")
    assert "$0.000260001 settled, but its attempts add up to $0.000000001" in problems(trace)
    assert "it is unknown and has $0.000000001 settled" in problems(trace)


def test_a_run_that_is_not_the_sum_of_its_calls_is_named_on_both_ledgers(scene: Any) -> None:
    trace = traced(scene)
    fewer = msgspec.structs.replace(trace, steps=trace.steps[:2])
    assert "$0.000520002 settled, but its calls add up to $0.000260001" in problems(fewer)
    assert "$0.000520002 settled, but the calls add up to $0.000260001" in problems(fewer)
    assert "2000 input tokens, but the attempts have 1000" in problems(fewer)


def test_what_is_settled_and_still_held_is_named(scene: Any) -> None:
    assert "it is settled and still holds $0.000000005" in problems(changed(traced(scene), 0, 1, held_nanos=5))


def test_a_gap_in_the_events_is_named(scene: Any) -> None:
    trace = traced(scene)
    gap = msgspec.structs.replace(trace, events=(trace.events[0], *trace.events[2:]))
    assert any("without a gap" in problem for problem in problems(gap))
    short = msgspec.structs.replace(trace, events=trace.events[:-1])
    assert "it has 3 events, but 4 were numbered" in problems(short)


def test_times_that_run_backwards_are_named(scene: Any) -> None:
    trace = traced(scene)
    sent = trace.calls[2].attempts[0].sent_at_us
    assert sent is not None
    back = changed(trace, 2, 0, first_byte_at_us=sent - 50_000)
    assert any("first byte is 50.0 ms before sent" in problem for problem in problems(back))
    early = changed(trace, 2, 0, intended_at_us=trace.calls[2].call.started_at_us - 90_000)
    assert any("intent is 90.0 ms before call started" in problem for problem in problems(early))


def test_bytes_that_were_not_counted_are_named(scene: Any) -> None:
    assert "it was sent, but no byte up is counted" in problems(changed(traced(scene), 2, 0, bytes_up=0))
    assert "it was answered, but no byte down is counted" in problems(changed(traced(scene), 2, 0, bytes_down=0))


def test_a_completed_call_whose_attempts_all_failed_is_named(scene: Any) -> None:
    assert "it is completed, but its attempts are failed" in problems(changed(traced(scene), 2, 0, outcome="failed"))


def test_attempts_with_the_same_number_are_named(scene: Any) -> None:
    assert "its attempts are numbered [1, 1]" in problems(changed(traced(scene), 0, 1, number=1))
