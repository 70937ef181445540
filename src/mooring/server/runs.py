"""Runs over HTTP: start, list, read, follow, resume, cancel.

The events of a run are its journal; a follower resumes with `Last-Event-ID`, which is the last `seq` it saw.
"""

import os
from typing import Any

import msgspec

from mooring.core import ids
from mooring.core.errors import InvalidRequest
from mooring.core.money import amount, show_usd
from mooring.gateway.asked import check_key
from mooring.journal.records import NewRun, RunRecord
from mooring.tracing import Traces, asking
from mooring.wiring import Server

from .exchange import Exchange, Reply, Word, json_reply
from .following import follow, show_event
from .server import Route, caller_of


class StartRun(msgspec.Struct, forbid_unknown_fields=True):
    """`POST /v1/runs`. `input` is any JSON value; `app_path` is accepted from the service key alone."""

    agent: Word
    input: Any
    user: Word | None = None
    session: Word | None = None
    tags: list[Word] = []
    max_cost_usd: str | None = None
    app_path: Word | None = None
    app_digest: str | None = None


def routes(rooms: Server) -> list[Route]:
    journal = rooms.journal

    async def start(exchange: Exchange) -> Reply:
        caller = caller_of(exchange)
        body = await exchange.parse(StartRun)
        key = exchange.header(b"idempotency-key")
        if key is not None:
            check_key(key)
        path, app_digest = app_of(rooms, body, is_service=caller.is_service)
        run = await journal.create_run(
            NewRun(
                id=rooms.new_id(),
                project_id=caller.project_id,
                handler="agent",
                name=body.agent,
                input=msgspec.json.encode(body.input),
                key=key,
                user=body.user,
                session=body.session,
                tags=tuple(body.tags),
                release_id=rooms.release_id,
                app_path=path,
                app_digest=app_digest,
                max_cost_nanos=cap_of(body.max_cost_usd),
            )
        )
        return run_reply(run, status=202)

    async def list_(exchange: Exchange) -> Reply:
        project, query = caller_of(exchange).project_id, exchange.query
        which = asking.filter_of({**query, "model": query.get("agent")}, rooms.clock.now_us())
        before = ids.read("run", query["before"]) if query.get("before") else None
        runs = await Traces(journal).runs(project, which, limit=50, before=before)
        return json_reply({"object": "list", "data": [show_run(run) for run in runs]})

    async def get(exchange: Exchange) -> Reply:
        return run_reply(await journal.get_run(caller_of(exchange).project_id, run_id(exchange)))

    async def cancel(exchange: Exchange) -> Reply:
        project = caller_of(exchange).project_id
        await journal.cancel_run(project, run_id(exchange))
        return run_reply(await journal.get_run(project, run_id(exchange)))

    async def resume(exchange: Exchange) -> Reply:
        project = caller_of(exchange).project_id
        await journal.resume_run(project, run_id(exchange))
        return run_reply(await journal.get_run(project, run_id(exchange)))

    async def events(exchange: Exchange) -> Reply:
        project = caller_of(exchange).project_id
        run = await journal.get_run(project, run_id(exchange))
        after = last_seen(exchange)
        if "text/event-stream" in (exchange.header(b"accept") or ""):
            stream = follow(rooms, exchange, run.id, after=after)
            return Reply(200, stream, "text/event-stream; charset=utf-8", headers=_named(run.id))
        found = await journal.events(project, run.id, after=after)
        return json_reply({"object": "list", "data": [show_event(event) for event in found]}, headers=_named(run.id))

    return [
        Route("POST", "/v1/runs", "write", start),
        Route("GET", "/v1/runs", "read", list_),
        Route("GET", "/v1/runs/{run_id}", "read", get),
        Route("GET", "/v1/runs/{run_id}/events", "read", events),
        Route("POST", "/v1/runs/{run_id}/cancel", "write", cancel),
        Route("POST", "/v1/runs/{run_id}/resume", "write", resume),
    ]


def app_of(rooms: Server, body: StartRun, *, is_service: bool) -> tuple[str | None, bytes | None]:
    """Which code runs: the server's own app, or a path that the home's owner named with the service key.

    Raises:
        InvalidRequest: a path from an ordinary key (code is never chosen over the API), or no app at all.
    """
    if body.app_path is None:
        if rooms.app_path is None:
            raise InvalidRequest(
                f"No app is loaded, so there is no agent '{body.agent}'.",
                hint="Run: mooring up --app app.py",
                param="agent",
            )
        return rooms.app_path, rooms.served_digest
    if not is_service:
        raise InvalidRequest("'app_path' is taken from the home's own processes only.", param="app_path")
    if not os.path.isabs(body.app_path):
        raise InvalidRequest("'app_path' must be absolute.", param="app_path")
    try:
        return body.app_path, bytes.fromhex(body.app_digest) if body.app_digest else None
    except ValueError:
        raise InvalidRequest("'app_digest' is no hexadecimal digest.", param="app_digest") from None


def cap_of(text: str | None) -> int | None:
    """Nano-dollars of `max_cost_usd`.

    Raises:
        InvalidRequest: no amount.
    """
    if text is None:
        return None
    try:
        return amount(text)
    except ValueError as error:
        raise InvalidRequest(str(error), param="max_cost_usd") from error


def run_reply(run: RunRecord, *, status: int = 200) -> Reply:
    """A run as JSON, whose bytes are counted as the run's."""
    return json_reply(show_run(run), status=status, headers=_named(run.id))


def _named(run: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"x-mooring-run", ids.show("run", run).encode())]


def run_id(exchange: Exchange) -> bytes:
    return ids.read("run", exchange.params["run_id"])


def last_seen(exchange: Exchange) -> int:
    """`Last-Event-ID`, or `?after=`; 0 from the start."""
    text = exchange.header(b"last-event-id") or exchange.query.get("after") or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidRequest(f"'{text[:40]}' is not an event number.", hint="Send the last id you saw.", param="after")
    return int(text)


def show_run(run: RunRecord) -> dict[str, Any]:
    """JSON of a run; `input` and `output` are JSON values."""
    return {
        "id": ids.show("run", run.id),
        "object": "run",
        "agent": run.name,
        "handler": run.handler,
        "state": run.state,
        "worker": ids.show("proc", run.owner_process_id) if run.owner_process_id else None,
        "input": msgspec.Raw(run.input),
        "output": msgspec.Raw(run.output) if run.output else None,
        "error": {"code": run.error_code, "message": run.error_message} if run.error_code else None,
        "user": run.user,
        "session": run.session,
        "tags": list(run.tags),
        "created_at_us": run.created_at_us,
        "started_at_us": run.started_at_us,
        "finished_at_us": run.finished_at_us,
        "settled_nanos": run.settled_nanos,
        "held_nanos": run.held_nanos,
        "cost_usd": show_usd(run.settled_nanos),
    }
