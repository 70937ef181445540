"""The OpenAI responses wire: the conversations that it keeps are the journal's calls, whoever answers them.

Read `request.py`, `response.py` and `events.py`; `items.py` serves all three. Errors are those of the chat wire.
"""

from typing import ClassVar

import msgspec

from mooring.core import ids
from mooring.core.errors import MooringError
from mooring.core.messages import ChatRequest, ChatResponse
from mooring.guardrails.rest import Opaque

from ...fidelity import Feature
from .. import Fields, Kind, WireRequest, openai_chat
from . import events, request, response

__all__ = ["Codec"]


class Codec(openai_chat.Codec):
    """`POST /v1/responses`."""

    name: ClassVar[str] = "openai_responses"
    names_events: ClassVar[bool] = True
    path: ClassVar[str] = "/responses"
    kind: ClassVar[Kind] = "chat"
    is_stateful: ClassVar[bool] = True
    id_prefix: ClassVar[ids.Prefix | None] = "resp"
    cannot_carry: ClassVar[frozenset[Feature]] = frozenset(
        {
            "inline audio",
            "audio by url",
            "audio by file id",
            "images in s3",
            "audio in s3",
            "files in s3",
            "seed",
            "stop",
            "several answers",
            "vendor tools",
        }
    )
    leaves_out: ClassVar[frozenset[Feature]] = frozenset(
        {"unsigned thinking", "tool call signatures", "cache marks", "failed tool results", "names of participants"}
    )
    own_hints: ClassVar[frozenset[str]] = frozenset(
        {
            "client_metadata",
            "include",
            "prompt_cache_key",
            "prompt_cache_retention",
            "safety_identifier",
            "service_tier",
            "store",
            "stream_options",
        }
    )
    no_text: ClassVar[Opaque | None] = Opaque(
        tokens=frozenset(
            {"id", "type", "role", "model", "object", "status", "call_id", "item_id", "response_id", "event_id"}
            | {"previous_response_id", "file_id", "encrypted_content", "service_tier", "effort", "detail"}
            | {"truncation", "obfuscation"}
        ),
        free=frozenset({"metadata", "parameters", "schema"}),
    )

    def decode_request(self, body: bytes, *, model: str | None = None, is_stream: bool = False) -> WireRequest:
        return request.decode_request(body)

    def elements(self, fields: Fields) -> tuple[bytes, ...]:
        return request.elements(fields)

    def encode_request(self, request_: ChatRequest) -> Fields:
        return request.encode_request(request_)

    def rewrite_request(self, fields: Fields, before: ChatRequest, after: ChatRequest) -> None:
        request.rewrite_request(fields, before, after)

    def decode_response(self, body: bytes) -> ChatResponse:
        return response.decode_response(body)

    def encode_response(self, response_: ChatResponse, asked: Fields) -> bytes:
        return response.encode_response(response_, asked)

    def rewrite_response(self, body: bytes, response_: ChatResponse) -> bytes:
        return response.rewrite_response(body, response_)

    def is_error(self, body: bytes) -> bool:
        return response.is_error(body)

    def prepare(self, fields: Fields, *, model: str, is_stream: bool, cap_field: str | None, cap_tokens: int) -> None:
        request.prepare(fields, model=model, cap_tokens=cap_tokens if cap_field is not None else None)

    def named(self, data: bytes, asked: Fields, name: str) -> bytes:
        return response.named(data, asked, name)

    def without_usage(self, data: bytes) -> bytes | None:
        return data

    def encode_event(self, data: bytes) -> bytes:
        return events.sse(msgspec.json.decode(data).get("type", "message"), data)

    def decoder(self) -> events.Decoder:  # type: ignore[override]
        return events.Decoder()

    def encoder(self, *, wants_usage: bool, asked: Fields) -> events.Encoder:  # type: ignore[override]
        return events.Encoder(asked)

    def encode_stream_error(self, error: MooringError, *, message: str | None = None, code: str | None = None) -> bytes:
        told = {"code": code or error.code, "message": message or str(error), "param": error.param}
        return events.sse("error", msgspec.json.encode({"type": "error", **told, "error": told}))
