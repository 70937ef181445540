"""The OpenAI chat-completions wire.

Read `request.py`, `response.py` and `events.py`; `message.py` serves all three, `errors.py` classifies failures.
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
    """`POST /v1/chat/completions`."""

    name: ClassVar[str] = "openai_chat"
    path: ClassVar[str] = "/chat/completions"
    kind: ClassVar[Kind] = "chat"
    keep_alive: ClassVar[bytes] = b": keep-alive\n\n"
    is_stateful: ClassVar[bool] = False
    cannot_carry: ClassVar[frozenset[Feature]] = frozenset(
        {
            "images by file id",
            "images in s3",
            "audio in s3",
            "files in s3",
            "audio by url",
            "audio by file id",
            "files by url",
            "files by file id",
            "media in tool results",
            "vendor tools",
        }
    )
    leaves_out: ClassVar[frozenset[Feature]] = frozenset(
        {"thinking", "tool call signatures", "cache marks", "failed tool results"}
    )
    own_hints: ClassVar[frozenset[str]] = frozenset(
        {"safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier", "store"}
    )
    no_text: ClassVar[Opaque | None] = Opaque(
        tokens=frozenset(
            {"id", "type", "role", "model", "object", "tool_call_id", "file_id", "finish_reason", "service_tier"}
            | {"reasoning_effort", "verbosity", "detail", "format", "voice", "system_fingerprint", "obfuscation"}
        ),
        free=frozenset({"arguments", "metadata", "parameters", "schema"}),
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
        request.prepare(fields, model=model, is_stream=is_stream, cap_field=cap_field, cap_tokens=cap_tokens)

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
        return events.Encoder(wants_usage=wants_usage)

    def without_usage(self, data: bytes) -> bytes | None:
        return events.without_usage(data)

    def decode_error(self, status: int, headers: ReadsHeaders, body: bytes) -> Failure:
        return errors.decode_error(status, headers, body)

    def encode_error(self, error: MooringError, *, message: str | None = None, code: str | None = None) -> bytes:
        return errors.encode_error(error, message=message, code=code)

    def encode_event(self, data: bytes) -> bytes:
        return events.sse(data)

    def encode_stream_error(self, error: MooringError, *, message: str | None = None, code: str | None = None) -> bytes:
        return events.sse(errors.encode_error(error, message=message, code=code))
