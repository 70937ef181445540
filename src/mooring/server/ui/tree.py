"""A whole trace as rows with bars: each under what it is part of, be that a run, a call or another program's span.

Ids of spans are eight bytes on the wire: of an id of ours the last eight. So a call stands under the span of the
program that made it, and under an attempt stands what the asked server says of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mooring.core import ids
from mooring.core.usage import Usage
from mooring.journal.records import AttemptRecord, RunRecord
from mooring.tracing.records import ForeignSpan
from mooring.tracing.tracing import Trace, TracedCall

from .waterfall import amounts, bar, end_of

DEEPEST = 9  # levels that are set in; what is deeper stands under the last


class Node(NamedTuple):
    """A row and where it belongs; `key` and `parent` are ids of spans."""

    key: bytes
    parent: bytes | None
    start_us: int
    end_us: int
    first_us: int | None
    row: dict[str, Any]


def tree(trace: Trace, calls: Sequence[TracedCall], parents: Mapping[bytes, bytes], now_us: int) -> dict[str, Any]:
    """`calls` are those of the trace that are shown; `parents`: by a call's id the span that it came with."""
    nodes = list(_nodes(trace, calls, parents, now_us))
    begin = min((one.start_us for one in nodes), default=now_us)
    end = max((one.end_us for one in nodes), default=now_us)
    rows = [
        {**node.row, "depth": min(depth, DEEPEST), **bar(node.start_us, node.first_us, node.end_us, begin, end)}
        for depth, node in _walk(nodes)
    ]
    return {"from_us": begin, "to_us": end, "rows": rows}


def _walk(nodes: Sequence[Node]) -> Iterator[tuple[int, Node]]:
    """Each once with its depth, children behind their parent in the order of time; of a circle, all as well."""
    known = {node.key for node in nodes}
    below: dict[bytes | None, list[Node]] = {}
    for node in sorted(nodes, key=lambda one: (one.start_us, one.key)):
        below.setdefault(node.parent if node.parent in known else None, []).append(node)
    seen: set[int] = set()
    for start in (below.get(None, []), nodes):
        waiting = [(0, node) for node in reversed(start)]
        while waiting:
            depth, node = waiting.pop()
            if id(node) not in seen:
                seen.add(id(node))
                yield depth, node
                waiting += [(depth + 1, child) for child in reversed(below.get(node.key, []))]


def _nodes(trace: Trace, calls: Sequence[TracedCall], parents: Mapping[bytes, bytes], now_us: int) -> Iterator[Node]:
    run = trace.run
    if run is not None:
        yield _run(run, now_us)
    steps = {one.call.step: one.call.id[8:] for one in calls if one.call.step}
    others = {span.span_id for span in trace.foreign}
    for traced in calls:
        parent = parents.get(traced.call.id)
        yield _call(traced, parent if parent in others else _above(traced, steps, run), now_us)
        for attempt in traced.attempts:
            yield _attempt(attempt, traced, now_us)
    for span in trace.foreign:
        yield _foreign(span, now_us)


def _above(traced: TracedCall, steps: Mapping[str, bytes], run: RunRecord | None) -> bytes | None:
    """The call within whose step this one was made: `1.tool.0/search#1` is part of `1.tool.0`; else the run."""
    step = traced.call.step or ""
    while "/" in step:
        step = step.rpartition("/")[0]
        if step in steps:
            return steps[step]
    return run.id[8:] if run is not None else None


def _run(run: RunRecord, now_us: int) -> Node:
    row = {
        "level": "run",
        "id": ids.show("run", run.id),
        "href": f"/ui/runs/{ids.show('run', run.id)}",
        "name": run.name,
        "kind": run.handler,
        "state": run.state,
        "note": run.error_code,
        "step": None,
        **amounts(Usage(), run.settled_nanos, run.held_nanos, 0, 0),
    }
    end_us = end_of(run.finished_at_us, run.created_at_us, now_us)
    return Node(run.id[8:], None, run.created_at_us, end_us, run.started_at_us, row)


def _call(traced: TracedCall, parent: bytes | None, now_us: int) -> Node:
    call = traced.call
    first = min((one.first_byte_at_us for one in traced.attempts if one.first_byte_at_us), default=None)
    row = {
        "level": "call",
        "id": ids.show("call", call.id),
        "href": f"/ui/calls/{ids.show('call', call.id)}",
        "name": call.name,
        "kind": call.kind,
        "state": call.state,
        "note": call.error_code,
        "step": call.step,
        "checks": len(call.attributes.get("guards", ())),
        "hits": len(call.attributes["hits"]) if "hits" in call.attributes else None,
        **amounts(traced.usage, call.settled_nanos, call.held_nanos, traced.bytes_up, traced.bytes_down),
    }
    return Node(
        call.id[8:], parent, call.started_at_us, end_of(call.finished_at_us, call.started_at_us, now_us), first, row
    )


def _attempt(attempt: AttemptRecord, traced: TracedCall, now_us: int) -> Node:
    later = [one.intended_at_us for one in traced.attempts if one.number > attempt.number]
    limit = min(later, default=now_us) if attempt.outcome == "uncertain" else now_us
    end_us = min(end_of(attempt.finished_at_us, attempt.intended_at_us, now_us), max(limit, attempt.intended_at_us))
    row = {
        "level": "attempt",
        "id": ids.show("att", attempt.id),
        "href": None,
        "name": attempt.target,
        "kind": traced.call.kind,
        "state": attempt.outcome,
        "note": attempt.error_code,
        "step": None,
        "number": attempt.number,
        "reason": attempt.reason,
        "settlement": attempt.settlement,
        "upstream_status": attempt.upstream_status,
        "provider_request_id": attempt.provider_request_id,
        "error_message": attempt.error_message,
        **amounts(
            attempt.usage or Usage(), attempt.settled_nanos, attempt.held_nanos, attempt.bytes_up, attempt.bytes_down
        ),
    }
    key = attempt.id[8:]
    return Node(key, attempt.call_id[8:], attempt.intended_at_us, end_us, attempt.first_byte_at_us, row)


def _foreign(span: ForeignSpan, now_us: int) -> Node:
    row = {
        "level": "other",
        "id": span.span_id.hex(),
        "href": None,
        "name": span.name,
        "kind": span.kind,
        "state": "failed" if span.state == "error" else "completed",
        "note": None,
        "step": None,
        "service": span.service,
        "facts": span.facts,
        **amounts(Usage(), 0, 0, 0, 0),
    }
    end_us = max(end_of(span.finished_at_us, span.started_at_us, now_us), span.started_at_us)
    return Node(span.span_id, span.parent_id, span.started_at_us, end_us, None, row)
