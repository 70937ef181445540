"""Ingestion as durable work: any worker can run it, and again, because each document's step has a content key."""

import asyncio
import contextlib
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from mooring.core.errors import LeaseLost, MooringError, StorageError
from mooring.journal.records import RunRecord

from .ingest import Outcome
from .rag import Rag

T = TypeVar("T")
RENEW_SECONDS = 2.0


class IngestInput(msgspec.Struct, frozen=True):
    """The run's input."""

    collection: str
    folder: str


class RunJournal(Protocol):
    """What the job writes into the journal; every write is fenced by the epoch."""

    async def append(
        self, run_id: bytes, epoch: int, kind: str, payload: bytes, *, call_id: bytes | None = None
    ) -> int: ...
    async def renew(self, run_id: bytes, epoch: int, *, lease_seconds: float = 10.0) -> None: ...
    async def finish_run(
        self,
        run_id: bytes,
        epoch: int,
        state: Literal["completed", "failed", "cancelled"],
        *,
        output: bytes | None = None,
        error_code: str | None = None,
        error_message: str | None = None,
    ) -> None: ...


class IngestHandler:
    """Runs of the handler `ingest`: an event per document that is new, changed, gone or unreadable, then the report."""

    name = "ingest"

    def __init__(self, rag: Rag, journal: RunJournal) -> None:
        self._rag = rag
        self._journal = journal

    async def run(self, record: RunRecord) -> None:
        """Ingest, and close the run; a lost lease ends it without a word.

        Raises:
            LeaseLost: another worker has the run.
        """

        async def note(outcome: Outcome) -> None:
            if outcome.state != "unchanged":
                await self._journal.append(
                    record.id, record.epoch, f"document.{outcome.state}", msgspec.json.encode(outcome)
                )

        try:
            wanted = msgspec.json.decode(record.input, type=IngestInput)
            report = await self._while_leased(
                record, self._rag.ingest(record.project_id, wanted.collection, Path(wanted.folder), progress=note)
            )
        except LeaseLost:
            raise
        except msgspec.DecodeError as error:
            await self._fail(record, "invalid_request", f"The run's input is no {{collection, folder}}: {error}.")
        except MooringError as error:
            await self._fail(record, error.code, str(error))
        else:
            await self._journal.finish_run(record.id, record.epoch, "completed", output=msgspec.json.encode(report))

    async def _while_leased(self, record: RunRecord, work: Coroutine[Any, Any, T]) -> T:
        """Renews the lease beside the work, whose single steps (a long PDF, a model that loads) may outlast it."""
        working, renewing = asyncio.create_task(work), asyncio.create_task(self._renew(record))
        try:
            await asyncio.wait((working, renewing), return_when=asyncio.FIRST_COMPLETED)
            if renewing.done():
                renewing.result()  # raises LeaseLost
            return await working
        finally:
            for task in (working, renewing):
                task.cancel()
            await asyncio.gather(working, renewing, return_exceptions=True)

    async def _renew(self, record: RunRecord) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            with contextlib.suppress(StorageError):  # the next time may do; what is written is fenced anyway
                await self._journal.renew(record.id, record.epoch)

    async def _fail(self, record: RunRecord, code: str, message: str) -> None:
        await self._journal.finish_run(record.id, record.epoch, "failed", error_code=code, error_message=message)
