"""The wire of AWS Bedrock's Converse and ConverseStream: one shape for the models of many vendors.

Read `request.py`, `response.py` and `events.py`; `message.py` and `media.py` serve all three. Streams are
binary frames.
"""

from typing import ClassVar
from urllib.parse import quote

import msgspec

from mooring.core.errors import MooringError
from mooring.core.messages import ChatRequest, ChatResponse

from ...fidelity import Feature
from .. import BaseCodec, Failure, Fields, Kind, ReadsHeaders, WireRequest
from . import errors, events, request, response

__all__ = ["Codec"]


class Codec(BaseCodec):
    """`POST /model/{model}/converse`."""

    name: ClassVar[str] = "bedrock_converse"
    path: ClassVar[str] = "/model/{model}/converse"
    kind: ClassVar[Kind] = "chat"
    keep_alive: ClassVar[bytes] = b""
    is_text: ClassVar[bool] = False
    own_fields: ClassVar[frozenset[str]] = request.OWN_FIELDS
    cannot_carry: ClassVar[frozenset[Feature]] = frozenset(
        {
            "images by url",
            "images by file id",
            "audio by url",
            "audio by file id",
            "files by url",
            "files by file id",
            "vendor tools",
            "no parallel tools",
            "tools forbidden after calls",
            "calls without tools",
            "json output",
            "seed",
            "several answers",
        }
    )
    leaves_out: ClassVar[frozenset[Feature]] = frozenset(
        {
            "tools forbidden",  # what may not be used need not be offered
            "unsigned thinking",
            "tool call signatures",
            "names of participants",
            "image detail",
            "user",
            "metadata",
        }
    )

    def path_of(self, model: str, *, is_stream: bool) -> str:
        """An ARN is one segment of the path: its colons and slashes are encoded."""
        return f"/model/{quote(model, safe='')}/{'converse-stream' if is_stream else 'converse'}"

    def decode_request(self, body: bytes, *, model: str | None = None, is_stream: bool = False) -> WireRequest:
        return request.decode_request(body, model=model, is_stream=is_stream)

    def elements(self, fields: Fields) -> tuple[bytes, ...]:
        given = fields["messages"]
        turns = msgspec.json.decode(given) if isinstance(given, msgspec.Raw) else given
        return tuple(map(msgspec.json.encode, turns))

    def encode_request(self, request_: ChatRequest) -> Fields:
        return request.encode_request(request_)

    def rewrite_request(self, fields: Fields, before: ChatRequest, after: ChatRequest) -> None:
        request.rewrite_request(fields, before, after)

    def prepare(self, fields: Fields, *, model: str, is_stream: bool, cap_field: str | None, cap_tokens: int) -> None:
        request.prepare(fields, cap_tokens=cap_tokens if cap_field is not None else None)

    def decode_response(self, body: bytes) -> ChatResponse:
        return response.decode_response(body)

    def encode_response(self, response_: ChatResponse, asked: Fields) -> bytes:
        return response.encode_response(response_)

    def rewrite_response(self, body: bytes, response_: ChatResponse) -> bytes:
        return response.rewrite_response(body, response_)

    def is_error(self, body: bytes) -> bool:
        return response.is_error(body)

    def framing(self, limit_bytes: int) -> events.Framing:
        return events.Framing(limit_bytes)

    def decoder(self) -> events.Decoder:
        return events.Decoder()

    def encoder(self, *, wants_usage: bool, asked: Fields) -> events.Encoder:
        return events.Encoder()

    def without_usage(self, data: bytes) -> bytes | None:
        return data  # whoever speaks this wire always gets it

    def decode_error(self, status: int, headers: ReadsHeaders, body: bytes) -> Failure:
        return errors.decode_error(status, headers, body)

    def encode_error(self, error: MooringError, *, message: str | None = None, code: str | None = None) -> bytes:
        return errors.encode_error(error, message=message)

    def encode_event(self, data: bytes) -> bytes:
        return events.framed(data)

    def encode_stream_error(self, error: MooringError, *, message: str | None = None, code: str | None = None) -> bytes:
        return events.exception(error.status, message or str(error))

    def encode_comment(self, text: str) -> bytes:
        return b""
