"""The model `rag/<collection>`: a chat whose last user message is a question to a collection's documents.

The passages are searched, [rag] model is asked through the gateway with the caller's own headers (so its key, budget,
run and trace are those of the call), and its answer goes out in OpenAI's wire format. Citations that the ledger bears
out are annotations of the message; in a stream they come with the last chunk of the text.
"""

import re
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from mooring.client import Citation
from mooring.core.errors import InvalidRequest
from mooring.core.seams import Hit
from mooring.gateway.codecs import registry as codecs
from mooring.gateway.inbound import Inbound
from mooring.rag.answer import REFUSAL, build_request
from mooring.wiring import Server, origin_headers

from .exchange import Exchange, Reply, json_reply
from .origins import origin_of
from .server import caller_of

PREFIX = "rag/"
# What of the caller's request goes to the model that answers; its messages do not.
PASSED_ON = (
    "max_completion_tokens", "max_tokens", "metadata", "safety_identifier", "seed", "stop", "stream", "stream_options",
    "temperature", "top_p", "user",
)  # fmt: skip
REFUSED = ("tools", "functions", "response_format", "audio")
# Looks for a quote, and behind each: a third of the time that `in` takes for a long body of prose.
_may_name_one = re.compile(rb'"(?=rag)').search


class Named(msgspec.Struct):
    """The one field that says who answers."""

    model: str = ""


def collection_of(body: bytes) -> str | None:
    """The collection that a chat request asks; None where its model is another, or the body is none."""
    if _may_name_one(body) is None:
        return None
    try:
        model = msgspec.json.decode(body, type=Named).model
    except msgspec.DecodeError:
        return None  # the gateway says what is wrong with it
    return model.removeprefix(PREFIX) if model.startswith(PREFIX) else None


async def answer(rooms: Server, exchange: Exchange, collection: str) -> Reply:
    """Search, ask, cite.

    Raises:
        NotFound: no such collection.
        InvalidRequest: no question, or something that documents cannot answer with.
    """
    caller = caller_of(exchange)
    fields = await exchange.parse(dict[str, Any])
    question = question_of(fields)
    origin = origin_of(rooms, exchange, user=_text(fields.get("user")), fields=fields)
    headers = {**exchange.headers, **origin_headers(origin)}
    chosen = filter_of(fields)
    found = await rooms.rag.retrieve(caller.project_id, collection, question, filter=chosen, origin=origin)
    shown = Cited(rooms, exchange, collection, found.hits)
    if not found.hits:
        return shown.refusal(found.call_id, is_stream=fields.get("stream") is True)
    inner = codecs.get("openai_chat")().encode_request(build_request(rooms.config.rag.model, question, found.hits))
    inner.update({name: fields[name] for name in PASSED_ON if name in fields})
    outbound = await rooms.gateway.chat(
        Inbound(
            caller=caller,
            body=msgspec.json.encode(inner),
            headers=headers,
            method=exchange.method,
            path=exchange.path,
            query=exchange.query_string,
            disconnected=exchange.disconnected,
        )
    )
    body = outbound.body
    if not isinstance(body, bytes):
        body = shown.stream(body)
    elif outbound.status == 200:
        body = await shown.whole(body)
    return Reply(outbound.status, body, outbound.content_type, outbound.headers)


def question_of(fields: dict[str, Any]) -> str:
    """The last user message's text.

    Raises:
        InvalidRequest: there is none, or the request asks for what documents cannot give.
    """
    for name in REFUSED:
        if fields.get(name):
            raise InvalidRequest(f"A collection takes no '{name}'.", hint="Leave it out.", param=name)
    if fields.get("n") not in (None, 1):
        raise InvalidRequest("A collection gives one answer.", hint="Leave 'n' out.", param="n")
    messages = fields.get("messages")
    for message in reversed(messages if isinstance(messages, list) else []):
        if isinstance(message, dict) and message.get("role") == "user":
            text = _content(message.get("content"))
            if text.strip():
                return text
    raise InvalidRequest("There is no user message with a question.", param="messages")


def filter_of(fields: dict[str, Any]) -> dict[str, Any] | None:
    """The conditions on the documents' metadata: `filter`, which is no field of OpenAI's (their SDK: `extra_body`).

    Raises:
        InvalidRequest: it is no object.
    """
    chosen = fields.get("filter")
    if chosen is None or isinstance(chosen, dict):
        return chosen
    raise InvalidRequest("'filter' is no object.", hint='Send {"team": "billing"}.', param="filter")


def _content(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(
        str(part["text"]) for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)
    )


class Cited:
    """Writes the model's answer again under the collection's name, with its citations."""

    def __init__(self, rooms: Server, exchange: Exchange, collection: str, hits: Sequence[Hit]) -> None:
        self._rooms = rooms
        self._project_id = caller_of(exchange).project_id
        self._model = PREFIX + collection
        self._hits = hits
        self._documents = f"http://{exchange.header(b'host') or 'localhost'}/v1/collections/{collection}/documents/"

    async def whole(self, body: bytes) -> bytes:
        """An unstreamed answer."""
        fields = msgspec.json.decode(body, type=dict[str, Any])
        fields["model"] = self._model
        for choice in fields.get("choices", ()):
            message = choice.get("message", {})
            message["annotations"] = await self._annotations(message.get("content") or "")
        return msgspec.json.encode(fields)

    async def stream(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """A streamed answer, line by line; what is no data of ours goes out as it came."""
        rest, text = b"", ""
        try:
            async for chunk in body:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    text, line = await self._line(text, line)
                    yield line + b"\n"
            if rest:
                yield rest
        finally:
            close = getattr(body, "aclose", None)
            if close is not None:
                await close()

    async def _line(self, text: str, line: bytes) -> tuple[str, bytes]:
        """The text so far with this line's, and the line as it is to be sent."""
        data = line.removeprefix(b"data:").strip()
        if not line.startswith(b"data:") or not data.startswith(b"{"):
            return text, line
        fields = msgspec.json.decode(data, type=dict[str, Any])
        if "choices" not in fields:
            return text, line
        fields["model"] = self._model
        for choice in fields["choices"]:
            delta = choice.setdefault("delta", {})
            text += delta.get("content") or ""
            if choice.get("finish_reason"):
                delta["annotations"] = await self._annotations(text)
        return text, b"data: " + msgspec.json.encode(fields)

    def refusal(self, call_id: str, *, is_stream: bool) -> Reply:
        """Nothing was found: no model is asked, and nothing is paid."""
        headers = [(b"x-mooring-call", call_id.encode()), (b"x-mooring-cost-usd", b"0.000000000")]
        common = {"id": call_id, "created": int(time.time()), "model": self._model}
        message = {"role": "assistant", "content": REFUSAL, "annotations": []}
        usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        if not is_stream:
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            return json_reply(
                {**common, "object": "chat.completion", "choices": [choice], "usage": usage}, headers=headers
            )

        async def events() -> AsyncIterator[bytes]:
            for delta, reason in ((message, None), ({}, "stop")):
                choice = {"index": 0, "delta": delta, "finish_reason": reason}
                chunk = {**common, "object": "chat.completion.chunk", "choices": [choice]}
                yield b"data: " + msgspec.json.encode(chunk) + b"\n\n"
            yield b"data: [DONE]\n\n"

        return Reply(200, events(), "text/event-stream; charset=utf-8", headers)

    async def _annotations(self, text: str) -> list[dict[str, Any]]:
        citations = await self._rooms.rag.cite(self._project_id, text, self._hits)
        return [self._annotation(citation) for citation in citations]

    def _annotation(self, citation: Citation) -> dict[str, Any]:
        """OpenAI's `url_citation` over the mark, and all we know beside it."""
        title = f"{citation.path} § {citation.section}" if citation.section else citation.path
        return {
            "type": "url_citation",
            "url_citation": {
                "url": f"{self._documents}{citation.document_id}#char={citation.start},{citation.end}",
                "title": title,
                "start_index": citation.mark_start,
                "end_index": citation.mark_end,
            },
            "citation": msgspec.to_builtins(citation),
        }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
