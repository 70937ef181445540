"""The spans follow the journal by the outbox: twice is once, a stale row misses, a dead projector loses nothing."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mooring.core.ids import new_id
from mooring.journal import AttemptResult, CallAnswer, MeteredUsage
from mooring.tracing.histogram import bucket_of, merged, pack, quantile_us, unpack, upper_us
from mooring.tracing.records import Filter
from mooring.tracing.spans import Spans

PROJECT = "default"


async def everything(spans: Spans) -> tuple[Any, ...]:
    """All that the projection says, for comparison."""
    found = await spans.after(b"", 10_000)
    page = await spans.page(PROJECT, limit=1_000)
    dimensions: Any = ("all", "kind", "model", "target", "user", "tag")
    widths: Any = ("minute", "hour", "total")
    sums = [await spans.rollups(PROJECT, width, dimension) for width in widths for dimension in dimensions]
    facts = [await spans.facts(PROJECT, span.id) for span in found]
    return found, page, sums, facts


def test_a_closed_call_becomes_spans_and_the_outbox_is_empty(following: Any) -> None:
    async def work() -> None:
        scene = following.scene
        run = await scene.agent_run()
        assert (await following.journal.counts())["outbox"] == 4
        assert await following.projector.catch_up() == 4
        assert (await following.journal.counts())["outbox"] == 0
        spans = await following.spans.of_trace(PROJECT, run.id)
        assert [span.kind for span in spans] == ["run"]
        spans = await following.spans.of_trace(PROJECT, b"t" * 16)
        kinds = sorted(span.kind for span in spans)
        assert kinds == ["attempt"] * 4 + ["chat", "chat", "tool"]
        attempts, settled, held, tokens_in, tokens_out, moved = await following.spans.sums(PROJECT, b"t" * 16)
        assert (attempts, settled, held) == (4, 520_002, 0)
        assert (tokens_in, tokens_out, moved) == (2_000, 100, 3 * 1_234 + 2 * 567)

    asyncio.run(work())


def test_what_is_applied_twice_is_there_once(following: Any) -> None:
    async def work() -> None:
        await following.scene.agent_run()
        rows = await following.journal.outbox("call.closed")
        ids = [row.subject_id for row in rows]
        await following.projector.project_calls(ids)
        once = await everything(following.spans)
        await following.projector.project_calls([*ids, *ids])
        assert await everything(following.spans) == once
        await following.projector.catch_up()
        _, _, sums, _ = await everything(following.spans)
        assert sums[0][0].calls == 3

    asyncio.run(work())


def test_rebuilding_gives_the_same_rows(following: Any) -> None:
    async def work() -> None:
        await following.scene.agent_run()
        call = following.scene.call(None, user="u_1", tags=("web", "eu"), trace_id=new_id())
        await following.scene.answered(await following.scene.send(call))
        await following.projector.catch_up()
        before = await everything(following.spans)
        assert await following.projector.rebuild() == 5
        assert await everything(following.spans) == before

    asyncio.run(work())


def test_a_cost_that_is_known_later_replaces_what_was_held(following: Any) -> None:
    async def work() -> None:
        call = following.scene.call(None, trace_id=new_id())
        intent = await following.scene.send(call)
        lost = AttemptResult(intent.id, "failed", None, error_code="upstream_disconnected", provider_request_id="r1")
        await following.journal.finish_attempt(lost, CallAnswer("failed", status=502))
        await following.projector.catch_up()
        assert (await following.spans.sums(PROJECT, call.trace_id))[1:3] == (0, 10_000_000)
        await following.journal.reconcile(PROJECT, {"r1": MeteredUsage(cost_nanos=77)})
        await following.projector.catch_up()
        assert (await following.spans.sums(PROJECT, call.trace_id))[1:3] == (77, 0)
        (one,) = (await following.spans.page(PROJECT)).traces
        assert (one.settled_nanos, one.held_nanos, one.state) == (77, 0, "failed")
        (total,) = await following.spans.totals("target")
        assert (total.calls, total.settled_nanos) == (1, 77)

    asyncio.run(work())


def test_a_trace_that_the_journal_has_forgotten_is_not_found_and_is_swept(following: Any) -> None:
    async def work() -> None:
        call = following.scene.call(None, trace_id=new_id())
        await following.scene.answered(await following.scene.send(call))
        await following.projector.catch_up()
        assert len((await following.spans.page(PROJECT)).traces) == 1

        def forget(tx: Any) -> None:
            tx.execute("DELETE FROM attempts WHERE call_id = ?", (call.id,))
            tx.execute("DELETE FROM calls WHERE id = ?", (call.id,))

        await following.database.write_async(forget)
        assert (await following.spans.page(PROJECT)).traces == []
        assert await following.projector.sweep() == 2
        assert (await everything(following.spans))[0] == []
        assert (await following.spans.counts())["trace_summaries"] == 0

    asyncio.run(work())


def test_each_filter_finds_its_traces_and_no_others(following: Any) -> None:
    async def work() -> None:
        scene = following.scene
        one = scene.call(
            None,
            trace_id=new_id(),
            user="u_1",
            session="s_1",
            tags=('a"b', "web"),
            request_body=asks("Where is order 81?"),
        )
        two = scene.call(None, trace_id=new_id(), user="u_2", name="slow", request_body=asks("Refund order 9, please"))
        for call in (one, two):
            await scene.answered(await scene.send(call))
        blocked = scene.call(None, trace_id=new_id())
        await following.journal.record_call(blocked, CallAnswer("blocked", status=400, error_code="content_blocked"))
        await following.projector.catch_up()

        async def found(**conditions: Any) -> list[bytes]:
            page = await following.spans.page(PROJECT, Filter(**conditions))
            return [trace.trace_id for trace in page.traces]

        assert await found() == [blocked.trace_id, two.trace_id, one.trace_id]
        assert await found(user="u_1") == await found(session="s_1") == await found(tag="web") == [one.trace_id]
        assert await found(tag='a"b') == [one.trace_id]
        assert await found(tag="we") == await found(tag="%") == await found(tag="a") == []
        assert await found(model="slow") == [two.trace_id]
        assert await found(state="blocked") == [blocked.trace_id]
        assert await found(text="ORDER where") == [one.trace_id]
        assert await found(text="order") == [two.trace_id, one.trace_id]
        assert await found(text='order" OR "9') == await found(text="NEAR(order)") == []
        assert await found(text="refund", user="u_1") == []
        assert await found(since_us=following.clock.now_us() + 1) == []
        assert (await following.spans.page("other")).traces == []

    asyncio.run(work())


def asks(text: str) -> bytes:
    return msgspec.json.encode({"model": "fast", "messages": [{"role": "user", "content": text}]})


def test_pages_follow_each_other_without_gap_or_repeat(following: Any) -> None:
    async def work() -> None:
        made = []
        for _ in range(7):
            call = following.scene.call(None, trace_id=new_id())
            made.append(call.trace_id)
            await following.scene.answered(await following.scene.send(call))
        await following.projector.catch_up()
        seen: list[bytes] = []
        before = None
        for size in (3, 3, 1):
            page = await following.spans.page(PROJECT, limit=3, before=before)
            assert len(page.traces) == size
            seen += [trace.trace_id for trace in page.traces]
            before = page.next
        assert before is None
        assert seen == made[::-1]

    asyncio.run(work())


def test_the_bill_by_user_model_and_tag_is_the_ledgers(following: Any) -> None:
    async def work() -> None:
        scene = following.scene
        for user, tags in (("u_1", ("web",)), ("u_1", ("web", "eu")), (None, ())):
            await scene.answered(await scene.send(scene.call(None, trace_id=new_id(), user=user, tags=tags)))
        spans = following.scene.traces
        by_user = {one.value: (one.calls, one.settled_nanos) for one in await spans.bill_by(PROJECT, "user")}
        assert by_user == {"u_1": (2, 520_002), None: (1, 260_001)}
        by_tag = {one.value: one.calls for one in await spans.bill_by(PROJECT, "tag")}
        assert by_tag == {"web": 2, "eu": 1, None: 1}
        (model,) = await spans.bill_by(PROJECT, "model")
        assert (model.value, model.calls, model.input_tokens) == ("fast", 3, 3_000)
        (day,) = await spans.bill_by(PROJECT, "day")
        assert day.value == "2026-09-21"
        (target,) = await spans.bill_by(PROJECT, "target", Filter(user="u_1"))
        assert (target.value, target.settled_nanos) == ("sim/echo", 520_002)
        assert await spans.bill_by("other", "key") == []

    asyncio.run(work())


def test_a_projector_that_is_killed_in_mid_batch_leaves_rows_that_are_applied_again(
    sqlite_url: str, tmp_path: Path
) -> None:
    for point in ("before", "after"):
        program = [sys.executable, str(Path(__file__).with_name("dying_projector.py")), str(tmp_path), point]
        died = subprocess.run(program, capture_output=True, text=True, check=False, env={**os.environ})
        assert died.returncode == -signal.SIGKILL, died.stderr
    again = subprocess.run([*program[:3], "whole"], capture_output=True, text=True, check=False, env={**os.environ})
    assert again.returncode == 0, again.stderr
    assert again.stdout.strip() == "the same"


@pytest.mark.parametrize("microseconds", [0, 1, 2, 3, 7, 1_000, 1_234_567, 86_400_000_000])
def test_a_latency_is_read_from_its_bucket_at_most_a_quarter_too_large(microseconds: int) -> None:
    upper = upper_us(bucket_of(microseconds))
    assert microseconds <= upper <= max(microseconds, 1) * 1.25 + 1


def test_histograms_merge_subtract_and_pack() -> None:
    some, others = {1: 2, 50: 1}, {50: 3}
    both = merged((some, others))
    assert unpack(pack(both)) == {1: 2, 50: 4}
    assert unpack(pack(merged((both, {50: -4})))) == {1: 2}
    assert quantile_us(both, 0.5) == upper_us(50)
    assert quantile_us({}, 0.5) is None
