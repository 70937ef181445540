"""A trace as rows with bars: each call, and each of its attempts where there was more than one or one in doubt."""

from typing import Any

from mooring.core import ids
from mooring.core.usage import Usage
from mooring.journal.records import AttemptRecord
from mooring.tracing.tracing import Trace, TracedCall

WHOLE = 1000  # the units of a bar's place


def waterfall(trace: Trace, now_us: int) -> dict[str, Any]:
    """`from_us` and `to_us` bound the time; `left`, `waiting` and `busy` of a row are thousandths of it."""
    starts = [call.call.started_at_us for call in trace.calls]
    ends = [end_of(call.call.finished_at_us, call.call.started_at_us, now_us) for call in trace.calls]
    if trace.run is not None:
        starts.append(trace.run.created_at_us)
        ends.append(trace.run.finished_at_us or max(ends, default=trace.run.created_at_us))
    begin, end = min(starts, default=now_us), max(ends, default=now_us)
    rows: list[dict[str, Any]] = []
    for traced in trace.calls:
        rows.append(_call_row(traced, begin, end, now_us))
        if len(traced.attempts) > 1 or any(one.outcome == "uncertain" for one in traced.attempts):
            rows += [_attempt_row(one, traced, begin, end, now_us) for one in traced.attempts]
    return {"from_us": begin, "to_us": end, "rows": rows}


def _call_row(traced: TracedCall, begin: int, end: int, now_us: int) -> dict[str, Any]:
    call = traced.call
    first = min((one.first_byte_at_us for one in traced.attempts if one.first_byte_at_us), default=None)
    until = end_of(call.finished_at_us, call.started_at_us, now_us)
    return {
        "level": "call",
        "call_id": ids.show("call", call.id),
        "step": call.step,
        "kind": call.kind,
        "call_kind": call.kind,
        "name": call.name,
        "state": call.state,
        "note": call.error_code if call.state in ("failed", "blocked") else None,
        **bar(call.started_at_us, first, until, begin, end),
        **amounts(traced.usage, call.settled_nanos, call.held_nanos, traced.bytes_up, traced.bytes_down),
    }


def _attempt_row(attempt: AttemptRecord, traced: TracedCall, begin: int, end: int, now_us: int) -> dict[str, Any]:
    later = [one.intended_at_us for one in traced.attempts if one.number > attempt.number]
    limit = min(later, default=now_us) if attempt.outcome == "uncertain" else now_us
    until = min(end_of(attempt.finished_at_us, attempt.intended_at_us, now_us), max(limit, attempt.intended_at_us))
    return {
        "level": "attempt",
        "call_id": ids.show("call", attempt.call_id),
        "step": None,
        "kind": "attempt",
        "call_kind": traced.call.kind,
        "name": attempt.target,
        "state": attempt.outcome,
        "number": attempt.number,
        "note": attempt.error_code or (attempt.reason if attempt.reason != "first" else None),
        "reason": attempt.reason,
        "process": ids.show("proc", attempt.process_id),
        **bar(attempt.intended_at_us, attempt.first_byte_at_us, until, begin, end),
        **amounts(
            attempt.usage or Usage(), attempt.settled_nanos, attempt.held_nanos, attempt.bytes_up, attempt.bytes_down
        ),
    }


def end_of(finished_at_us: int | None, started_at_us: int, now_us: int) -> int:
    """When it ended, or now."""
    return finished_at_us if finished_at_us is not None else max(now_us, started_at_us)


def bar(start: int, first: int | None, until: int, begin: int, end: int) -> dict[str, int]:
    """Where a row's bar stands. At least four thousandths wide, so that the shortest call is seen."""
    span = max(end - begin, 1)
    left = min(WHOLE * (start - begin) // span, WHOLE - 4)
    width = max(min(WHOLE * (until - start) // span, WHOLE - left), 4)
    waiting = min(max(WHOLE * (first - start) // span, 0), width) if first is not None else 0
    return {
        "start_us": start,
        "duration_us": until - start,
        "left": left,
        "waiting": waiting,
        "busy": width - waiting,
    }


def amounts(usage: Usage, settled: int, held: int, up: int, down: int) -> dict[str, int]:
    """Tokens, nano-dollars and bytes of a row."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "settled_nanos": settled,
        "held_nanos": held,
        "bytes_up": up,
        "bytes_down": down,
    }
