"""Gemini's embeddings: `POST …:batchEmbedContents`; `gemini_embed.py` is the same for one text.

As on OpenAI's wire, a request is one whose messages are its texts, a response one without choices. This wire often does
not say what an answer cost: then its maximum stays held until reconciled.
"""

from typing import Any, ClassVar
from urllib.parse import quote

import msgspec

from mooring.core.errors import InvalidRequest, UpstreamMalformed
from mooring.core.messages import ChatRequest, ChatResponse, Message, TextPart
from mooring.guardrails.rest import Opaque

from ..rewriting import substituted, substitutions
from . import DIMENSIONS, VECTORS, Fields, Kind, WireRequest, gemini_generate
from .gemini_generate.message import camel
from .gemini_generate.response import WireUsage, trusted_usage

MOST_INPUTS = 2048
_encode = msgspec.json.encode
_decode_any = msgspec.json.Decoder().decode


class _Vector(msgspec.Struct):
    values: list[float]


class _Response(msgspec.Struct, rename="camel"):
    embeddings: list[_Vector] | None = None
    embedding: _Vector | None = None
    usage_metadata: WireUsage | None = None


_decode_response = msgspec.json.Decoder(_Response).decode


class Codec(gemini_generate.Codec):
    """`POST /v1beta/models/{model}:batchEmbedContents`."""

    name: ClassVar[str] = "gemini_batch_embed"
    kind: ClassVar[Kind] = "embedding"
    no_text: ClassVar[Opaque | None] = None
    verb: ClassVar[str] = "batchEmbedContents"
    own_hints: ClassVar[frozenset[str]] = frozenset()

    def path_of(self, model: str, *, is_stream: bool) -> str:
        return f"/models/{quote(model, safe='/')}:{self.verb}"

    def requests_of(self, plain: dict[str, Any]) -> list[dict[str, Any]]:
        """Each text's own request."""
        requests = plain.get("requests")
        if not isinstance(requests, list) or not requests or not all(isinstance(one, dict) for one in requests):
            raise InvalidRequest("'requests' must be a list of at least one request.", param="requests")
        return requests

    def decode_request(self, body: bytes, *, model: str | None = None, is_stream: bool = False) -> WireRequest:
        """The texts, and the size of the vectors if all want the same.

        Raises:
            InvalidRequest: no JSON, no texts, or too many.
        """
        try:
            fields = _decode_any(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidRequest(f"The body is not valid JSON: {error}.") from error
        if not isinstance(fields, dict):
            raise InvalidRequest("The body is not a JSON object.")
        requests = self.requests_of(camel(fields))
        if len(requests) > MOST_INPUTS:
            raise InvalidRequest(f"{len(requests):,} texts are more than {MOST_INPUTS:,}.", param="requests")
        messages = tuple(Message("user", (TextPart(_text_of(one)),)) for one in requests)
        extra: dict[str, Any] = {}
        for one in requests:
            found = {name: value for name, value in one.items() if name not in ("content", "model")}
            if "outputDimensionality" in found:
                found[DIMENSIONS] = found.pop("outputDimensionality")
            extra.update(found)
        return WireRequest(ChatRequest(model=model or "", messages=messages, extra=extra), fields)

    def elements(self, fields: Fields) -> tuple[bytes, ...]:
        return ()

    def encode_request(self, request: ChatRequest) -> Fields:
        """The texts.

        Raises:
            InvalidRequest: one is given as token ids, which this wire has no words for.
        """
        if any(not message.parts for message in request.messages):
            raise InvalidRequest("This model takes texts, no token ids.", hint="Send texts.", param="input")
        size = request.extra.get(DIMENSIONS)
        more = {"outputDimensionality": size} if size is not None else {}
        texts = [message.text for message in request.messages]
        return {"requests": [{"content": {"parts": [{"text": text}]}, **more} for text in texts]}

    def rewrite_request(self, fields: Fields, before: ChatRequest, after: ChatRequest) -> None:
        changed = substituted(dict(fields), substitutions(before.messages, after.messages))
        fields.clear()
        fields.update(changed)

    def prepare(self, fields: Fields, *, model: str, is_stream: bool, cap_field: str | None, cap_tokens: int) -> None:
        fields["requests"] = [{**one, "model": f"models/{model}"} for one in fields["requests"]]

    def decode_response(self, body: bytes) -> ChatResponse:
        """The count of vectors, and the usage where it is told.

        Raises:
            UpstreamMalformed: not JSON, or no vectors.
        """
        wire = _read(body)
        return ChatResponse(
            id="", model="", choices=(), usage=trusted_usage(wire.usage_metadata), extra={VECTORS: len(_vectors(wire))}
        )

    def check_answer(self, request: ChatRequest, response: ChatResponse) -> None:
        """One vector per text: fewer would be a shortened success."""
        found = response.extra[VECTORS]
        if found != len(request.messages):
            raise UpstreamMalformed(
                f"The provider answered {found} embeddings for {len(request.messages)} texts.", is_billable=True
            )

    def vectors(self, body: bytes) -> list[list[float]]:
        return _vectors(_read(body))

    def encode_vectors(self, vectors: list[list[float]], response: ChatResponse, asked: Fields) -> bytes:
        return _encode({"embeddings": [{"values": vector} for vector in vectors]})

    def rewrite_response(self, body: bytes, response: ChatResponse) -> bytes:
        return body


def _text_of(one: dict[str, Any]) -> str:
    content = one.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    if isinstance(content, str):
        return content
    if not isinstance(parts, list) or not all(isinstance(part, dict) and "text" in part for part in parts):
        raise InvalidRequest("'content' has no parts of text.", param="content")
    return "".join(str(part["text"]) for part in parts)


def _read(body: bytes) -> _Response:
    try:
        return _decode_response(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamMalformed(
            f"The provider's answer is not in the Gemini format: {error}.", is_billable=True
        ) from error


def _vectors(wire: _Response) -> list[list[float]]:
    found = [wire.embedding] if wire.embedding is not None else wire.embeddings
    if not found:
        raise UpstreamMalformed("The provider's answer has no embeddings.", is_billable=True)
    return [vector.values for vector in found]
