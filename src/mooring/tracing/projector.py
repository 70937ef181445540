"""The projector: reads what the outbox says has changed, writes it as spans, deletes it from the outbox. In that order.

A batch is applied in one transaction of the spans' database, by id; only then are its rows deleted from the journal's.
Whoever dies in between has left rows that are applied once more, to the same effect. No order is needed, and no cursor.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from mooring.core.clock import Clock
from mooring.core.errors import MooringError, StorageError
from mooring.core.seams import Redactor
from mooring.core.usage import Usage
from mooring.journal.base import CALL_CLOSED, RUN_FINISHED, TRACE_FORGOTTEN
from mooring.journal.contents import BlobStore, Contents
from mooring.journal.journal import Journal
from mooring.journal.records import AttemptRecord
from mooring.journal.repository.contents import FRAME
from mooring.storage import FileLock, Tx

from . import words
from .config import TracingConfig
from .records import Projected, Span
from .repository import journal as rows
from .repository.journal import Recorded, RunFacts
from .spans import Spans

log = logging.getLogger("mooring.tracing")

BATCH = 200
IDLE_SECONDS = 0.5  # how far a list may lag behind the journal
STAND_BY_SECONDS = 5.0  # how often a process that is not the projector asks whether it should be
SWEEP = 500
LAP_US = 3_600_000_000
LAST_ELEMENTS = 32  # of a conversation: the messages of one step


class Follower(Protocol):
    """What else follows the outbox into the projection."""

    async def catch_up(self) -> int: ...
    async def rebuild(self) -> None: ...


class Runs(Protocol):
    """What runs beside the projector, in the same process."""

    async def run(self) -> None: ...


class Projector:
    """Keeps the spans up with the journal. Several may run; the lock only saves them the same work."""

    def __init__(
        self,
        journal: Journal,
        spans: Spans,
        blobs: BlobStore,
        *,
        redact: Redactor,
        clock: Clock,
        config: TracingConfig | None = None,
    ) -> None:
        self._journal = journal
        self._config = config or TracingConfig()
        self._is_exported = self._config.otlp_endpoint is not None
        self._swept = b""
        self._sweep_at_us = 0
        self._spans = spans
        self._contents = Contents(blobs)
        self._redact = redact
        self._clock = clock
        self.exporter: Runs | None = None
        self.others: list[Follower] = []  # what else follows the journal, after the spans

    async def catch_up(self) -> int:
        """Apply everything that is there now; how many rows of the outbox that were."""
        done = 0
        for topic in (CALL_CLOSED, RUN_FINISHED, TRACE_FORGOTTEN):
            while pending := await self._journal.outbox(topic, BATCH):
                ids = [row.subject_id for row in pending]
                if topic == CALL_CLOSED:
                    await self.project_calls(ids)
                elif topic == RUN_FINISHED:
                    await self.project_runs(ids)
                else:
                    await self._spans.forget_foreign([(row.project_id, row.subject_id) for row in pending])
                await self._journal.outbox_done([row.id for row in pending])
                done += len(pending)
                if len(pending) < BATCH:
                    break
        for other in self.others:
            done += await other.catch_up()
        return done

    async def freshen(self) -> None:
        """Apply the last few calls, so that whoever looks sees what was just done; what is far behind is left so."""
        pending = await self._journal.outbox(CALL_CLOSED, BATCH)
        if 0 < len(pending) < BATCH:
            await self.project_calls([row.subject_id for row in pending])
            await self._journal.outbox_done([row.id for row in pending])

    async def run(self, lock_path: Path, *, patience: int = 0) -> None:
        """Until cancelled, once the lock is free; `patience` times it is left to a process better placed."""
        lock = None
        exporting: asyncio.Task[None] | None = None
        try:
            while lock is None:
                lock = FileLock.acquire(lock_path)
                if lock is not None and patience > 0:
                    lock.release()
                    lock, patience = None, patience - 1
                if lock is None:
                    await asyncio.sleep(STAND_BY_SECONDS)
            if self.exporter is not None:
                exporting = asyncio.create_task(self.exporter.run())
            while True:
                await self._one_pass()
                await asyncio.sleep(IDLE_SECONDS)
        finally:
            if exporting is not None:
                exporting.cancel()
                await asyncio.gather(exporting, return_exceptions=True)
            if lock is not None:
                lock.release()

    async def _one_pass(self) -> None:
        try:
            if not await self.catch_up():
                await self.sweep()
        except MooringError as error:
            log.warning("traces lag behind: %s", error)
            await asyncio.sleep(STAND_BY_SECONDS)

    async def sweep(self) -> int:
        """Forget some spans that the journal has forgotten, and sums that are too old; how many spans that were.

        A look at some of them at a time, and at all of them once in `LAP_US`.
        """
        now = self._clock.now_us()
        if now < self._sweep_at_us:
            return 0
        some = await self._spans.after(self._swept, SWEEP)
        self._swept = some[-1].id if some else b""
        if not some:
            self._sweep_at_us = now + LAP_US
            days = 86_400_000_000
            await self._spans.prune(
                minutes_before_us=now - self._config.minute_days * days,
                hours_before_us=now - self._config.hour_days * days,
                foreign_before_us=now - self._config.foreign_days * days,
            )
            return 0
        gone = await self._journal.read(lambda tx: rows.missing(tx, some))
        if gone:
            await self._spans.apply((), gone)
        return len(gone)

    async def rebuild(self, note: Callable[[int], None] = lambda _: None) -> int:
        """Make the spans anew from the journal; how many calls and runs that were. What is going on goes on."""
        is_exported, self._is_exported = self._is_exported, False  # a collector has them already
        try:
            return await self._read_all(note)
        finally:
            self._is_exported = is_exported

    async def _read_all(self, note: Callable[[int], None]) -> int:
        await self._spans.clear()
        done = 0
        for list_after, apply in (
            (rows.closed_after, self.project_calls),
            (rows.finished_after, self.project_runs),
        ):
            last = b""
            while ids := await self._journal.read(lambda tx, f=list_after, a=last: f(tx, a, BATCH)):  # type: ignore[misc]
                await apply(ids)
                last = ids[-1]
                done += len(ids)
                note(done)
        for other in self.others:
            await other.rebuild()
        return done

    async def project_calls(self, call_ids: Sequence[bytes]) -> None:
        """Write these calls and their attempts as spans, as the journal has them now; one that is gone goes."""

        def read(tx: Tx) -> list[tuple[Recorded, str]]:
            return [(one, self._text(tx, one)) for one in rows.changed(tx, dict.fromkeys(call_ids))]

        found = await self._journal.read(read)
        batch = await asyncio.to_thread(self._projected, found)
        known = {recorded.call.id for recorded, _ in found}
        gone = [call_id for call_id in call_ids if call_id not in known]
        await self._spans.apply(batch, gone, is_exported=self._is_exported)

    async def project_runs(self, run_ids: Sequence[bytes]) -> None:
        """Write these runs as spans."""
        found = await self._journal.read(lambda tx: rows.runs(tx, dict.fromkeys(run_ids)))
        known = {run.id for run in found}
        gone = [run_id for run_id in run_ids if run_id not in known]
        await self._spans.apply(map(run_span, found), gone, is_exported=self._is_exported)

    def _projected(self, found: Sequence[tuple[Recorded, str]]) -> list[Projected]:
        batch: list[Projected] = []
        for recorded, text in found:
            if recorded.call.state == "running":
                continue
            batch.append(call_span(recorded, tuple(words.words(self._redact(text)))))
            batch += [attempt_span(recorded, attempt) for attempt in recorded.attempts]
        return batch

    def _text(self, tx: Tx, recorded: Recorded) -> str:
        """What a call said newly and what was answered; nothing where a body is gone."""
        call = recorded.call
        parts: list[str] = []
        with contextlib.suppress(StorageError):
            codec, data, tip = recorded.request
            if tip is not None:
                last = rows.tail(tx, call.project_id, tip, LAST_ELEMENTS)
                said = [each for one in last for each in self._contents.elements_of(call.project_id, *one)]
                parts.append(words.of_elements(said[-LAST_ELEMENTS:]))
            elif codec is not None:
                parts.append(words.of_request(self._contents.read(tx, call.project_id, codec % FRAME, data)))
        if call.kind != "embedding":
            with contextlib.suppress(StorageError):
                body = self._contents.read(tx, call.project_id, *recorded.answer)
                parts.append(words.of_answer(body, call.content_type))
        return " ".join((call.name, *parts))


def call_span(recorded: Recorded, found_words: tuple[str, ...] = ()) -> Projected:
    """A call as a span, with the sums of its attempts."""
    call, attempts = recorded.call, recorded.attempts
    firsts = [one.first_byte_at_us for one in attempts if one.first_byte_at_us is not None]
    used = [one.usage or Usage() for one in attempts]
    facts: dict[str, Any] = {**call.attributes}
    if call.status is not None:
        facts["status"] = call.status
    return Projected(
        Span(
            id=call.id,
            project_id=call.project_id,
            trace_id=call.trace_id,
            parent_id=call.run_id,
            kind=call.kind,
            name=call.name,
            state=call.state,
            error_code=call.error_code,
            run_id=call.run_id,
            step=call.step,
            user=call.user,
            session=call.session,
            tags=msgspec.json.encode(call.tags).decode() if call.tags else None,
            api_key_id=call.api_key_id,
            started_at_us=call.started_at_us,
            finished_at_us=call.finished_at_us,
            first_byte_at_us=min(firsts, default=None),
            input_tokens=sum(one.input_tokens for one in used),
            output_tokens=sum(one.output_tokens for one in used),
            cached_input_tokens=sum(one.cached_input_tokens for one in used),
            settled_nanos=call.settled_nanos,
            held_nanos=call.held_nanos,
            bytes_up=sum(one.bytes_up for one in attempts),
            bytes_down=sum(one.bytes_down for one in attempts),
        ),
        facts,
        found_words,
    )


def attempt_span(recorded: Recorded, attempt: AttemptRecord) -> Projected:
    """An attempt as a span; whose it is, is its call's to say."""
    call = recorded.call
    used = attempt.usage or Usage()
    facts: dict[str, Any] = {"number": attempt.number, "reason": attempt.reason, "settlement": attempt.settlement}
    for name, value in (
        ("provider_request_id", attempt.provider_request_id),
        ("upstream_status", attempt.upstream_status),
        ("error_message", attempt.error_message),
    ):
        if value is not None:
            facts[name] = value
    return Projected(
        Span(
            id=attempt.id,
            project_id=attempt.project_id,
            trace_id=call.trace_id,
            parent_id=call.id,
            kind="attempt",
            name=attempt.target,
            state=attempt.outcome,
            error_code=attempt.error_code,
            run_id=call.run_id,
            step=call.step,
            user=None,
            session=None,
            tags=None,
            api_key_id=None,
            started_at_us=attempt.intended_at_us,
            finished_at_us=attempt.finished_at_us,
            first_byte_at_us=attempt.first_byte_at_us,
            input_tokens=used.input_tokens,
            output_tokens=used.output_tokens,
            cached_input_tokens=used.cached_input_tokens,
            settled_nanos=attempt.settled_nanos,
            held_nanos=attempt.held_nanos,
            bytes_up=attempt.bytes_up,
            bytes_down=attempt.bytes_down,
        ),
        facts,
    )


def run_span(run: RunFacts) -> Projected:
    """A run as the root of its trace; its amounts are those of its attempts."""
    return Projected(
        Span(
            id=run.id,
            project_id=run.project_id,
            trace_id=run.id,
            parent_id=None,
            kind="run",
            name=run.name,
            state=run.state,
            error_code=run.error_code,
            run_id=run.id,
            step=None,
            user=run.user,
            session=run.session,
            tags=run.tags,
            api_key_id=None,
            started_at_us=run.created_at_us,
            finished_at_us=run.finished_at_us,
            first_byte_at_us=None,
            input_tokens=0,
            output_tokens=0,
            cached_input_tokens=0,
            settled_nanos=0,
            held_nanos=0,
            bytes_up=0,
            bytes_down=0,
        ),
        {"handler": run.handler},
        tuple(words.words(run.name)),
    )
