"""The Gemini wire: generateContent and streamGenerateContent.

Read `request.py`, `response.py` and `events.py`; `message.py` serves all three, `errors.py` has the shape of failures.
"""

from typing import ClassVar
from urllib.parse import quote

import msgspec

from mooring.core.errors import MooringError
from mooring.core.messages import ChatRequest, ChatResponse
from mooring.guardrails.rest import Opaque

from ...fidelity import Feature
from .. import BaseCodec, Failure, Fields, Kind, ReadsHeaders, WireRequest
from . import errors, events, request, response

__all__ = ["Codec"]


class Codec(BaseCodec):
    """`POST /v1beta/models/{model}:generateContent`."""

    name: ClassVar[str] = "gemini_generate"
    path: ClassVar[str] = "/models/{model}:generateContent"
    kind: ClassVar[Kind] = "chat"
    keep_alive: ClassVar[bytes] = b""  # its clients take a comment for an error
    ends_with_finish: ClassVar[bool] = True
    is_stateful: ClassVar[bool] = False
    cannot_carry: ClassVar[frozenset[Feature]] = frozenset(
        {
            "images by file id",
            "images in s3",
            "audio in s3",
            "files in s3",
            "audio by file id",
            "files by file id",
            "media in tool results",
            "later system turns",
            "vendor tools",
        }
    )
    held_here: ClassVar[frozenset[Feature]] = frozenset({"no parallel tools"})
    leaves_out: ClassVar[frozenset[Feature]] = frozenset(
        {
            "thinking",
            "cache marks",
            "names of participants",
            "image detail",
            "strict tools",
            "user",
            "metadata",
        }
    )
    own_hints: ClassVar[frozenset[str]] = frozenset({"safetySettings", "labels"})
    no_text: ClassVar[Opaque | None] = Opaque(
        tokens=frozenset(
            {"id", "role", "model", "mimeType", "mime_type", "thoughtSignature", "thought_signature", "finishReason"}
            | {"modelVersion", "responseId", "category", "threshold", "probability", "mode"}
        ),
        free=frozenset({"args", "response", "parameters", "parametersJsonSchema", "responseSchema", "labels"}),
    )

    def path_of(self, model: str, *, is_stream: bool) -> str:
        verb = "streamGenerateContent?alt=sse" if is_stream else "generateContent"
        return f"/models/{quote(model, safe='/')}:{verb}"

    def decode_request(self, body: bytes, *, model: str | None = None, is_stream: bool = False) -> WireRequest:
        return request.decode_request(body, model=model, is_stream=is_stream)

    def elements(self, fields: Fields) -> tuple[bytes, ...]:
        contents = fields["contents"]
        given = msgspec.json.decode(contents) if isinstance(contents, msgspec.Raw) else contents
        return tuple(map(msgspec.json.encode, given if isinstance(given, list) else [given]))

    def encode_request(self, request_: ChatRequest) -> Fields:
        return request.encode_request(request_)

    def rewrite_request(self, fields: Fields, before: ChatRequest, after: ChatRequest) -> None:
        request.rewrite_request(fields, before, after)

    def prepare(self, fields: Fields, *, model: str, is_stream: bool, cap_field: str | None, cap_tokens: int) -> None:
        request.prepare(fields, model=model, cap_tokens=cap_tokens if cap_field is not None else None)

    def decode_response(self, body: bytes) -> ChatResponse:
        return response.decode_response(body)

    def encode_response(self, response_: ChatResponse, asked: Fields) -> bytes:
        return response.encode_response(response_)

    def rewrite_response(self, body: bytes, response_: ChatResponse) -> bytes:
        return response.rewrite_response(body, response_)

    def is_error(self, body: bytes) -> bool:
        return response.is_error(body)

    def decoder(self) -> events.Decoder:
        return events.Decoder()

    def encoder(self, *, wants_usage: bool, asked: Fields) -> events.Encoder:
        return events.Encoder()

    def without_usage(self, data: bytes) -> bytes | None:
        return data  # whoever speaks this wire always gets it

    def decode_error(self, status: int, headers: ReadsHeaders, body: bytes) -> Failure:
        return errors.decode_error(status, headers, body)

    def encode_error(self, error: MooringError, *, message: str | None = None, code: str | None = None) -> bytes:
        return errors.encode_error(error, message=message, code=code)

    def encode_event(self, data: bytes) -> bytes:
        return events.sse(data)

    def encode_stream_error(self, error: MooringError, *, message: str | None = None, code: str | None = None) -> bytes:
        return events.sse(errors.encode_error(error, message=message, code=code))

    def encode_comment(self, text: str) -> bytes:
        return b""
