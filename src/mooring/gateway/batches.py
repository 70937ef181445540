"""Batches: a file of requests, each a call with a key of its own; a run, worked off by whoever has its lease.

What came of the lines is read from the journal, so nothing is counted twice: a worker that takes over asks each line
again by its key, gets what was recorded, joins what is under way, and buys only what was never asked.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from mooring.core import ids
from mooring.core.clock import Clock
from mooring.core.errors import InvalidRequest, LeaseLost, MooringError, NotFound, StorageError, Unavailable
from mooring.core.ids import NewId
from mooring.core.text import digest
from mooring.journal.journal import Journal
from mooring.journal.records import CallRecord, NewRun, RunRecord

from .files import Files
from .keys import Caller

HANDLER = "batch"
ENDPOINTS = (
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/moderations",
    "/v1/messages",
    "/v1/rerank",
    "/v1/images/generations",
)
MOST_LINES = 50_000
WINDOW_SECONDS = 86_400
PROGRESS_LINES = 25
TRIES = 8
RENEW_SECONDS = 2.0
AWAY_SECONDS = 0.5
MOST_WAIT_SECONDS = 30.0
_AGAIN = frozenset({429, 503})  # too much at the moment, and nothing was paid
_encode = msgspec.json.encode


class BatchInput(msgspec.Struct, frozen=True, omit_defaults=True):
    """The run's input."""

    input_file_id: str
    endpoint: str
    key: str | None = None
    metadata: dict[str, str] = {}
    window_seconds: int = WINDOW_SECONDS
    output_seconds: int | None = None


class Line(msgspec.Struct, frozen=True):
    """One request of the file."""

    custom_id: str
    method: str
    url: str
    body: msgspec.Raw


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with a line, before anything is sent."""

    line: int
    code: str
    message: str
    param: str | None = None


class Answered(NamedTuple):
    """What serve said to one line."""

    status: int
    retry_after_seconds: float | None = None


class Progress(msgspec.Struct, frozen=True):
    """The payload of `batch.progress`, and a part of the run's output."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class BatchOutput(msgspec.Struct, frozen=True, omit_defaults=True):
    """The run's output."""

    counts: Progress = Progress()
    output_file_id: str | None = None
    error_file_id: str | None = None
    faults: tuple[Fault, ...] = ()


# Asks serve: the run, the step, the key on whose behalf, the path and the body.
Send = Callable[[RunRecord, str, str | None, str, bytes], Awaitable[Answered]]
_decode_line = msgspec.json.Decoder(Line).decode


class Batches:
    """Creates, shows, lists and cancels. The work itself is `BatchHandler`'s."""

    def __init__(self, journal: Journal, files: Files, *, clock: Clock, new_id: NewId) -> None:
        self._journal = journal
        self._files = files
        self._clock = clock
        self._new_id = new_id

    async def create(self, caller: Caller, wanted: BatchInput, *, release_id: bytes, key: str | None) -> dict[str, Any]:
        """Queue it; the one of before where its key is known.

        Raises:
            NotFound, InvalidRequest: no such file, or an address whose lines cannot be worked off.
        """
        if wanted.endpoint not in ENDPOINTS:
            raise InvalidRequest(
                f"Batches do not go to '{wanted.endpoint[:80]}'.",
                hint=f"One of {', '.join(ENDPOINTS)}.",
                param="endpoint",
            )
        file = await self._files.get(caller.project_id, wanted.input_file_id)
        if file["purpose"] != "batch":
            raise InvalidRequest("That file was not uploaded with purpose 'batch'.", param="input_file_id")
        run = await self._journal.create_run(
            NewRun(
                id=self._new_id(),
                project_id=caller.project_id,
                handler=HANDLER,
                name=wanted.endpoint,
                input=_encode(wanted),
                key=key,
                release_id=release_id,
            )
        )
        return await self.show(run)

    async def get(self, project_id: str, batch_id: str) -> dict[str, Any]:
        """One batch.

        Raises:
            NotFound: the project has none of this id.
        """
        return await self.show(await self._find(project_id, batch_id))

    async def cancel(self, project_id: str, batch_id: str) -> dict[str, Any]:
        """End it; what has come by now is its output."""
        run = await self._find(project_id, batch_id)
        await self._journal.cancel_run(project_id, run.id)
        return await self.show(await self._find(project_id, batch_id))

    async def list_(self, project_id: str, *, limit: int, after: str | None) -> tuple[list[dict[str, Any]], bool]:
        """The newest first, and whether there are more."""
        before = None if after is None else ids.read("batch", after)
        found: list[RunRecord] = []
        while len(found) <= limit:
            page = await self._journal.list_runs(project_id, limit=100, before=before)
            found += [run for run in page if run.handler == HANDLER]
            if len(page) < 100:
                break
            before = page[-1].id
        return [await self.show(run) for run in found[:limit]], len(found) > limit

    async def show(self, run: RunRecord) -> dict[str, Any]:
        """A batch in OpenAI's words."""
        wanted = msgspec.json.decode(run.input, type=BatchInput)
        if run.output is not None:
            output = msgspec.json.decode(run.output, type=BatchOutput)
        elif run.state == "cancelled":
            output = await Results(self._journal, self._files).write(run, wanted, None)
        else:
            output = BatchOutput(await self._progress(run))
        created = run.created_at_us // 1_000_000
        status = _status(run)
        finished = None if run.finished_at_us is None else run.finished_at_us // 1_000_000
        faults = [{**msgspec.structs.asdict(fault)} for fault in output.faults]
        return {
            "id": ids.show("batch", run.id),
            "object": "batch",
            "endpoint": wanted.endpoint,
            "errors": {"object": "list", "data": faults} if faults else None,
            "input_file_id": wanted.input_file_id,
            "completion_window": "24h",
            "status": status,
            "output_file_id": output.output_file_id,
            "error_file_id": output.error_file_id,
            "created_at": created,
            "in_progress_at": None if run.started_at_us is None else run.started_at_us // 1_000_000,
            "expires_at": created + wanted.window_seconds,
            **{f"{name}_at": finished if name == status else None for name in _ENDS},
            "request_counts": msgspec.structs.asdict(output.counts),
            "metadata": wanted.metadata or None,
            "run_id": ids.show("run", run.id),
        }

    async def _progress(self, run: RunRecord) -> Progress:
        events = await self._journal.events(run.project_id, run.id)
        last = next((event for event in reversed(events) if event.kind == "batch.progress"), None)
        return Progress() if last is None else msgspec.json.decode(last.payload, type=Progress)

    async def _find(self, project_id: str, batch_id: str) -> RunRecord:
        missing = NotFound(f"There is no batch '{batch_id[:80]}'.", hint="List them with GET /v1/batches.")
        try:
            run = await self._journal.get_run(project_id, ids.read("batch", batch_id))
        except (NotFound, InvalidRequest) as error:
            raise missing from error
        if run.handler != HANDLER:
            raise missing
        return run


_ENDS = ("completed", "failed", "expired", "cancelled")


def _status(run: RunRecord) -> str:
    if run.state == "failed" and run.error_code == "batch_expired":
        return "expired"
    return {"queued": "validating", "completed": "completed", "failed": "failed", "cancelled": "cancelled"}.get(
        run.state, "in_progress"
    )


class Results:
    """What came of the lines, as two files: read from the calls that the journal has of the run."""

    def __init__(self, journal: Journal, files: Files) -> None:
        self._journal = journal
        self._files = files

    async def write(self, run: RunRecord, wanted: BatchInput, unasked: str | None) -> BatchOutput:
        """The files, made once however often this is called. `unasked`: the code of lines that were never asked."""
        data = await self._files.content(run.project_id, wanted.input_file_id)
        lines, _ = read_lines(data, wanted.endpoint)
        calls = await self._calls(run)
        good: list[bytes] = []
        bad: list[bytes] = []
        for line in lines:
            call = calls.get(step_of(line.custom_id))
            if call is None or call.state == "running":
                if unasked is not None:
                    bad.append(_unasked(run, line, unasked))
                continue
            (good if call.state == "completed" else bad).append(await self._told(run, line, call))
        counts = Progress(len(lines), len(good), len(bad))
        return BatchOutput(
            counts, await self._put(run, wanted, "output", good), await self._put(run, wanted, "errors", bad)
        )

    async def _calls(self, run: RunRecord) -> dict[str, CallRecord]:
        """The latest call of each step."""
        found: dict[str, CallRecord] = {}
        before = None
        while True:
            page = await self._journal.list_calls(run.project_id, run_id=run.id, limit=500, before=before)
            for call in page:
                found.setdefault(call.step or "", call)
            if len(page) < 500:
                return found
            before = page[-1].id

    async def _told(self, run: RunRecord, line: Line, call: CallRecord) -> bytes:
        shown = ids.show("call", call.id)
        error = None
        response: dict[str, Any] | None = None
        if call.state == "uncertain":
            error = {"code": "call_uncertain", "message": f"Nobody can know what became of {shown}."}
        else:
            body = await self._journal.get_body(run.project_id, call.id)
            response = {"status_code": call.status or 200, "request_id": shown, "body": msgspec.Raw(body or b"null")}
        return _encode({"id": shown, "custom_id": line.custom_id, "response": response, "error": error})

    async def _put(self, run: RunRecord, wanted: BatchInput, what: str, lines: Sequence[bytes]) -> str | None:
        if not lines:
            return None
        key = None if wanted.key is None else ids.read("key", wanted.key)
        told = await self._files.put(
            Caller(run.project_id, (), api_key_id=key),
            b"\n".join(lines) + b"\n",
            name=f"{ids.show('batch', run.id)}_{what}.jsonl",
            purpose="batch_output",
            lifetime_seconds=wanted.output_seconds,
            file_id=_made_from(run.id, what, len(lines)),
        )
        shown: str = told["id"]
        return shown


def _made_from(run_id: bytes, what: str, count: int) -> bytes:
    """The same id for the same file, whoever writes it: the run's time, and what it is."""
    drawn = digest(run_id + what.encode() + count.to_bytes(4))
    return run_id[:6] + bytes([0x70 | drawn[0] & 0x0F]) + drawn[1:2] + bytes([0x80 | drawn[2] & 0x3F]) + drawn[3:10]


def _unasked(run: RunRecord, line: Line, code: str) -> bytes:
    error = {"code": code, "message": "This request was not asked before the batch had ended."}
    identity = f"{ids.show('batch', run.id)}/{line.custom_id}"
    return _encode({"id": identity, "custom_id": line.custom_id, "response": None, "error": error})


def step_of(custom_id: str) -> str:
    """The step of a line: by its own name, so that a key means the same line whoever works it off."""
    return f"line/{digest(custom_id.encode()).hex()[:24]}"


def read_lines(data: bytes, endpoint: str) -> tuple[list[Line], list[Fault]]:
    """The requests of a file, and what is wrong with those that are none."""
    lines: list[Line] = []
    faults: list[Fault] = []
    seen: set[str] = set()
    rows = [(number, row) for number, row in enumerate(data.split(b"\n"), 1) if row.strip()]
    if not rows:
        return [], [Fault(0, "empty_file", "The file holds no request.")]
    if len(rows) > MOST_LINES:
        return [], [Fault(0, "too_many_tasks", f"The file holds more than {MOST_LINES:,} requests.")]
    for number, row in rows:
        fault, line = _read_line(number, row, endpoint, seen)
        if fault is not None:
            faults.append(fault)
        elif line is not None:
            seen.add(line.custom_id)
            lines.append(line)
    return lines, faults


def _read_line(number: int, row: bytes, endpoint: str, seen: set[str]) -> tuple[Fault | None, Line | None]:
    try:
        line = _decode_line(row)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Fault(number, "invalid_json_line", f"This line is no request: {error}."), None
    if not line.custom_id or line.custom_id in seen:
        return Fault(number, "duplicate_custom_id", "Its custom_id is empty or came before.", "custom_id"), None
    if line.method != "POST" or line.url != endpoint:
        return Fault(number, "mismatched_endpoint", f"It does not POST to {endpoint}.", "url"), None
    if not bytes(line.body).lstrip().startswith(b"{") or b'"stream":true' in bytes(line.body).replace(b" ", b""):
        return Fault(number, "invalid_body", "Its body is no object, or asks for a stream.", "body"), None
    return None, line


class BatchHandler:
    """Runs of the handler `batch`: so many lines at once; an event of progress now and then; then the two files."""

    name = HANDLER

    def __init__(self, journal: Journal, files: Files, send: Send, *, clock: Clock, lines_at_once: int) -> None:
        self._journal = journal
        self._files = files
        self._send = send
        self._clock = clock
        self._places = lines_at_once

    async def run(self, record: RunRecord) -> None:
        """Work it off, and close the run; a lost lease ends it without a word.

        Raises:
            LeaseLost: another worker has the run, or it was cancelled.
        """
        working, renewing = asyncio.create_task(self._work(record)), asyncio.create_task(self._renew(record))
        try:
            await asyncio.wait((working, renewing), return_when=asyncio.FIRST_COMPLETED)
            if renewing.done():
                renewing.result()  # raises LeaseLost
            await working
        finally:
            for task in (working, renewing):
                task.cancel()
            await asyncio.gather(working, renewing, return_exceptions=True)

    async def _renew(self, record: RunRecord) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            with contextlib.suppress(StorageError):  # the next time may do; what is written is fenced anyway
                await self._journal.renew(record.id, record.epoch)

    async def _work(self, record: RunRecord) -> None:
        try:
            wanted = msgspec.json.decode(record.input, type=BatchInput)
            data = await self._files.content(record.project_id, wanted.input_file_id)
            lines, faults = read_lines(data, wanted.endpoint)
            if faults:
                output = BatchOutput(Progress(len(lines)), faults=tuple(faults[:100]))
                await self._end(record, "failed", output, "batch_invalid", "The file holds lines that are no requests.")
                return
            is_expired = await self._lines(record, wanted, lines)
            output = await Results(self._journal, self._files).write(record, wanted, "batch_expired")
        except LeaseLost:
            raise
        except MooringError as error:
            await self._end(record, "failed", BatchOutput(), error.code, str(error))
            return
        if is_expired:
            await self._end(record, "failed", output, "batch_expired", "Its window is over.")
        else:
            await self._end(record, "completed", output)

    async def _end(
        self, record: RunRecord, state: Any, output: BatchOutput, code: str | None = None, message: str | None = None
    ) -> None:
        await self._journal.finish_run(
            record.id, record.epoch, state, output=_encode(output), error_code=code, error_message=message
        )

    async def _lines(self, record: RunRecord, wanted: BatchInput, lines: Sequence[Line]) -> bool:
        """Ask them all; whether the window was over before that."""
        until_us = record.created_at_us + wanted.window_seconds * 1_000_000
        waiting = iter(lines)
        counts = Progress(len(lines))
        is_expired = False

        async def work() -> None:
            nonlocal counts, is_expired
            for line in waiting:
                if self._clock.now_us() >= until_us:
                    is_expired = True
                    return
                is_good = await self._ask(record, wanted, line) < 400
                counts = Progress(counts.total, counts.completed + is_good, counts.failed + (not is_good))
                if (counts.completed + counts.failed) % PROGRESS_LINES == 0:
                    await self._journal.append(record.id, record.epoch, "batch.progress", _encode(counts))

        await self._journal.append(record.id, record.epoch, "batch.progress", _encode(counts))
        tasks = [asyncio.create_task(work()) for _ in range(min(self._places, len(lines)))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return is_expired

    async def _ask(self, record: RunRecord, wanted: BatchInput, line: Line) -> int:
        """One line's status. What is too much at the moment is asked again; with serve away it waits."""
        number = 0
        while True:
            try:
                answer = await self._send(record, step_of(line.custom_id), wanted.key, line.url, bytes(line.body))
            except Unavailable:
                await asyncio.sleep(AWAY_SECONDS)
                continue
            number += 1
            if answer.status not in _AGAIN or number == TRIES:
                return answer.status
            await asyncio.sleep(min(answer.retry_after_seconds or 2.0**number, MOST_WAIT_SECONDS))
