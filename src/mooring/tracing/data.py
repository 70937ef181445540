"""Traces as JSON values, for programs: ids as shown, times ISO 8601 in UTC, amounts as nano-dollars and as text."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import msgspec

from mooring.core.clock import to_datetime
from mooring.core.ids import show
from mooring.core.money import show_usd
from mooring.journal.records import AttemptRecord, RunRecord

from .records import ForeignSpan, Group, Summary
from .tracing import Trace, TracedCall


def to_json(trace: Trace, *, after: bytes | None = None, limit: int | None = None) -> dict[str, Any]:
    """The tree as JSON values: ids as shown, times ISO 8601 in UTC, amounts as nano-dollars and as text.

    With `limit`, so many calls from behind the call `after`, as many of the run's events from the first of them on, and
    `next`, which is the last call's id where more follow. The sums are always of the whole trace.
    """
    run, calls = trace.run, trace.calls
    start = next((place + 1 for place, one in enumerate(calls) if one.call.id == after), 0) if after else 0
    some = calls[start : start + limit] if limit else calls[start:]
    return {
        "project": trace.project_id,
        "trace_id": trace.trace_id.hex() if trace.trace_id else None,
        "run": None if run is None else run_json(run),
        "steps": [
            {"step": name, "calls": [_call_json(traced) for traced in group]}
            for name, group in groupby(some, key=lambda one: one.call.step)
        ],
        "events": _events_json(trace, some, start),
        "foreign": [] if start else [_foreign_json(span) for span in trace.foreign],
        "foreign_count": trace.foreign_count,
        "total": {
            **_money(trace.settled_nanos, trace.held_nanos),
            "usage": msgspec.to_builtins(trace.usage),
            "calls": len(calls),
            "attempts": sum(len(one.attempts) for one in calls),
            "bytes_up": trace.bytes_up,
            "bytes_down": trace.bytes_down,
        },
        "next": show("call", some[-1].call.id) if some and start + len(some) < len(calls) else None,
    }


def run_json(run: RunRecord) -> dict[str, Any]:
    """The head of a run."""
    return {
        "id": show("run", run.id),
        "name": run.name,
        "state": run.state,
        "epoch": run.epoch,
        "user": run.user,
        "session": run.session,
        "tags": list(run.tags),
        "created_at": _iso(run.created_at_us),
        "finished_at": _iso(run.finished_at_us),
        "error_code": run.error_code,
        **_money(run.settled_nanos, run.held_nanos),
    }


def _events_json(trace: Trace, some: Sequence[TracedCall], start: int) -> list[dict[str, Any]]:
    """The events of the time of these calls; those before the first call go with the first page."""
    first = some[0].call.started_at_us if some and start else 0
    is_last = not some or some[-1] is trace.calls[-1]
    end = None if is_last else some[-1].call.finished_at_us
    return [
        {
            "seq": event.seq,
            "kind": event.kind,
            "at": _iso(event.at_us),
            "call": show("call", event.call_id) if event.call_id else None,
        }
        for event in trace.events
        if event.at_us >= first and (end is None or event.at_us <= end)
    ]


def summary_json(one: Summary) -> dict[str, Any]:
    """One trace of a list."""
    return {
        "trace_id": one.trace_id.hex(),
        "object": "trace",
        "run": show("run", one.run_id) if one.run_id else None,
        "kind": one.kind,
        "name": one.name,
        "state": one.state,
        "error_code": one.error_code,
        "user": one.user,
        "session": one.session,
        "tags": list(one.tags),
        "started_at": _iso(one.started_at_us),
        "finished_at": _iso(one.finished_at_us),
        "spans": one.spans,
        "calls": one.calls,
        "failed": one.failed,
        "attempts": one.attempts,
        "input_tokens": one.input_tokens,
        "output_tokens": one.output_tokens,
        **_money(one.settled_nanos, one.held_nanos),
        "bytes_up": one.bytes_up,
        "bytes_down": one.bytes_down,
    }


def name_of(one: Summary) -> str:
    """By what a trace is shown: its run, else its id."""
    return show("run", one.run_id) if one.run_id else one.trace_id.hex()


def moment(at_us: int) -> str:
    """A time for a table, UTC."""
    return f"{to_datetime(at_us):%Y-%m-%d %H:%M:%S}"


def group_json(one: Group) -> dict[str, Any]:
    """One line of a bill by something."""
    return {
        "value": one.value,
        "calls": one.calls,
        "failed": one.failed,
        "input_tokens": one.input_tokens,
        "output_tokens": one.output_tokens,
        "cached_input_tokens": one.cached_input_tokens,
        **_money(one.settled_nanos, one.held_nanos),
    }


def _foreign_json(span: ForeignSpan) -> dict[str, Any]:
    return {
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_id": span.parent_id.hex() if span.parent_id else None,
        "service": span.service,
        "name": span.name,
        "kind": span.kind,
        "state": span.state,
        "started_at": _iso(span.started_at_us),
        "finished_at": _iso(span.finished_at_us),
        **span.facts,
    }


def _call_json(traced: TracedCall) -> dict[str, Any]:
    call = traced.call
    return {
        "id": show("call", call.id),
        "kind": call.kind,
        "name": call.name,
        "state": call.state,
        "status": call.status,
        "error_code": call.error_code,
        "started_at": _iso(call.started_at_us),
        "finished_at": _iso(call.finished_at_us),
        "user": call.user,
        "session": call.session,
        "tags": list(call.tags),
        "attributes": call.attributes,
        **_money(call.settled_nanos, call.held_nanos),
        "attempts": [_attempt_json(attempt) for attempt in traced.attempts],
    }


def _attempt_json(attempt: AttemptRecord) -> dict[str, Any]:
    return {
        "id": show("att", attempt.id),
        "number": attempt.number,
        "target": attempt.target,
        "reason": attempt.reason,
        "outcome": attempt.outcome,
        "settlement": attempt.settlement,
        "price": msgspec.to_builtins(attempt.price),
        "usage": msgspec.to_builtins(attempt.usage),
        "provider_request_id": attempt.provider_request_id,
        "upstream_status": attempt.upstream_status,
        "error_code": attempt.error_code,
        "error_message": attempt.error_message,
        "bytes_up": attempt.bytes_up,
        "bytes_down": attempt.bytes_down,
        "intended_at": _iso(attempt.intended_at_us),
        "sent_at": _iso(attempt.sent_at_us),
        "first_byte_at": _iso(attempt.first_byte_at_us),
        "finished_at": _iso(attempt.finished_at_us),
        **_money(attempt.settled_nanos, attempt.held_nanos),
    }


def _money(settled_nanos: int, held_nanos: int) -> dict[str, Any]:
    return {"settled_nanos": settled_nanos, "held_nanos": held_nanos, "settled": show_usd(settled_nanos)}


def _iso(at_us: int | None) -> str | None:
    return None if at_us is None else to_datetime(at_us).isoformat()
