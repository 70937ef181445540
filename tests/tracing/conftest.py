"""A journal on SQLite with a clock that moves when told to, and a run that has seen a few things."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mooring.core.clock import ManualClock
from mooring.core.ids import new_id
from mooring.core.money import Price
from mooring.core.usage import Usage
from mooring.journal import AttemptIntent, AttemptResult, CallAnswer, Journal, NewCall, NewRun, RunRecord, RunRef
from mooring.journal.base import CALL_CLOSED, RUN_FINISHED
from mooring.storage import Blobs, Database
from mooring.tracing import Traces
from mooring.tracing.projector import Projector
from mooring.tracing.spans import Spans

PROJECT = "default"
PRICE = Price(input_picos=250_001, output_picos=2_000_003, cached_input_picos=25_000, source="test")


class Scene:
    """What happened, told to a real journal."""

    def __init__(self, journal: Journal, clock: ManualClock) -> None:
        self.journal = journal
        self.clock = clock
        self.traces = Traces(journal)

    async def run(self, name: str = "support") -> RunRecord:
        await self.journal.create_run(NewRun(id=new_id(), project_id=PROJECT, handler="agent", name=name, input=b"{}"))
        claimed = await self.journal.claim_run(["agent"])
        assert claimed is not None
        return claimed

    def call(self, run: RunRecord | None, step: str = "1", **fields: Any) -> NewCall:
        defaults: dict[str, Any] = {
            "id": new_id(),
            "project_id": PROJECT,
            "kind": "chat",
            "name": "fast",
            "trace_id": b"t" * 16,
            "run": RunRef(run.id, run.epoch, step) if run else None,
        }
        return NewCall(**(defaults | fields))

    async def send(
        self, call: NewCall, *, number: int = 1, target: str = "sim/echo", opens: bool = True, **fields: Any
    ) -> AttemptIntent:
        intent = AttemptIntent(
            id=new_id(),
            call_id=call.id,
            project_id=PROJECT,
            number=number,
            target=target,
            request_hash=b"h",
            price=fields.pop("price", PRICE),
            held_nanos=fields.pop("held_nanos", 10_000_000),
            run=call.run,
            **fields,
        )
        await self.journal.begin_attempt(intent, call=call if opens else None)
        return intent

    async def answered(
        self, intent: AttemptIntent, *, seconds: float = 0.2, usage: Usage | None = None, **fields: Any
    ) -> None:
        usage = usage or Usage(input_tokens=1_000, output_tokens=50, cached_input_tokens=400)
        sent = self.clock.now_us() + 100
        self.clock.advance(seconds)
        result: dict[str, Any] = {
            "attempt_id": intent.id,
            "outcome": "completed",
            "cost_nanos": intent.price.cost_nanos(usage),
            "usage": usage,
            "bytes_up": 1_234,
            "bytes_down": 567,
            "sent_at_us": sent,
            "first_byte_at_us": sent + round(seconds * 4e5),
        }
        await self.journal.finish_attempt(AttemptResult(**(result | fields)), CallAnswer("completed", body=b"{}"))

    async def failed(self, intent: AttemptIntent, *, code: str = "upstream_timeout") -> None:
        self.clock.advance(0.1)
        result = AttemptResult(intent.id, "failed", 0, error_code=code, bytes_up=1_234)
        await self.journal.finish_attempt(result)

    async def agent_run(self) -> RunRecord:
        """A model step with a fallback, a tool, and a second model step; finished."""
        run = await self.run()
        await self.journal.append(run.id, run.epoch, "run.started", b"{}")
        first = self.call(run, "1")
        await self.failed(await self.send(first, target="sim/flaky"))
        await self.answered(await self.send(first, number=2, opens=False, reason="fallback"))
        tool = self.call(run, "2", kind="tool", name="refund")
        intent = AttemptIntent(new_id(), tool.id, PROJECT, 1, "refund", b"h", run=tool.run)
        assert tool.run is not None
        await self.journal.begin_tool(tool.run, tool, intent, event_payload=b"{}")
        self.clock.advance(0.05)
        done = AttemptResult(intent.id, "completed", 0)
        await self.journal.finish_tool(tool.run, done, CallAnswer("completed", body=b'"ok"'), event_payload=b"{}")
        await self.answered(await self.send(self.call(run, "3")))
        await self.journal.finish_run(run.id, run.epoch, "completed", output=b'"done"')
        return await self.journal.get_run(PROJECT, run.id)


class Following:
    """A scene whose journal is followed by a projector."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.clock = ManualClock()
        blobs = Blobs(folder / "blobs")
        self.journal = Journal(
            database,
            blobs,
            process_id=new_id(),
            clock=self.clock,
            new_id=new_id,
            topics=(CALL_CLOSED, RUN_FINISHED),
        )
        self.database = database
        self.blobs = blobs
        self.spans = Spans(database, folder / "traces.db")
        self.projector = Projector(self.journal, self.spans, blobs, redact=lambda text: text, clock=self.clock)
        self.scene = Scene(self.journal, self.clock)


@pytest.fixture
def following(database: Database, tmp_path: Path) -> Iterator[Following]:
    made = Following(database, tmp_path)
    yield made
    made.spans.close()


@pytest.fixture
def scene(sqlite_url: str, tmp_path: Path) -> Iterator[Scene]:
    clock = ManualClock()
    database = Database.open(sqlite_url)
    journal = Journal(database, Blobs(tmp_path / "blobs"), process_id=new_id(), clock=clock, new_id=new_id)
    yield Scene(journal, clock)
    database.close()
