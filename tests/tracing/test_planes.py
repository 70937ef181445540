"""One id, every plane: what the spans say is what the ledger says, and what was cited is there."""

import asyncio
from typing import Any

from mooring.core.ids import new_id, show
from mooring.journal import CallAnswer
from mooring.tracing.planes import verify_planes


def test_spans_that_follow_the_journal_are_the_ledgers_and_others_are_named(following: Any) -> None:
    async def work() -> None:
        run = await following.scene.agent_run()
        await following.projector.catch_up()
        trace = await following.scene.traces.trace("default", run_id=run.id)
        assert await verify_planes(following.journal, following.spans, trace) == []

        def change(tx: Any) -> None:
            tx.execute(
                "UPDATE trace_spans SET settled_nanos = settled_nanos + 1, bytes_up = 0 WHERE id = ?",
                (trace.calls[2].attempts[0].id,),
            )
            tx.execute("DELETE FROM trace_spans WHERE id = ?", (trace.calls[0].attempts[1].id,))

        await (await following.spans.opened()).write_async(change)
        found = await verify_planes(following.journal, following.spans, trace)
        first, third = show("call", trace.calls[0].call.id), show("call", trace.calls[2].call.id)
        assert [str(one) for one in found] == [
            f"{first}: it has 2 attempts, but 1 spans of them",
            f"{third}: the ledger has $0.000260001 settled, its spans $0.000260002",
            f"{third}: its sockets counted 1234 bytes up, its spans have 0",
        ]

    asyncio.run(work())


def test_a_cited_passage_that_is_gone_is_named(following: Any) -> None:
    async def work() -> None:
        call = following.scene.call(None, kind="retrieval", trace_id=new_id())
        chunk = new_id()
        hits = [{"chunk": show("chunk", chunk), "path": "handbook.md", "scores": {"keyword": 1.0}}]
        await following.journal.record_call(call, CallAnswer("completed", attributes={"hits": hits}))
        await following.projector.catch_up()
        trace = await following.scene.traces.trace("default", call_id=call.id)
        (one,) = await verify_planes(following.journal, following.spans, trace)
        assert one.problem == f"it found {show('chunk', chunk)} in handbook.md, which is not there any more"

    asyncio.run(work())
