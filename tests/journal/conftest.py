"""One journal on each database, with a clock that moves when told to, and short words for calls and attempts."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mooring.core.clock import ManualClock
from mooring.core.ids import new_id
from mooring.core.money import Price
from mooring.core.usage import Usage
from mooring.journal import AttemptIntent, AttemptResult, CallAnswer, Journal, NewCall, RunRef
from mooring.storage import Blobs, Database

PROJECT = "default"
PRICE = Price(input_picos=1_000, output_picos=2_000, source="test")


class Words:
    """Builds what rooms hand in."""

    def call(self, **fields: Any) -> NewCall:
        defaults: dict[str, Any] = {
            "id": new_id(),
            "project_id": PROJECT,
            "kind": "chat",
            "name": "fast",
            "trace_id": new_id(),
            "request_body": b'{"model":"fast"}',
        }
        if "key" in fields:
            defaults["binding"] = b"bound"
        return NewCall(**(defaults | fields))

    def intent(self, call: NewCall, **fields: Any) -> AttemptIntent:
        defaults: dict[str, Any] = {
            "id": new_id(),
            "call_id": call.id,
            "project_id": call.project_id,
            "number": 1,
            "target": "sim/echo",
            "request_hash": b"h",
            "price": PRICE,
            "run": call.run,
        }
        return AttemptIntent(**(defaults | fields))

    def result(self, intent: AttemptIntent, cost: int | None = 0, **fields: Any) -> AttemptResult:
        defaults: dict[str, Any] = {"attempt_id": intent.id, "outcome": "completed", "cost_nanos": cost}
        return AttemptResult(**(defaults | fields))

    def answer(self, body: bytes = b'{"ok":true}', **fields: Any) -> CallAnswer:
        return CallAnswer(**({"state": "completed", "body": body} | fields))

    def usage(self) -> Usage:
        return Usage(input_tokens=10, output_tokens=5, cached_input_tokens=4)


@pytest.fixture
def words() -> Words:
    return Words()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


MakeJournal = Callable[[], Journal]


@pytest.fixture
def make_journal(database: Database, tmp_path: Path, clock: ManualClock) -> Iterator[MakeJournal]:
    """Another process's journal on the same database."""
    blobs = Blobs(tmp_path / "blobs")

    def make() -> Journal:
        return Journal(database, blobs, process_id=new_id(), clock=clock, new_id=new_id)

    return make


@pytest.fixture
def journal(make_journal: MakeJournal) -> Journal:
    return make_journal()


def ref(run: Any, step: str = "1") -> RunRef:
    """A write of this run at this step."""
    return RunRef(run_id=run.id, epoch=run.epoch, step=step)
