"""A call: what was asked, what was answered, each send that it took; and the decision about one in doubt."""

from typing import Any, Literal, cast, get_args

import msgspec

from mooring.core import ids
from mooring.core.errors import InvalidRequest
from mooring.gateway.keys import Caller
from mooring.journal.records import CallState, Kind
from mooring.tracing import Traces
from mooring.tracing.tracing import Trace
from mooring.wiring import Server

from ..calls import show_attempt, show_call
from ..exchange import Exchange
from .filters import GROUPS, Question, given, group, turn, wanted
from .repository import CallRow, grouping, listing
from .said import said
from .session import form, own_path
from .waterfall import waterfall

LONGEST = 20_000  # characters of a body that a page shows; the API has the whole
STATES: tuple[str, ...] = get_args(CallState)
KINDS: tuple[str, ...] = get_args(Kind)
CALLS = Question(
    listing.calls_floor, listing.calls, listing.count_calls, "call", "/ui/calls", groups=grouping.calls, name="model"
)
DECISIONS = ("completed", "failed", "retry")


async def view_list(rooms: Server, exchange: Exchange, caller: Caller) -> dict[str, Any]:
    """Calls, newest first, by what they are."""
    project, query = caller.project_id, exchange.query
    filters = given(query, ("model", "kind"))
    want = wanted(filters, name="model", kind="kind")
    groups = await group(rooms.database, project, CALLS, want, query)
    rows, place = await turn(rooms.database, project, CALLS, want, query)
    models, users = await rooms.database.read_async(lambda tx: listing.call_names(tx, project))
    return {
        "calls": [_row(row) for row in rows],
        "place": place,
        "groups": groups,
        "group_names": (*GROUPS, CALLS.name),
        "filters": filters,
        "is_filtered": any(filters.values()) or bool(query.get("before")),
        "states": STATES,
        "kinds": KINDS,
        "models": models,
        "users": users,
    }


def _row(row: CallRow) -> dict[str, Any]:
    """A call of a list."""
    return {
        **row._asdict(),
        "id": ids.show("call", row.id),
        "run_id": ids.show("run", row.run_id) if row.run_id else None,
        "tags": msgspec.json.decode(row.tags) if row.tags else [],
    }


async def view(rooms: Server, exchange: Exchange, caller: Caller) -> dict[str, Any]:
    project, call_id = caller.project_id, ids.read("call", exchange.params["call_id"])
    journal = rooms.journal
    trace = await Traces(journal).trace(project, call_id=call_id)
    call = await journal.get_call(project, call_id)
    request, _ = await journal.get_request(project, call_id)
    answer = await journal.get_body(project, call_id) if call.finished_at_us is not None else b""
    attempts = await journal.attempts(project, call_id)
    return {
        "call": msgspec.to_builtins(show_call(call)),
        "attempts": [msgspec.to_builtins(show_attempt(attempt)) for attempt in attempts],
        "waterfall": waterfall(trace, rooms.clock.now_us()),
        "siblings": _siblings(trace),
        "request": _shown(request),
        "answer": _shown(answer),
        "said": said(answer) if call.kind == "chat" else None,
        "is_uncertain": call.state == "uncertain",
        "is_tool": call.kind == "tool",
    }


async def resolve(rooms: Server, exchange: Exchange, caller: Caller) -> str:
    """Somebody found out what became of an uncertain call."""
    fields = await form(exchange)
    decision = fields.get("decision", "")
    if decision not in DECISIONS:
        raise InvalidRequest(f"'{decision[:20]}' is no decision.", hint=f"One of {', '.join(DECISIONS)}.")
    result = fields.get("result", "").strip()
    shown = exchange.params["call_id"]
    await rooms.journal.resolve_uncertain(
        caller.project_id,
        ids.read("call", shown),
        decision=cast(Literal["completed", "failed", "retry"], decision),
        result=result.encode() or None,
        by=f"ui {ids.show('key', caller.api_key_id)}" if caller.api_key_id else "ui",
    )
    return own_path(fields.get("to"), otherwise=f"/ui/calls/{shown}")


def _siblings(trace: Trace) -> int:
    return max(len(trace.calls) - 1, 0)


def _shown(data: bytes) -> dict[str, Any]:
    """A body as indented JSON where it is JSON, else as text; cut where it is long."""
    try:
        text = msgspec.json.format(data, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = data.decode("utf-8", "replace")
    return {"text": text[:LONGEST], "size_bytes": len(data), "is_cut": len(text) > LONGEST}
