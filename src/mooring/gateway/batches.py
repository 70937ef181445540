"""Batches: a file of requests, each a call with a key of its own; a run, worked off by whoever has its lease.

What came of the lines is read from the journal, so nothing is counted twice: a worker that takes over asks each line
again by its key, gets what was recorded, joins what is under way, and buys only what was never asked.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from mooring.core import ids
from mooring.core.clock import Clock
from mooring.core.errors import InvalidRequest, NotFound
from mooring.core.ids import NewId
from mooring.core.text import digest
from mooring.journal.journal import Journal
from mooring.journal.records import CallRecord, NewRun, RunRecord

from .batch_lines import Fault, Line, read_lines, step_of
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
WINDOW_SECONDS = 86_400
_encode = msgspec.json.encode


class BatchInput(msgspec.Struct, frozen=True, omit_defaults=True):
    """The run's input."""

    input_file_id: str
    endpoint: str
    key: str | None = None
    metadata: dict[str, str] = {}
    window_seconds: int = WINDOW_SECONDS
    output_seconds: int | None = None


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


class Batches:
    """Creates, shows, lists and cancels. The work itself is in `batch_work.py`."""

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
            output = await self._written(run, wanted)
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

    async def _written(self, run: RunRecord, wanted: BatchInput) -> BatchOutput:
        """The files of what had come by the end of a cancelled batch; none where its own file is gone."""
        try:
            return await Results(self._journal, self._files).write(run, wanted, None)
        except NotFound:
            return BatchOutput(await self._progress(run))

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
