"""Ingestion as a run: events per document, a report, and an error where there is one."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from tests.rag.conftest import PROJECT, Shelf

from mooring.core.clock import ManualClock
from mooring.core.errors import LeaseLost
from mooring.core.ids import new_id
from mooring.journal.records import NewRun, RunRecord
from mooring.rag import IngestHandler


async def claimed(shelf: Shelf, payload: bytes) -> RunRecord:
    await shelf.journal.create_run(
        NewRun(id=new_id(), project_id=PROJECT, handler="ingest", name="ingest/shelf", input=payload)
    )
    record = await shelf.journal.claim_run(["ingest"])
    assert record is not None
    return record


def run(shelf: Shelf, clock: ManualClock, folder: Path | str) -> RunRecord:
    async def work() -> RunRecord:
        payload = msgspec.json.encode({"collection": "shelf", "folder": str(folder)})
        record = await claimed(shelf, payload)
        await IngestHandler(shelf.rag, shelf.journal).run(record)
        return await shelf.journal.get_run(PROJECT, record.id)

    return asyncio.run(work())


def test_a_run_ends_with_a_report_and_an_event_per_document(shelf: Shelf, clock: ManualClock) -> None:
    shelf.write("a.md", "pears")
    shelf.write("b.png", b"\x89")
    done = run(shelf, clock, shelf.folder)
    assert done.state == "completed"
    assert done.output is not None
    assert msgspec.json.decode(done.output)["added"] == 1
    events = asyncio.run(shelf.journal.events(PROJECT, done.id))
    assert [event.kind for event in events if event.kind.startswith("document.")] == [
        "document.added",
        "document.unreadable",
    ]


def test_a_missing_folder_fails_the_run_with_what_to_do(shelf: Shelf, clock: ManualClock) -> None:
    failed = run(shelf, clock, shelf.folder / "nowhere")
    assert (failed.state, failed.error_code) == ("failed", "invalid_request")
    assert failed.error_message is not None
    assert "Give one that exists" in failed.error_message


def test_an_input_that_is_none_fails_the_run(shelf: Shelf, clock: ManualClock) -> None:
    async def work() -> RunRecord:
        record = await claimed(shelf, b"[]")
        await IngestHandler(shelf.rag, shelf.journal).run(record)
        return await shelf.journal.get_run(PROJECT, record.id)

    assert asyncio.run(work()).state == "failed"


def test_a_worker_that_lost_its_lease_stops(shelf: Shelf, clock: ManualClock) -> None:
    shelf.write("a.md", "pears")

    async def work() -> None:
        record = await claimed(shelf, msgspec.json.encode({"collection": "shelf", "folder": str(shelf.folder)}))
        clock.advance(60)
        assert await shelf.journal.claim_run(["ingest"]) is not None
        with pytest.raises(LeaseLost):
            await IngestHandler(shelf.rag, shelf.journal).run(record)

    asyncio.run(work())
