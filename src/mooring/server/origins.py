"""On whose behalf a search or an answer is made: the same headers as for a model call, and the caller's key."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from mooring.core import ids
from mooring.gateway import tracecontext
from mooring.gateway.asked import run_of
from mooring.gateway.inbound import Inbound
from mooring.gateway.whose import whose
from mooring.rag import Origin
from mooring.wiring import Server

from .exchange import Exchange
from .server import caller_of


def origin_of(
    rooms: Server,
    exchange: Exchange,
    *,
    user: str | None = None,
    session: str | None = None,
    tags: Sequence[str] = (),
    fields: Mapping[str, Any] | None = None,
) -> Origin:
    """Headers first, then what the body says; one trace joins the search, its vectors and the model's call.

    `fields` are those of a model's wire, which has places of its own for the user, the session and the tags.

    Raises:
        PermissionDenied: run headers from someone who is not a process of this home.
        InvalidRequest: run headers that are not whole.
    """
    caller = caller_of(exchange)
    inbound = Inbound(caller=caller, body=b"", headers=exchange.headers)
    asker = whose(inbound, dict(fields or {}), user)
    trace_id, parent = tracecontext.read(inbound.header(b"traceparent"))
    return Origin(
        trace_id=trace_id or ids.new_id(),
        parent_span_id=parent,
        api_key_id=caller.api_key_id,
        run=run_of(inbound),
        user=asker.user,
        session=asker.session or session,
        tags=asker.tags or tuple(tags),
        release_id=rooms.release_id,
    )


def without_run(origin: Origin) -> Origin:
    """For a model's call beside a search: in a run, the step is the search's own."""
    return msgspec.structs.replace(origin, run=None)
