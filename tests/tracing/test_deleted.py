"""The bill by something adds up to the bill, also when the calls are deleted that it was for."""

import asyncio
from pathlib import Path
from typing import Any, get_args

from tests.databases import database, database_url, postgres_url, sqlite_url

from mooring.core.clock import ManualClock
from mooring.core.ids import IdSource
from mooring.core.money import Price
from mooring.core.usage import Usage
from mooring.journal import AttemptIntent, AttemptResult, CallAnswer, Journal, NewCall
from mooring.journal.config import RetentionConfig
from mooring.storage import Blobs, Database
from mooring.tracing.records import Filter, GroupBy
from mooring.tracing.tracing import Traces

__all__ = ["database", "database_url", "postgres_url", "sqlite_url"]
PROJECT = "default"
DAY = 86_400.0


async def spend(journal: Journal, new_id: Any, cost: int, user: str) -> None:
    call = NewCall(id=new_id(), project_id=PROJECT, kind="chat", name="fast", trace_id=new_id(), user=user)
    intent = AttemptIntent(
        id=new_id(),
        call_id=call.id,
        project_id=PROJECT,
        number=1,
        target="sim/echo",
        request_hash=b"h",
        price=Price(input_picos=1_000, source="test"),
        held_nanos=cost,
    )
    await journal.begin_attempt(intent, call=call)
    usage = Usage(input_tokens=10, output_tokens=5)
    result = AttemptResult(attempt_id=intent.id, outcome="completed", cost_nanos=cost, usage=usage)
    await journal.finish_attempt(result, CallAnswer(state="completed"))


def test_what_deleted_calls_cost_is_a_line_of_its_own(database: Database, tmp_path: Path) -> None:
    clock = ManualClock()
    new_id = IdSource(clock)
    journal = Journal(database, Blobs(tmp_path / "blobs"), process_id=new_id(), clock=clock, new_id=new_id)
    traces = Traces(journal)

    async def scene() -> None:
        await spend(journal, new_id, 7, "u_1")
        await spend(journal, new_id, 8, "u_2")
        clock.advance(10 * DAY)
        await spend(journal, new_id, 9, "u_1")
        clock.advance(DAY)
        while await journal.fold():
            continue
        assert [one.value for one in await traces.bill_by(PROJECT, "user")] == ["u_1", "u_2"]
        assert (await journal.retain(RetentionConfig(calls_days=5))).calls == 2
        whole = (await journal.bill(PROJECT)).settled_nanos
        assert whole == 24
        for group_by in get_args(GroupBy):
            groups = await traces.bill_by(PROJECT, group_by)
            assert sum(one.settled_nanos for one in groups) == whole
            gone = groups[-1]
            assert gone.value is not None
            assert gone.value.startswith("before ")
            assert gone.value.endswith(": deleted")
            assert (gone.calls, gone.input_tokens, gone.output_tokens, gone.settled_nanos) == (2, 20, 10, 15)
        recent = Filter(since_us=clock.now_us() - 3 * 86_400_000_000)
        assert [one.value for one in await traces.bill_by(PROJECT, "user", recent)] == ["u_1"]
        assert [one.value for one in await traces.bill_by(PROJECT, "model", Filter(user="u_1"))] == ["fast"]

    asyncio.run(scene())
