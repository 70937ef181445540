"""The OpenAI embeddings wire: `POST /v1/embeddings`. Errors and framing are those of the chat wire.

An embedding has no canonical type of its own: a request is one whose messages are its inputs (an input of token ids is
a message without text, which no guard can read), a response is one without choices. So attempts, ledger, keys and
guards serve it as they serve chat.
"""

import struct
from typing import Any, ClassVar

import msgspec

from mooring.core.errors import InvalidRequest, UpstreamMalformed
from mooring.core.messages import ChatRequest, ChatResponse, Message, TextPart
from mooring.core.vectors import decode_vector, encode_vector
from mooring.guardrails.rest import Opaque

from . import DIMENSIONS, VECTORS, Fields, Kind, WireRequest, openai_chat
from .openai_chat.response import WireUsage, trusted_usage

MOST_INPUTS = 2048  # OpenAI's own limit
_CARRIED = (DIMENSIONS, "input_type", "truncate")  # the last two are Cohere's, which no other wire has

_encode = msgspec.json.encode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode


class _Vector(msgspec.Struct):
    embedding: msgspec.Raw
    index: int | None = None


class _Response(msgspec.Struct):
    data: list[_Vector] | None = None
    model: str | None = None
    usage: WireUsage | None = None


_decode_response = msgspec.json.Decoder(_Response).decode


class Codec(openai_chat.Codec):
    """`POST /v1/embeddings`."""

    name: ClassVar[str] = "openai_embeddings"
    path: ClassVar[str] = "/embeddings"
    kind: ClassVar[Kind] = "embedding"
    no_text: ClassVar[Opaque | None] = None

    def decode_request(self, body: bytes, *, model: str | None = None, is_stream: bool = False) -> WireRequest:
        """Model, user and inputs; every field stays as it came.

        Raises:
            InvalidRequest: no JSON object, no model, or an input that is neither texts nor token ids.
        """
        try:
            fields: Fields = dict(_decode_fields(body))
            given: dict[str, Any] = {
                name: _decode_any(fields[name]) for name in ("model", "user", "input", *_CARRIED) if name in fields
            }
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidRequest(f"The body is not a JSON object: {error}.") from error
        model, user = given.get("model"), given.get("user")
        if not isinstance(model, str) or not model:
            raise InvalidRequest("The request names no model.", hint="Add model.", param="model")
        messages = tuple(Message("user", (TextPart(text),) if text is not None else ()) for text in _inputs(given))
        extra = {name: given[name] for name in _CARRIED if name in given}
        request = ChatRequest(model=model, messages=messages, user=user if isinstance(user, str) else None, extra=extra)
        return WireRequest(request, fields)

    def elements(self, fields: Fields) -> tuple[bytes, ...]:
        given = _decode_any(_encode(fields["input"]))
        return tuple(_encode(each) for each in given) if _is_many(given) else (_encode(given),)

    def encode_request(self, request: ChatRequest) -> Fields:
        size = request.extra.get(DIMENSIONS)
        texts = [message.text for message in request.messages]
        return {"model": request.model, "input": texts, **({DIMENSIONS: size} if size is not None else {})}

    def rewrite_request(self, fields: Fields, before: ChatRequest, after: ChatRequest) -> None:
        if after.messages == before.messages:
            return
        given = _decode_any(_encode(fields["input"]))
        is_many = _is_many(given)
        old = given if is_many else [given]
        new = [message.text if message.parts else kept for message, kept in zip(after.messages, old, strict=True)]
        fields["input"] = new if is_many else new[0]

    def prepare(self, fields: Fields, *, model: str, is_stream: bool, cap_field: str | None, cap_tokens: int) -> None:
        fields["model"] = model

    def decode_response(self, body: bytes) -> ChatResponse:
        """The count of vectors and the usage; the vectors themselves pass through.

        Raises:
            UpstreamMalformed: not JSON, no vectors, or not in the inputs' order.
        """
        try:
            wire = _decode_response(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamMalformed(
                f"The provider's answer is not in the OpenAI format: {error}.", is_billable=True
            ) from error
        if not wire.data or any(each.index not in (None, place) for place, each in enumerate(wire.data)):
            raise UpstreamMalformed(
                "The provider's answer has no embeddings, or not in the order of the inputs.", is_billable=True
            )
        extra = {VECTORS: len(wire.data)}
        return ChatResponse(id="", model=wire.model or "", choices=(), usage=trusted_usage(wire.usage), extra=extra)

    def vectors(self, body: bytes) -> list[list[float]]:
        return [decode_vector(_decode_any(each.embedding)).tolist() for each in _decode_response(body).data or ()]

    def encode_vectors(self, vectors: list[list[float]], response: ChatResponse, asked: Fields) -> bytes:
        is_base64 = _decode_any(_encode(asked.get("encoding_format"))) == "base64"
        data = [
            {"object": "embedding", "index": place, "embedding": packed(vector) if is_base64 else vector}
            for place, vector in enumerate(vectors)
        ]
        used = response.usage.input_tokens if response.usage else 0
        usage = {"prompt_tokens": used, "total_tokens": used}
        fields = {"object": "list", "data": data, "model": response.model, "usage": usage}
        return _encode({"id": response.id, **fields})  # Mistral's clients want an id

    def check_answer(self, request: ChatRequest, response: ChatResponse) -> None:
        """One vector per input: fewer would be a shortened success."""
        found = response.extra[VECTORS]
        if found != len(request.messages):
            raise UpstreamMalformed(
                f"The provider answered {found} embeddings for {len(request.messages)} inputs.", is_billable=True
            )


def packed(vector: list[float]) -> str:
    """In base64."""
    return encode_vector(struct.pack(f"<{len(vector)}f", *vector))


def _inputs(given: dict[str, Any]) -> list[str | None]:
    """The inputs' texts; None for an input of token ids.

    Raises:
        InvalidRequest: there is none, there are too many, or it is something else.
    """
    asked = given.get("input")
    inputs = asked if _is_many(asked) else [asked]
    if not inputs or not all(isinstance(each, str) or _is_token_ids(each) for each in inputs):
        raise InvalidRequest(
            "'input' is neither a text, a list of texts, nor token ids.", hint="Send a text or texts.", param="input"
        )
    if len(inputs) > MOST_INPUTS:
        raise InvalidRequest(
            f"{len(inputs):,} inputs are more than {MOST_INPUTS:,}.", hint="Send them in batches.", param="input"
        )
    return [each if isinstance(each, str) else None for each in inputs]


def _is_many(given: object) -> bool:
    """Whether it is a list of inputs, and not one input of token ids."""
    return isinstance(given, list) and not _is_token_ids(given)


def _is_token_ids(given: object) -> bool:
    return isinstance(given, list) and bool(given) and all(type(each) is int for each in given)
