"""Runs: the list with its filters, and one run as a conversation and a waterfall."""

from typing import Any, get_args
from urllib.parse import urlencode

import msgspec

from mooring.core import ids
from mooring.gateway.keys import Caller
from mooring.journal.records import RunRecord, RunState
from mooring.tracing import Trace, Traces, traffic
from mooring.tracing.verify import verify
from mooring.wiring import Server

from ..exchange import Exchange
from .conversation import conversation
from .filters import GROUPS, PAGE, Found, Question, given, group, turn, wanted
from .repository import RunRow, Wanted, grouping, listing
from .repository import pages as repository
from .waterfall import waterfall

STATES: tuple[str, ...] = get_args(RunState)
OVER = ("completed", "failed", "cancelled")
MOST_READ = 500  # runs whose input and output one search for words reads
RUNS = Question(
    listing.runs_floor, listing.runs, listing.count_runs, "run", "/ui/runs", groups=grouping.runs, name="agent"
)


async def view(rooms: Server, exchange: Exchange, caller: Caller) -> dict[str, Any]:
    project, query = caller.project_id, exchange.query
    filters = given(query, ("agent", "handler", "model", "text"))
    want = wanted(filters, name="agent", kind="handler")
    agents, users, handlers = await rooms.database.read_async(lambda tx: listing.run_names(tx, project))
    groups = await group(rooms.database, project, RUNS, want, query)
    if want.text is None:
        rows, place = await turn(rooms.database, project, RUNS, want, query)
    else:
        rows, place = await _with_words(rooms, project, want, query)
    return {
        "runs": [show_row(row) for row in rows],
        "place": place,
        "groups": groups,
        "group_names": (*GROUPS, RUNS.name),
        "filters": filters,
        "is_filtered": any(filters.values()) or bool(query.get("before")),
        "states": STATES,
        "agents": agents,
        "users": users,
        "handlers": handlers,
    }


async def _with_words(rooms: Server, project: str, want: Wanted, query: dict[str, str]) -> Found:
    """Runs with these words in input, output or error. Bodies are compressed, so each is read: a bounded number."""
    before = ids.read("run", query["before"]) if query.get("before") else want.until
    words = (want.text or "").casefold()
    rows = await rooms.database.read_async(
        lambda tx: listing.runs(tx, project, want, before, want.since, MOST_READ + 1)
    )
    found: list[RunRow] = []
    read = 0
    for row in rows[:MOST_READ]:
        read += 1
        run = await rooms.journal.get_run(project, row.id)
        texts = (ids.show("run", row.id), row.name, row.error_message, row.error_code, row.user, row.session)
        bodies = ((data or b"").decode("utf-8", "replace") for data in (run.input, run.output))
        if any(words in (text or "").casefold() for text in (*texts, *bodies)):
            found.append(row)
        if len(found) == PAGE:
            break
    cursor = ids.show("run", rows[read - 1].id) if read < len(rows) else None
    kept = {name: value for name, value in query.items() if value and name != "before"}
    older = f"/ui/runs?{urlencode({**kept, 'before': cursor})}" if cursor else None
    place = {"first": 1 if found else 0, "last": len(found), "total": None, "read": read, "next": cursor}
    return Found(found, {**place, "older": older, "start": f"/ui/runs?{urlencode(kept)}"})


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
        "hands": await _hands(rooms, run),
        "undecided": [
            {
                "id": ids.show("call", call.call.id),
                "name": call.call.name,
                "is_tool": call.call.kind == "tool",
                "target": call.attempts[-1].target if call.attempts else call.call.name,
                "run_id": ids.show("run", run_id),
                "held_nanos": call.call.held_nanos,
            }
            for call in trace.calls
            if call.call.state == "uncertain"
        ],
        "last_seq": trace.events[-1].seq if trace.events else 0,
        "is_over": run.state in OVER,
        "findings": [str(one) for one in verify(trace)] if run.state in OVER else None,
        "is_live": run.state not in (*OVER, "parked"),
        "traffic": await _traffic(rooms, trace) if run.state in OVER else None,
    }


async def _traffic(rooms: Server, trace: Trace) -> dict[str, Any]:
    """Bytes by hop; of a run that is over, because it reads the whole conversation."""
    found = traffic.to_json(await traffic.report(rooms.journal, rooms.spans, rooms.blobs, trace))
    return {name: value for name, value in found.items() if name != "steps"}


async def cancel(rooms: Server, exchange: Exchange, caller: Caller) -> str:
    await rooms.journal.cancel_run(caller.project_id, ids.read("run", exchange.params["run_id"]))
    return f"/ui/runs/{exchange.params['run_id']}"


async def resume(rooms: Server, exchange: Exchange, caller: Caller) -> str:
    await rooms.journal.resume_run(caller.project_id, ids.read("run", exchange.params["run_id"]))
    return f"/ui/runs/{exchange.params['run_id']}"


def show_row(row: RunRow) -> dict[str, Any]:
    """A run of a list."""
    return {**row._asdict(), "id": ids.show("run", row.id), "tags": _json(row.tags.encode()) if row.tags else []}


async def _hands(rooms: Server, run: RunRecord) -> list[dict[str, Any]]:
    """Who worked on it, as its tools' attempts and its lease tell: from when to when, and whether it died."""
    project = run.project_id
    worked = await rooms.database.read_async(lambda tx: repository.hands(tx, project, run.id))
    spans = {process: (start, end) for process, start, end in worked}
    owner = run.owner_process_id
    if owner is not None and owner not in spans:
        spans[owner] = (run.started_at_us or run.created_at_us, rooms.clock.now_us())
    facts = await rooms.database.read_async(lambda tx: repository.processes(tx, list(spans)))
    return [
        {
            "process": ids.show("proc", process),
            "kind": facts[process][0] if process in facts else "worker",
            "pid": facts[process][1] if process in facts else None,
            "from_us": start,
            "to_us": end,
            "dead_at_us": facts[process][2] if process in facts else None,
            "is_owner": process == owner,
        }
        for process, (start, end) in spans.items()
    ]


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
