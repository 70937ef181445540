"""Runs: the list with its filters, and one run as a conversation and a waterfall."""

from typing import Any, get_args
from urllib.parse import urlencode

import msgspec

from mooring.core import ids
from mooring.gateway.keys import Caller
from mooring.journal.records import RunRecord, RunState
from mooring.tracing import Traces
from mooring.tracing.verify import verify
from mooring.wiring import Server

from ..exchange import Exchange
from . import repository
from .conversation import conversation
from .waterfall import waterfall

STATES: tuple[str, ...] = get_args(RunState)
OVER = ("completed", "failed", "cancelled")
PAGE = 50


async def view(rooms: Server, exchange: Exchange, caller: Caller) -> dict[str, Any]:
    project = caller.project_id
    query = exchange.query
    wanted = {name: query.get(name) or None for name in ("state", "agent", "user")}
    before = ids.read("run", query["before"]) if query.get("before") else b"\xff" * 16
    rows = await rooms.database.read_async(
        lambda tx: repository.runs(tx, project, before=before, limit=PAGE + 1, **wanted)
    )
    agents, users = await rooms.database.read_async(lambda tx: repository.names(tx, project))
    older = (
        {**{k: v for k, v in wanted.items() if v}, "before": ids.show("run", rows[PAGE - 1].id)} if rows[PAGE:] else {}
    )
    return {
        "runs": [show_row(row) for row in rows[:PAGE]],
        "filters": wanted,
        "is_filtered": any(wanted.values()) or bool(query.get("before")),
        "states": STATES,
        "agents": agents,
        "users": users,
        "older": f"/ui/runs?{urlencode(older)}" if older else None,
    }


async def view_run(rooms: Server, exchange: Exchange, caller: Caller) -> dict[str, Any]:
    project, run_id = caller.project_id, ids.read("run", exchange.params["run_id"])
    trace = await Traces(rooms.journal).trace(project, run_id=run_id)
    assert trace.run is not None
    run = trace.run
    park_reason, due_at_us = await rooms.database.read_async(lambda tx: repository.run_facts(tx, project, run_id))
    now_us = rooms.clock.now_us()
    return {
        "run": {**show_run(run), "park_reason": park_reason, "due_at_us": due_at_us},
        "conversation": conversation(trace),
        "waterfall": waterfall(trace, now_us),
        "totals": {
            "settled_nanos": trace.settled_nanos,
            "held_nanos": trace.held_nanos,
            "input_tokens": trace.usage.input_tokens,
            "output_tokens": trace.usage.output_tokens,
            "bytes_up": trace.bytes_up,
            "bytes_down": trace.bytes_down,
            "calls": len(trace.calls),
            "attempts": sum(len(call.attempts) for call in trace.calls),
            "uncertain": sum(one.outcome == "uncertain" for call in trace.calls for one in call.attempts),
            "repeats": sum(one.reason == "repeat" for call in trace.calls for one in call.attempts),
        },
        "undecided": [
            {"call_id": ids.show("call", call.call.id), "name": call.call.name}
            for call in trace.calls
            if call.call.state == "uncertain"
        ],
        "last_seq": trace.events[-1].seq if trace.events else 0,
        "is_over": run.state in OVER,
        "findings": [str(one) for one in verify(trace)] if run.state in OVER else None,
        "is_live": run.state not in (*OVER, "parked"),
    }


async def cancel(rooms: Server, exchange: Exchange, caller: Caller) -> str:
    await rooms.journal.cancel_run(caller.project_id, ids.read("run", exchange.params["run_id"]))
    return f"/ui/runs/{exchange.params['run_id']}"


async def resume(rooms: Server, exchange: Exchange, caller: Caller) -> str:
    await rooms.journal.resume_run(caller.project_id, ids.read("run", exchange.params["run_id"]))
    return f"/ui/runs/{exchange.params['run_id']}"


def show_row(row: repository.RunRow) -> dict[str, Any]:
    """A run of a list."""
    return {**row._asdict(), "id": ids.show("run", row.id)}


def show_run(run: RunRecord) -> dict[str, Any]:
    """A run with its input and output as JSON values."""
    return {
        "id": ids.show("run", run.id),
        "agent": run.name,
        "handler": run.handler,
        "state": run.state,
        "epoch": run.epoch,
        "worker": ids.show("proc", run.owner_process_id) if run.owner_process_id else None,
        "input": _json(run.input),
        "output": _json(run.output),
        "error_code": run.error_code,
        "error_message": run.error_message,
        "user": run.user,
        "session": run.session,
        "tags": list(run.tags),
        "created_at_us": run.created_at_us,
        "started_at_us": run.started_at_us,
        "finished_at_us": run.finished_at_us,
        "settled_nanos": run.settled_nanos,
        "held_nanos": run.held_nanos,
    }


def _json(data: bytes | None) -> Any:
    return msgspec.json.decode(data) if data else None
