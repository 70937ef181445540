"""Cohere's embeddings: `POST /v2/embed`. It wants to know what the vectors are for, and nobody's SDK but its own says.

As on OpenAI's wire, a request is one whose messages are its texts, a response one without choices.
"""

from typing import Any, ClassVar

import msgspec

from mooring.core.errors import InvalidRequest, UpstreamMalformed
from mooring.core.messages import ChatRequest, ChatResponse, Message, TextPart
from mooring.core.usage import Usage

from ..rewriting import substituted, substitutions
from . import DIMENSIONS, VECTORS, Fields, WireRequest, openai_embeddings

INPUT_TYPE = "input_type"
DOCUMENT = "search_document"  # what a text is where its caller says nothing: most texts are kept to be found
MOST_INPUTS = 96  # Cohere's own limit
_encode = msgspec.json.encode


class _Request(msgspec.Struct):
    model: str
    texts: list[str]
    output_dimension: int | None = None


class _Embeddings(msgspec.Struct):
    floats: list[list[float]] | None = msgspec.field(default=None, name="float")


class _Billed(msgspec.Struct):
    input_tokens: float | None = None


class _Meta(msgspec.Struct):
    billed_units: _Billed | None = None


class _Response(msgspec.Struct):
    embeddings: _Embeddings | None = None
    meta: _Meta | None = None
    id: str = ""


_decode_request = msgspec.json.Decoder(_Request).decode
_decode_fields = msgspec.json.Decoder(dict[str, Any]).decode
_decode_response = msgspec.json.Decoder(_Response).decode


class Codec(openai_embeddings.Codec):
    """`POST /v2/embed`."""

    name: ClassVar[str] = "cohere_embed"
    path: ClassVar[str] = "/embed"
    own_fields: ClassVar[frozenset[str]] = frozenset({INPUT_TYPE, "truncate"})

    def decode_request(self, body: bytes, *, model: str | None = None, is_stream: bool = False) -> WireRequest:
        """The texts, and the size of the vectors.

        Raises:
            InvalidRequest: no JSON, no model or no texts.
        """
        try:
            fields, wire = _decode_fields(body), _decode_request(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidRequest(f"The body is not a request for embeddings: {error}.") from error
        extra = {name: fields[name] for name in self.own_fields if name in fields}
        if wire.output_dimension is not None:
            extra[DIMENSIONS] = wire.output_dimension
        messages = tuple(Message("user", (TextPart(text),)) for text in wire.texts)
        return WireRequest(ChatRequest(model=wire.model, messages=messages, extra=extra), fields)

    def elements(self, fields: Fields) -> tuple[bytes, ...]:
        return tuple(map(_encode, fields["texts"]))

    def encode_request(self, request: ChatRequest) -> Fields:
        """The texts.

        Raises:
            InvalidRequest: one is given as token ids, or they are more than this wire takes.
        """
        if any(not message.parts for message in request.messages):
            raise InvalidRequest("This model takes texts, no token ids.", hint="Send texts.", param="input")
        if len(request.messages) > MOST_INPUTS:
            raise InvalidRequest(
                f"{len(request.messages):,} texts are more than the {MOST_INPUTS} that Cohere takes at once.",
                hint="Send them in batches.",
                param="input",
            )
        size = request.extra.get(DIMENSIONS)
        own = {name: request.extra[name] for name in sorted(self.own_fields) if name in request.extra}
        return {
            "model": request.model,
            "texts": [message.text for message in request.messages],
            INPUT_TYPE: DOCUMENT,
            "embedding_types": ["float"],
            **({"output_dimension": size} if size is not None else {}),
            **own,
        }

    def rewrite_request(self, fields: Fields, before: ChatRequest, after: ChatRequest) -> None:
        changed = substituted(dict(fields), substitutions(before.messages, after.messages))
        fields.clear()
        fields.update(changed)

    def decode_response(self, body: bytes) -> ChatResponse:
        """The count of vectors, and what was billed.

        Raises:
            UpstreamMalformed: not JSON, or no vectors.
        """
        wire = _read(body)
        billed = wire.meta.billed_units if wire.meta is not None else None
        tokens = billed.input_tokens if billed is not None else None
        usage = Usage(input_tokens=int(tokens)) if tokens is not None and 0 <= tokens < 1e9 else None
        return ChatResponse(id=wire.id, model="", choices=(), usage=usage, extra={VECTORS: len(_vectors(wire))})

    def vectors(self, body: bytes) -> list[list[float]]:
        return _vectors(_read(body))

    def encode_vectors(self, vectors: list[list[float]], response: ChatResponse, asked: Fields) -> bytes:
        billed = {"input_tokens": response.usage.input_tokens if response.usage else 0}
        meta = {"api_version": {"version": "2"}, "billed_units": billed}
        texts = asked.get("texts", [])
        return _encode({"id": response.id, "embeddings": {"float": vectors}, "texts": texts, "meta": meta})

    def is_error(self, body: bytes) -> bool:
        return b'"embeddings"' not in body and b'"message"' in body


def _read(body: bytes) -> _Response:
    try:
        return _decode_response(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamMalformed(
            f"The provider's answer is not in Cohere's format: {error}.", is_billable=True
        ) from error


def _vectors(wire: _Response) -> list[list[float]]:
    found = wire.embeddings.floats if wire.embeddings is not None else None
    if not found:
        raise UpstreamMalformed("The provider's answer has no embeddings.", is_billable=True)
    return found
