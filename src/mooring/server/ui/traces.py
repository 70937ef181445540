"""Traces: the list of them, and one as a tree on one scale of time, whoever made its parts, with what it found.

A trace is a run, or the calls that share a trace id, with the spans that other programs sent under it. It is read from
the journal; only the list and the other programs' spans are the projection's.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args
from urllib.parse import urlencode

from mooring.core import ids
from mooring.core.errors import InvalidRequest
from mooring.gateway.keys import Caller
from mooring.journal.records import CallRecord, Kind, RunRecord
from mooring.tracing import Trace, TracedCall, Traces, asking, data, traffic
from mooring.tracing.foreign import Foreign
from mooring.tracing.verify import verify
from mooring.wiring import Server

from ..exchange import Exchange
from .asking import source_href
from .repository import listing
from .repository import pages as repository
from .tree import tree

MOST_CALLS = 300  # of a trace that one page shows; the sums are of all of them
PAGE = 50
OVER = ("completed", "failed", "cancelled")
FILTERS = ("state", "kind", "model", "user", "session", "tag", "text", "since", "until")
KINDS: tuple[str, ...] = ("run", *get_args(Kind))


async def view_list(rooms: Server, exchange: Exchange, caller: Caller) -> dict[str, Any]:
    """The newest first, of those that match."""
    project = caller.project_id
    filters = {name: (exchange.query.get(name) or "").strip()[:200] or None for name in FILTERS}
    before = exchange.query.get("before")
    which = asking.filter_of(filters, rooms.clock.now_us())
    page = await rooms.spans.page(project, which, limit=PAGE, before=_place(before) if before else None)
    models, users = await rooms.database.read_async(lambda tx: listing.call_names(tx, project))
    kept = {name: value for name, value in filters.items() if value}
    older = urlencode({**kept, "before": page.next.hex()}) if page.next else None
    return {
        "traces": [
            {
                **data.summary_json(one),
                "id": data.name_of(one),
                "started_at_us": one.started_at_us,
                "finished_at_us": one.finished_at_us,
            }
            for one in page.traces
        ],
        "older": f"/ui/traces?{older}" if older else None,
        "start": f"/ui/traces?{urlencode(kept)}" if before else None,
        "filters": filters,
        "is_filtered": bool(kept) or bool(before),
        "states": asking.STATES,
        "kinds": KINDS,
        "models": models,
        "users": users,
    }


async def view(rooms: Server, exchange: Exchange, caller: Caller) -> dict[str, Any]:
    """A run_…, a call_… (the trace that it is part of) or a trace id; `?after=` goes on behind a call."""
    project, shown = caller.project_id, exchange.params["id"]
    traces = Traces(rooms.journal, Foreign(rooms.spans))
    _, call_id, _ = asking.subject_of(shown)
    if call_id is not None:
        call = await rooms.journal.get_call(project, call_id)
        shown = ids.show("run", call.run_id) if call.run_id is not None else call.trace_id.hex()
    trace = await traces.named(project, shown)
    trace_id = trace.trace_id or (trace.run.id if trace.run else b"")
    parents = await traces.parents(project, trace_id)
    calls = trace.calls
    start = _start(calls, exchange.query.get("after"))
    some = calls[start : start + MOST_CALLS]
    is_over = _is_over(trace)
    more = some[-1].call.id if start + len(some) < len(calls) else None
    name = name_of(trace)
    return {
        "trace": _head(trace, name, trace_id),
        "waterfall": tree(trace, some, parents, rooms.clock.now_us()),
        "totals": {
            "settled_nanos": trace.settled_nanos,
            "held_nanos": trace.held_nanos,
            "input_tokens": trace.usage.input_tokens,
            "output_tokens": trace.usage.output_tokens,
            "bytes_up": trace.bytes_up,
            "bytes_down": trace.bytes_down,
            "calls": len(calls),
            "attempts": sum(len(one.attempts) for one in calls),
            "foreign": trace.foreign_count,
        },
        "guards": [_guard(one.call, fact) for one in some for fact in _facts(one.call, "guards")],
        "retrievals": await _retrievals(rooms, project, some),
        "problems": list(_problems(some)),
        "traffic": await _traffic(rooms, trace) if is_over and calls else None,
        "findings": [str(one) for one in verify(trace)] if is_over and calls else None,
        "is_over": is_over,
        "place": {"first": start + 1, "last": start + len(some), "total": len(calls)},
        "older": f"/ui/traces/{name}?after={ids.show('call', more)}" if more else None,
    }


def name_of(trace: Trace) -> str:
    """By what a trace's page is called: its run, else its trace id."""
    if trace.run is not None:
        return ids.show("run", trace.run.id)
    return trace.trace_id.hex() if trace.trace_id else ""


def _head(trace: Trace, name: str, trace_id: bytes) -> dict[str, Any]:
    run, calls = trace.run, trace.calls
    first = next((one.call for one in calls if one.call.kind != "embedding"), calls[0].call if calls else None)
    who = run or first
    title, kind = _title(trace, run, first)
    return {
        "id": name,
        "trace_id": trace_id.hex(),
        "run_id": ids.show("run", run.id) if run else None,
        "name": title,
        "kind": kind,
        "state": run.state if run else _state(calls),
        "user": who.user if who else None,
        "session": who.session if who else None,
        "tags": list(who.tags) if who else [],
        "started_at_us": _started(trace),
        "services": sorted({one.service for one in trace.foreign}),
        "is_answer": any(one.call.kind == "retrieval" for one in calls) and run is None,
    }


def _title(trace: Trace, run: RunRecord | None, first: CallRecord | None) -> tuple[str, str]:
    """The run; else whatever began it all: the span of another program, or the first call."""
    if run is not None:
        return run.name, run.handler
    known = {span.span_id for span in trace.foreign}
    span = next((one for one in trace.foreign if one.parent_id not in known), None)
    if span is not None and (first is None or span.started_at_us <= first.started_at_us):
        return span.name, span.service
    return (first.name, first.kind) if first is not None else ("", "")


def _started(trace: Trace) -> int | None:
    starts = [one.call.started_at_us for one in trace.calls] + [one.started_at_us for one in trace.foreign]
    if trace.run is not None:
        starts.append(trace.run.created_at_us)
    return min(starts, default=None)


def _state(calls: Sequence[TracedCall]) -> str:
    """Of calls without a run: the one that asks for most attention."""
    states = {one.call.state for one in calls}
    return next((one for one in ("running", "uncertain", "failed", "blocked") if one in states), "completed")


def _is_over(trace: Trace) -> bool:
    if trace.run is not None:
        return trace.run.state in OVER
    return all(one.call.finished_at_us is not None for one in trace.calls)


def _start(calls: Sequence[TracedCall], after: str | None) -> int:
    if not after:
        return 0
    place = ids.read("call", after)
    return next((number + 1 for number, one in enumerate(calls) if one.call.id == place), 0)


def _facts(call: CallRecord, name: str) -> Iterator[Mapping[str, Any]]:
    """What a call says of itself under a name; facts are JSON, so that anything else is passed over."""
    for fact in call.attributes.get(name, ()):
        if isinstance(fact, dict):
            yield fact


def _about(call: CallRecord) -> dict[str, Any]:
    return {"call_id": ids.show("call", call.id), "step": call.step, "name": call.name}


def _guard(call: CallRecord, fact: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_about(call),
        "check": str(fact.get("check", "")),
        "action": str(fact.get("action", "")),
        "reason": str(fact.get("reason") or ""),
        "kinds": [str(one) for one in fact.get("kinds", ())],
        "counts": fact.get("counts", {}),
        "score": fact.get("score"),
    }


async def _retrievals(rooms: Server, project: str, calls: Sequence[TracedCall]) -> list[dict[str, Any]]:
    """What each retrieval found, best first, with each stage's score, and whether the passage is there still."""
    found = [one.call for one in calls if "hits" in one.call.attributes]
    chunks = [_chunk_id(hit) for call in found for hit in _facts(call, "hits")]
    known = [one for one in chunks if one is not None]
    places = await rooms.database.read_async(lambda tx: repository.documents_of(tx, project, known))
    shown = []
    for call in found:
        hits = list(_facts(call, "hits"))
        scores = list(dict.fromkeys(name for hit in hits for name in hit.get("scores", {})))
        shown.append(
            {
                **_about(call),
                "scores": scores,
                "stages": [_stage(one) for one in _facts(call, "stages")],
                "hits": [_hit(number, hit, places) for number, hit in enumerate(hits, start=1)],
            }
        )
    return shown


def _stage(fact: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": str(fact.get("name", "")),
        "is_run": bool(fact.get("is_run")),
        "reason": fact.get("reason"),
        "candidates": fact.get("candidates", 0),
        "duration_us": round(fact.get("milliseconds", 0) * 1000),
    }


def _chunk_id(hit: Mapping[str, Any]) -> bytes | None:
    try:
        return ids.read("chunk", str(hit.get("chunk", "")))
    except InvalidRequest:
        return None


def _hit(number: int, hit: Mapping[str, Any], places: Mapping[bytes, bytes]) -> dict[str, Any]:
    chunk, start, end = _chunk_id(hit), hit.get("start", 0), hit.get("end", 0)
    document = places.get(chunk) if chunk is not None else None
    return {
        "number": number,
        "chunk": hit.get("chunk"),
        "path": str(hit.get("path", "?")),
        "section": hit.get("section") or None,
        "page": hit.get("page"),
        "start": start,
        "end": end,
        "scores": hit.get("scores", {}),
        "href": source_href(ids.show("doc", document), start, end) if document is not None else None,
    }


def _problems(calls: Sequence[TracedCall]) -> Iterator[dict[str, Any]]:
    """What failed on the way, in the words of whoever was asked."""
    for one in calls:
        for attempt in one.attempts:
            if attempt.error_message or attempt.error_code:
                yield {
                    **_about(one.call),
                    "target": attempt.target,
                    "number": attempt.number,
                    "code": attempt.error_code,
                    "message": attempt.error_message or "",
                }


async def _traffic(rooms: Server, trace: Trace) -> dict[str, Any]:
    """Bytes by hop; of what is over, because it reads the whole conversation."""
    found = traffic.to_json(await traffic.report(rooms.journal, rooms.spans, rooms.blobs, trace))
    return {name: value for name, value in found.items() if name != "steps"}


def _place(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise InvalidRequest(f"'{text[:40]}' is no place in a list.", param="before") from None
