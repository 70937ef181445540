"""`GET /v1/calls/{id}`: a call, its attempts and what they cost, as the journal holds them."""

from typing import Any

from mooring.core import ids
from mooring.core.money import show_usd
from mooring.journal.records import AttemptRecord, CallRecord
from mooring.tracing import Traces, asking
from mooring.wiring import Server

from .exchange import Exchange, Reply, json_reply
from .server import Route, caller_of


def routes(rooms: Server) -> list[Route]:
    async def get(exchange: Exchange) -> Reply:
        project = caller_of(exchange).project_id
        call = await rooms.journal.get_call(project, ids.read("call", exchange.params["call_id"]))
        attempts = await rooms.journal.attempts(project, call.id)
        return json_reply({**show_call(call), "attempts": [show_attempt(attempt) for attempt in attempts]})

    async def list_(exchange: Exchange) -> Reply:
        project, query = caller_of(exchange).project_id, exchange.query
        which = asking.filter_of(query, rooms.clock.now_us())
        before = ids.read("call", query["before"]) if query.get("before") else None
        calls = await Traces(rooms.journal).calls(project, which, limit=100, before=before)
        return json_reply({"object": "list", "data": [show_call(call) for call in calls]})

    async def bill(exchange: Exchange) -> Reply:
        project, run = caller_of(exchange).project_id, exchange.query.get("run")
        run_id = None if run is None else (await rooms.journal.get_run(project, ids.read("run", run))).id
        return json_reply(await rooms.journal.bill(project, run_id=run_id))

    return [
        Route("GET", "/v1/calls", "read", list_),
        Route("GET", "/v1/calls/{call_id}", "read", get),
        Route("GET", "/v1/bill", "read", bill),
    ]


def show_call(call: CallRecord) -> dict[str, Any]:
    """JSON of a call; times are unix microseconds, amounts both in nano-dollars and as text."""
    return {
        "id": ids.show("call", call.id),
        "object": "call",
        "kind": call.kind,
        "name": call.name,
        "state": call.state,
        "trace_id": call.trace_id.hex(),
        "run_id": ids.show("run", call.run_id) if call.run_id else None,
        "step": call.step,
        "user": call.user,
        "session": call.session,
        "tags": list(call.tags),
        "status": call.status,
        "error_code": call.error_code,
        "started_at_us": call.started_at_us,
        "finished_at_us": call.finished_at_us,
        "settled_nanos": call.settled_nanos,
        "held_nanos": call.held_nanos,
        "cost_usd": show_usd(call.settled_nanos),
        "attributes": call.attributes,
    }


def show_attempt(attempt: AttemptRecord) -> dict[str, Any]:
    """JSON of an attempt."""
    return {
        "id": ids.show("att", attempt.id),
        "number": attempt.number,
        "target": attempt.target,
        "reason": attempt.reason,
        "outcome": attempt.outcome,
        "settlement": attempt.settlement,
        "held_nanos": attempt.held_nanos,
        "settled_nanos": attempt.settled_nanos,
        "price": attempt.price,
        "usage": attempt.usage,
        "provider_request_id": attempt.provider_request_id,
        "upstream_status": attempt.upstream_status,
        "error_code": attempt.error_code,
        "error_message": attempt.error_message,
        "bytes_up": attempt.bytes_up,
        "bytes_down": attempt.bytes_down,
        "intended_at_us": attempt.intended_at_us,
        "finished_at_us": attempt.finished_at_us,
    }
