"""What a route by task asks before it chooses: the vector of what was said last, bought like any other call.

It is journaled and billed to the caller's key, and within a run it belongs to the step. Whatever goes wrong with it,
the call is answered all the same, by the targets as they are listed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mooring.core import ids
from mooring.core.errors import MooringError
from mooring.core.messages import ChatRequest
from mooring.core.text import digest

from . import embeddings
from .call import Call
from .inbound import Inbound, Outbound
from .task import Choice

log = logging.getLogger("mooring.gateway")

PATH = "/v1/embeddings"
MOST_CHARACTERS = 8000
_PASSED_ON = (b"x-mooring-user", b"x-mooring-session", b"x-mooring-tags", b"x-mooring-priority")


def text_of(request: ChatRequest) -> str:
    """What the user said last: its end decides."""
    said = [message.text for message in request.messages if message.role == "user" and message.text.strip()]
    return said[-1][-MOST_CHARACTERS:] if said else ""


async def choose(call: Call, embed: Callable[[Inbound], Awaitable[Outbound]]) -> Choice | None:
    """Which target this call is for; None where its route does not ask."""
    asked = call.asked
    chooser, seconds = asked.plan.chooser, asked.plan.task_seconds
    if chooser is None or asked.codec.kind != "chat":
        return None
    text = text_of(asked.request)
    if not text:
        return Choice(None, "the user said nothing in words")
    body = embeddings.request_body([text], chooser.embedding_model)
    inbound = Inbound(asked.inbound.caller, body, _headers(call, body), path=PATH, is_internal=True)
    try:
        async with asyncio.timeout(seconds):
            outbound = await embed(inbound)
        if outbound.status != 200 or not isinstance(outbound.body, bytes):
            raise MooringError(f"{chooser.embedding_model} answered {outbound.status}")
        return chooser.choose(embeddings.vectors(outbound.body)[0])
    except (TimeoutError, MooringError, IndexError) as error:
        why = f"no vector within {seconds:g} s" if isinstance(error, TimeoutError) else f"no vector: {error}"
        log.warning("%s: its targets are tried as listed: %s", asked.plan.model, why)
        return Choice(None, why)


def _headers(call: Call, body: bytes) -> dict[bytes, bytes]:
    """For whom it is asked is the call's, and it is seen below it in the call's trace."""
    row, run = call.row, call.asked.run
    headers = {name: value for name, value in call.asked.inbound.headers.items() if name in _PASSED_ON}
    headers[b"traceparent"] = b"00-%s-%s-01" % (row.trace_id.hex().encode(), row.id[8:].hex().encode())
    if run is not None:
        shown = ids.show("run", run.run_id)
        headers |= {
            b"x-mooring-run": shown.encode(),
            b"x-mooring-step": f"{run.step}/embed#1".encode(),
            b"x-mooring-epoch": b"%d" % run.epoch,
            b"idempotency-key": f"run/{shown}/{run.step}/embed/{digest(body).hex()[:24]}".encode(),
        }
    return headers
