"""A question as it is answered: the passages that were found, the model's words as they come, then where it stands.

The words are provisional. The answer's own page, whose address ends the stream, is read from the journal, and says
which of its citations hold.
"""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import msgspec

from mooring.core import ids
from mooring.core.errors import InvalidRequest, MooringError, UpstreamError
from mooring.core.events import StreamError, TextDelta
from mooring.core.messages import ChatRequest
from mooring.gateway.codecs import registry as codecs
from mooring.gateway.inbound import Inbound
from mooring.gateway.keys import Caller
from mooring.net import SseParser
from mooring.rag import Origin
from mooring.rag.answer import build_request
from mooring.rag.retrieve import Retrieval
from mooring.wiring import Refused, Server, origin_headers

from ..exchange import Exchange, Reply
from .render import HEADERS
from .session import form

STREAM = "text/event-stream; charset=utf-8"


class Question(msgspec.Struct, frozen=True):
    """What a form asks, and under which trace it goes into the journal."""

    text: str
    collection: str
    origin: Origin
    filter: dict[str, Any] | None = None

    @property
    def href(self) -> str:
        """Where its answer can be read, now and later."""
        return f"/ui/ask/{(self.origin.trace_id or b'').hex()}"


async def question(exchange: Exchange, caller: Caller) -> Question:
    """The form's fields."""
    fields = await form(exchange)
    return Question(
        fields.get("question", "").strip(),
        fields.get("collection") or "default",
        Origin(trace_id=ids.new_id(), api_key_id=caller.api_key_id, tags=("ui",)),
        _filter(fields.get("filter", "")),
    )


def _filter(text: str) -> dict[str, Any] | None:
    """The conditions that a form holds, as JSON.

    Raises:
        InvalidRequest: they are none.
    """
    if not text.strip():
        return None
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise InvalidRequest(
            f"The filter is no JSON object: {error}.", hint='Write {"file.folder": "policies"}.', param="filter"
        ) from error


async def stream(rooms: Server, exchange: Exchange, caller: Caller) -> Reply:
    """Server-sent events: `found`, then `text`, then `end` or `failed`.

    Raises:
        MooringError: there is nothing to ask, or nothing to ask about; it was not sent.
    """
    asked = await question(exchange, caller)
    found = await rooms.rag.retrieve(
        caller.project_id, asked.collection, asked.text, filter=asked.filter, origin=asked.origin
    )
    return Reply(200, _events(rooms, exchange, caller, asked, found), STREAM, HEADERS[:-1])


async def _events(
    rooms: Server, exchange: Exchange, caller: Caller, asked: Question, found: Retrieval
) -> AsyncIterator[bytes]:
    passages = [{"path": hit.path, "section": hit.section} for hit in found.hits]
    yield _event("found", {"passages": passages, "href": asked.href})
    try:
        if found.hits:
            request = build_request(rooms.config.rag.model, asked.text, found.hits)
            async for text in _words(rooms, exchange, caller, request, asked.origin):
                yield _event("text", {"text": text})
    except MooringError as error:
        yield _event("failed", {"message": rooms.redactor(str(error)), "code": error.code, "href": asked.href})
        return
    yield _event("end", {"href": asked.href})


async def _words(
    rooms: Server, exchange: Exchange, caller: Caller, request: ChatRequest, origin: Origin
) -> AsyncIterator[str]:
    """The gateway's own straight line, in the same process; it ends when the reader hangs up.

    Raises:
        UpstreamError: the model gave no answer, or none to its end.
    """
    codec = codecs.get("openai_chat")()
    fields = {**codec.encode_request(request), "stream": True}
    outbound = await rooms.gateway.chat(
        Inbound(
            caller=caller,
            body=msgspec.json.encode(fields),
            headers=origin_headers(origin),
            disconnected=exchange.disconnected,
        )
    )
    if isinstance(outbound.body, bytes):
        raise Refused(outbound.status, outbound.body)
    parser, decoder = SseParser(), codec.decoder()
    try:
        async for chunk in outbound.body:
            for event in parser.feed(chunk):
                for one in decoder.feed(event.data.encode()):
                    if isinstance(one, TextDelta):
                        yield one.text
                    elif isinstance(one, StreamError):
                        raise UpstreamError(one.message)
    finally:
        close = getattr(outbound.body, "aclose", None)
        if close is not None:
            await close()


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(data))


def source_href(document_id: str, start: int, end: int) -> str:
    """The document's page with these characters marked."""
    return f"/ui/documents/{quote(document_id)}?start={start}&end={end}#mark"
