"""The trace: one run or call as a tree of steps, calls and attempts, read from the journal and from nowhere else."""

from collections.abc import Iterable
from itertools import groupby

import msgspec

from mooring.core.errors import InvalidRequest, NotFound
from mooring.core.usage import Usage
from mooring.journal import Bill, CallRecord, Journal, RunRecord
from mooring.journal.records import AttemptRecord, RunEvent

from .asking import subject_of
from .foreign import Foreign
from .records import Filter, ForeignSpan, Group, GroupBy
from .repository import journal as repository
from .repository.journal import Recorded

# A run at work changes while it is read; what still differs after so many tries is shown as it is.
TRIES = 3


class TracedCall(msgspec.Struct, frozen=True):
    """What was asked for, and every send that it took."""

    call: CallRecord
    attempts: tuple[AttemptRecord, ...]

    @property
    def usage(self) -> Usage:
        """The tokens of all its attempts."""
        return total_usage(attempt.usage for attempt in self.attempts)

    @property
    def bytes_up(self) -> int:
        return sum(attempt.bytes_up for attempt in self.attempts)

    @property
    def bytes_down(self) -> int:
        return sum(attempt.bytes_down for attempt in self.attempts)


class Step(msgspec.Struct, frozen=True):
    """One step of a run (`name` None outside of runs): usually one call, more where it was tried again."""

    name: str | None
    calls: tuple[TracedCall, ...]


class Trace(msgspec.Struct, frozen=True):
    """A run with all its calls, or the calls that share a trace id. `bill` is the ledger's own sum, for comparison."""

    project_id: str
    trace_id: bytes | None
    run: RunRecord | None
    steps: tuple[Step, ...]
    events: tuple[RunEvent, ...]
    bill: Bill | None
    foreign: tuple[ForeignSpan, ...] = ()  # what other programs sent of this trace, the first of it
    foreign_count: int = 0

    @property
    def calls(self) -> list[TracedCall]:
        """All calls in the order in which they began."""
        return [call for step in self.steps for call in step.calls]

    @property
    def usage(self) -> Usage:
        return total_usage(call.usage for call in self.calls)

    @property
    def settled_nanos(self) -> int:
        return sum(call.call.settled_nanos for call in self.calls)

    @property
    def held_nanos(self) -> int:
        return sum(call.call.held_nanos for call in self.calls)

    @property
    def bytes_up(self) -> int:
        return sum(call.bytes_up for call in self.calls)

    @property
    def bytes_down(self) -> int:
        return sum(call.bytes_down for call in self.calls)


class Traces:
    """Reads traces of one journal."""

    def __init__(self, journal: Journal, foreign: Foreign | None = None) -> None:
        self._journal = journal
        self._foreign = foreign

    async def trace(
        self,
        project_id: str,
        *,
        run_id: bytes | None = None,
        call_id: bytes | None = None,
        trace_id: bytes | None = None,
    ) -> Trace:
        """The trace of exactly one of: a run, a call (with what shares its trace id, if it has no run), a trace id.

        Raises:
            NotFound: the project has no such run or call.
        """
        if run_id is not None:
            return await self._of_run(project_id, run_id)
        if call_id is not None:
            call = await self._journal.get_call(project_id, call_id)
            if call.run_id is not None:
                attempts = await self._journal.attempts(project_id, call.id)
                return await self._of_calls(project_id, call.trace_id, [TracedCall(call, tuple(attempts))], False)
            trace_id = call.trace_id
        if trace_id is None:
            raise InvalidRequest("A trace needs a run, a call or a trace id.", hint="Try: mooring trace last")
        wanted = trace_id
        if await self._journal.read(lambda tx: repository.runs(tx, [wanted])):
            return await self._of_run(project_id, trace_id)
        found = await self._journal.read(lambda tx: repository.of_trace(tx, project_id, wanted))
        return await self._of_calls(project_id, trace_id, _traced(found), True)

    async def named(self, project_id: str, text: str) -> Trace:
        """The trace of a run_…, a call_… or a trace id as it is shown.

        Raises:
            InvalidRequest: it is none of these.
            NotFound: there is none.
        """
        run_id, call_id, trace_id = subject_of(text)
        trace = await self.trace(project_id, run_id=run_id, call_id=call_id, trace_id=trace_id)
        trace = await self._joined(trace)
        if trace.run is None and not trace.calls and not trace.foreign:
            raise NotFound(f"There is no trace {text}.", hint="List what there is: mooring trace list", param="id")
        return trace

    async def _joined(self, trace: Trace) -> Trace:
        """With the spans that other programs sent under the same trace id."""
        trace_id = trace.trace_id or (trace.run.id if trace.run else None)
        if self._foreign is None or trace_id is None:
            return trace
        foreign = await self._foreign.of_trace(trace.project_id, trace_id)
        count = await self._foreign.count(trace.project_id, trace_id) if foreign else 0
        return msgspec.structs.replace(trace, foreign=tuple(foreign), foreign_count=count)

    async def parents(self, project_id: str, trace_id: bytes) -> dict[bytes, bytes]:
        """By a call's id the span of another program under which it was made."""
        return await self._journal.read(lambda tx: repository.parents(tx, project_id, trace_id))

    async def last(self, project_id: str) -> Trace | None:
        """The newest run's trace; None when there is none yet."""
        run = await self._journal.last_run(project_id)
        return None if run is None else await self._joined(await self._of_run(project_id, run.id))

    async def runs(self, project_id: str, which: Filter, *, limit: int, before: bytes | None = None) -> list[RunRecord]:
        """Runs by user, session, tag, agent (`model`), state and age, newest first."""
        found = await self._journal.read(
            lambda tx: repository.run_ids(tx, project_id, which, limit=limit, before=before)
        )
        return [await self._journal.get_run(project_id, run_id) for run_id in found]

    async def calls(
        self, project_id: str, which: Filter, *, limit: int, before: bytes | None = None
    ) -> list[CallRecord]:
        """Calls by user, session, tag, model, kind, state and age, newest first."""
        found = await self._journal.read(
            lambda tx: repository.call_ids(tx, project_id, which, limit=limit, before=before)
        )
        return [await self._journal.get_call(project_id, call_id) for call_id in found]

    async def bill_by(self, project_id: str, group_by: GroupBy, which: Filter | None = None) -> list[Group]:
        """The ledger's own sums by user, model, tag, session, key, target or day, dearest first; deleted calls last."""
        return await self._journal.read(lambda tx: repository.bill_by(tx, project_id, group_by, which or Filter()))

    async def _of_run(self, project_id: str, run_id: bytes) -> Trace:
        trace = await self._read_run(project_id, run_id)
        for _ in range(TRIES - 1):
            if trace.run == await self._journal.get_run(project_id, run_id):
                break
            trace = await self._read_run(project_id, run_id)
        return trace

    async def _read_run(self, project_id: str, run_id: bytes) -> Trace:
        run = await self._journal.get_run(project_id, run_id)
        events = await self._journal.events(project_id, run_id)
        calls = _traced(await self._journal.read(lambda tx: repository.of_run(tx, project_id, run_id)))
        bill = await self._journal.bill(project_id, run_id=run_id)
        trace_id = calls[0].call.trace_id if calls else None
        return Trace(project_id, trace_id, run, _steps(calls), tuple(events), bill)

    async def _of_calls(self, project_id: str, trace_id: bytes, calls: list[TracedCall], has_bill: bool) -> Trace:
        bill = await self._journal.bill(project_id, trace_id=trace_id) if has_bill else None
        return Trace(project_id, trace_id, None, _steps(calls), (), bill)


def _traced(found: Iterable[Recorded]) -> list[TracedCall]:
    return [TracedCall(one.call, one.attempts) for one in found]


def _steps(calls: Iterable[TracedCall]) -> tuple[Step, ...]:
    """Calls in the order of time, those of one step together where they follow each other."""
    return tuple(Step(name, tuple(group)) for name, group in groupby(calls, key=lambda one: one.call.step))


def total_usage(usages: Iterable[Usage | None]) -> Usage:
    """The sum, part by part."""
    known = [usage for usage in usages if usage is not None]
    return Usage(
        input_tokens=sum(usage.input_tokens for usage in known),
        output_tokens=sum(usage.output_tokens for usage in known),
        cached_input_tokens=sum(usage.cached_input_tokens for usage in known),
        cache_write_tokens=sum(usage.cache_write_tokens for usage in known),
        input_audio_tokens=sum(usage.input_audio_tokens for usage in known),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in known),
        output_audio_tokens=sum(usage.output_audio_tokens for usage in known),
        is_estimated=any(usage.is_estimated for usage in known),
        units=sum(usage.units for usage in known),
    )
