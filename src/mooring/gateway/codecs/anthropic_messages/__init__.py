"""The Anthropic messages wire.

Read `request.py`, `response.py` and `events.py`; `message.py` serves all three, `errors.py` has the shape of failures.
"""

from typing import ClassVar

from mooring.core.errors import MooringError
from mooring.core.messages import ChatRequest, ChatResponse
from mooring.guardrails.rest import Opaque

from ...fidelity import Feature
from .. import BaseCodec, Failure, Fields, Kind, ReadsHeaders, WireRequest
from . import errors, events, request, response

__all__ = ["Codec"]


class Codec(BaseCodec):
    """`POST /v1/messages`."""

    name: ClassVar[str] = "anthropic_messages"
    names_events: ClassVar[bool] = True
    path: ClassVar[str] = "/messages"
    kind: ClassVar[Kind] = "chat"
    keep_alive: ClassVar[bytes] = b'event: ping\ndata: {"type": "ping"}\n\n'
    needs_cap: ClassVar[bool] = True
    cannot_carry: ClassVar[frozenset[Feature]] = frozenset(
        {
            "inline audio",
            "audio by url",
            "audio by file id",
            "images by file id",
            "images in s3",
            "audio in s3",
            "files in s3",
            "files by file id",
            "seed",
            "several answers",
            "json output",
            "vendor tools",
        }
    )
    leaves_out: ClassVar[frozenset[Feature]] = frozenset(
        {"unsigned thinking", "tool call signatures", "names of participants", "image detail", "metadata"}
    )
    own_hints: ClassVar[frozenset[str]] = frozenset(
        {"cache_control", "cache_ttl", "context_management", "diagnostics", "inference_geo", "service_tier", "speed"}
    )
    no_text: ClassVar[Opaque | None] = Opaque(
        tokens=frozenset(
            {"id", "type", "role", "model", "tool_use_id", "file_id", "media_type", "stop_reason", "service_tier"}
            | {"signature", "encrypted_content", "encrypted_index", "ttl"}
        ),
        encoded={"data": frozenset({"base64", "redacted_thinking"})},
        free=frozenset({"input", "input_schema", "metadata"}),
    )

    def decode_request(self, body: bytes, *, model: str | None = None, is_stream: bool = False) -> WireRequest:
        return request.decode_request(body)

    def elements(self, fields: Fields) -> tuple[bytes, ...]:
        return request.elements(fields)

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
