"""Re-drives a recorded run offline: the journal answers, today's loop decides, each event must come out the same.

No model, no tool and no clock is touched. Tools' bodies are not run again: what they did inside (`ctx.step`) is theirs.
"""

import collections
from typing import Any, Literal, Protocol

import msgspec

from mooring.client.app import Agent
from mooring.client.chat import ChunkReader, completion_of
from mooring.client.results import Completion
from mooring.client.tool import Tool
from mooring.client.transport import Reply, SseReader
from mooring.core import ids
from mooring.core.errors import MooringError, ReplayDiverged
from mooring.core.text import digest, shorten
from mooring.journal.journal import Journal
from mooring.journal.records import CallRecord, RunEvent, RunRecord

from .agents import AgentLoop, Completed, Failed
from .effects import ModelAnswer, ModelFailed, ToolOutcome
from .fold import ToolStep
from .online import usage_fields

COMPARED = frozenset(
    {
        "run.started",
        "model.finished",
        "model.failed",
        "tool.started",
        "tool.finished",
        "tool.rejected",
        "output.rejected",
        "limit.reached",
    }
)


class Divergence(msgspec.Struct, frozen=True, omit_defaults=True):
    """The first step where the replay left the record, and how."""

    step: str
    reason: Literal["divergent", "unrecorded", "unreached"]
    message: str
    recorded: str = ""
    replayed: str = ""


class ReplayReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a replay found. `is_whole`: the run was over, and its end was compared too."""

    run_id: str
    is_identical: bool
    is_whole: bool
    events: int
    model_steps: int
    tool_steps: int
    divergence: Divergence | None = None


class AgentSource(Protocol):
    """Who knows the code of a run: the worker's `AgentRunner`."""

    async def agent_of(self, record: RunRecord) -> Agent: ...


class Restore(Protocol):
    """A recorded answer as it was given to the run: `Gateway.restored`."""

    def __call__(self, project_id: str, /, *, user: str | None, request: bytes, answer: bytes) -> bytes: ...


async def replay(
    journal: Journal, project_id: str, run_id: bytes, source: AgentSource, *, restore: Restore | None = None
) -> ReplayReport:
    """Replay one run and compare every event, byte for byte. `restore` where answers may hold marks of the guards.

    Raises:
        NotFound: no such run in this project.
        ConfigError: its code cannot be loaded.
    """
    record = await journal.get_run(project_id, run_id)
    effects = ReplayEffects(journal, record, await journal.events(project_id, run_id), restore)
    divergence = None
    is_whole = record.finished_at_us is not None
    try:
        outcome = await AgentLoop(await source.agent_of(record), record, effects).drive()
        effects.check_end(outcome)
    except _EndOfRecord:
        is_whole = False
    except _Diverged as diverged:
        divergence = diverged.divergence
    return ReplayReport(
        run_id=ids.show("run", run_id),
        is_identical=divergence is None,
        is_whole=is_whole and divergence is None,
        events=effects.compared,
        model_steps=effects.counts["model.finished"],
        tool_steps=effects.counts["tool.finished"] + effects.counts["tool.rejected"],
        divergence=divergence,
    )


class _Diverged(ReplayDiverged):
    def __init__(self, divergence: Divergence) -> None:
        super().__init__(f"Step {divergence.step}: {divergence.message}")
        self.divergence = divergence


class _EndOfRecord(MooringError):
    """The run had not come further than this."""


class ReplayEffects:
    """The hands of a replay: they only compare and look up."""

    def __init__(
        self, journal: Journal, record: RunRecord, events: list[RunEvent], restore: Restore | None = None
    ) -> None:
        self.compared = 0
        self.counts: collections.Counter[str] = collections.Counter()
        self._journal = journal
        self._record = record
        self._restore = restore
        self._events: dict[tuple[str, str], RunEvent] = {}
        seen: collections.Counter[str] = collections.Counter()
        for event in events:
            if event.kind in COMPARED:
                self._events[(event.kind, _place(event.kind, event.payload, seen))] = event
        self._left = set(self._events)
        self._seen: collections.Counter[str] = collections.Counter()
        self._call_steps: dict[bytes, str] = {}

    async def events(self) -> list[RunEvent]:
        return []

    async def append(self, kind: str, payload: bytes, *, call_id: bytes | None = None) -> None:
        place = (kind, _place(kind, payload, self._seen))
        event = self._find(*place)
        if event.payload != payload:
            raise _Diverged(_difference(place[1], event.payload, payload))
        self._left.discard(place)
        self.counts[kind] += 1
        self.compared += 1

    async def model(self, step: str, body: bytes) -> ModelAnswer:
        failed = self._events.get(("model.failed", step))
        event = failed or self._find("model.finished", step)
        facts = msgspec.json.decode(event.payload)
        if facts["request"] != digest(body).hex():
            detail = "the model would be asked something else"
            raise _Diverged(Divergence(step, "divergent", f"{detail}.", facts["request"], digest(body).hex()))
        if failed is not None:
            raise ModelFailed(facts["code"], facts["text"])
        if event.call_id is None:
            raise _Diverged(Divergence(step, "unrecorded", "its event points to no call."))
        completion = await self._completion(event.call_id, body)
        return ModelAnswer(
            message=completion.message,
            finish_reason=completion.finish_reason,
            usage=usage_fields(completion),
            cost_nanos=facts["cost_nanos"],
            call_id=event.call_id,
        )

    async def find_tool(self, step: str) -> CallRecord | None:
        return None

    async def answer_of(self, call: CallRecord) -> ToolOutcome:
        raise AssertionError("a replay starts from nothing")

    async def begin_tool(self, step: ToolStep, payload: bytes, *, previous: CallRecord | None) -> bytes:
        await self.append("tool.started", payload)
        event = self._find("tool.finished", step.step)
        if event.call_id is None:
            raise _Diverged(Divergence(step.step, "unrecorded", "its event points to no call."))
        return event.call_id

    async def run_tool(self, tool: Tool[..., Any], step: ToolStep, values: dict[str, Any]) -> ToolOutcome:
        """The tool call's own row answers, not the event that is compared with it."""
        event = self._find("tool.finished", step.step)
        assert event.call_id is not None
        call = await self._journal.get_call(self._record.project_id, event.call_id)
        body = await self._journal.get_body(self._record.project_id, event.call_id)
        if not body and call.state != "completed":
            return _outcome_in(event)
        return ToolOutcome(body.decode("utf-8", "replace"), is_error=call.state != "completed")

    async def reconcile(
        self, tool: Tool[..., Any], step: ToolStep, values: dict[str, Any], call: CallRecord
    ) -> ToolOutcome | None:
        raise AssertionError("a replay starts from nothing")

    async def finish_tool(self, call_id: bytes, outcome: ToolOutcome, payload: bytes) -> None:
        await self.append("tool.finished", payload)

    def now_us(self) -> int:
        """The recorded reading that ended the run, once all else was replayed; before that, its start."""
        limit = self._events.get(("limit.reached", "limit.reached"))
        if limit is not None and self._left <= {("limit.reached", "limit.reached")}:
            now_us: int | None = msgspec.json.decode(limit.payload).get("now_us")
            if now_us is not None:
                return now_us
        return self._record.started_at_us or self._record.created_at_us

    def random(self) -> float:
        raise ReplayDiverged("The loop drew a random number that its journal does not hold.")

    def check_end(self, outcome: Completed | Failed) -> None:
        """The run's end, and that nothing recorded was left out."""
        if self._left:
            kind, step = min(self._left, key=lambda place: self._events[place].seq)
            raise _Diverged(Divergence(step, "unreached", f"the record has {kind} here, the replay ended before it."))
        if self._record.finished_at_us is None:
            return
        recorded = self._record.output or (self._record.error_code or "").encode()
        replayed = outcome.output if isinstance(outcome, Completed) else outcome.code.encode()
        if recorded != replayed:
            raise _Diverged(_difference("run.finished", recorded, replayed))

    async def _completion(self, call_id: bytes, request: bytes) -> Completion:
        record = self._record
        body = await self._journal.get_body(record.project_id, call_id)
        if self._restore is not None:
            body = self._restore(record.project_id, user=record.user, request=request, answer=body)
        if body.lstrip()[:1] == b"{":
            return completion_of(Reply(msgspec.json.decode(body), None, None, is_replayed=True))
        reader, lines = ChunkReader(), SseReader()
        for line in lines.feed(body):
            collections.deque(reader.read(line), maxlen=0)
        return reader.completion()

    def _find(self, kind: str, place: str) -> RunEvent:
        """The recorded event of this place.

        Raises:
            _EndOfRecord: there is none, and the run had not ended.
            _Diverged: there is none, and it had.
        """
        event = self._events.get((kind, place))
        if event is not None:
            return event
        if self._record.finished_at_us is None or self._record.state == "cancelled":
            raise _EndOfRecord(f"The record ends before {kind} of step {place}.")
        raise _Diverged(Divergence(place, "unrecorded", f"the replay comes to {kind}, which the record does not hold."))


def _place(kind: str, payload: bytes, seen: collections.Counter[str]) -> str:
    """An event's step, or its kind (and occurrence) where it has none."""
    step = msgspec.json.decode(payload).get("step")
    if step is not None:
        return str(step)
    seen[kind] += 1
    return kind if seen[kind] == 1 else f"{kind}#{seen[kind]}"


def _outcome_in(event: RunEvent) -> ToolOutcome:
    facts = msgspec.json.decode(event.payload)
    return ToolOutcome(facts["text"], is_error=facts["is_error"])


def _difference(step: str, recorded: bytes, replayed: bytes) -> Divergence:
    """Names what differs, by its path in the JSON."""
    try:
        paths = list(_paths("", msgspec.json.decode(recorded), msgspec.json.decode(replayed)))
    except msgspec.DecodeError:
        paths = []
    what = ", ".join(paths[:5]) or "the bytes"
    return Divergence(
        step,
        "divergent",
        f"the replay differs in {what}.",
        shorten(recorded.decode("utf-8", "replace"), 2000),
        shorten(replayed.decode("utf-8", "replace"), 2000),
    )


def _paths(path: str, left: Any, right: Any) -> list[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        found = []
        for name in sorted({*left, *right}):
            found += _paths(f"{path}.{name}" if path else name, left.get(name), right.get(name))
        return found
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        found = []
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            found += _paths(f"{path}[{index}]", one, other)
        return found
    return [] if left == right else [path or "the value"]
