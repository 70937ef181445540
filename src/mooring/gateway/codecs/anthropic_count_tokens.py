"""Anthropic's token counting: `POST /v1/messages/count_tokens`. Free at the vendor, so an answer without a bill.

A count has no canonical type of its own: a request is a chat's, a response is one that holds the number.
Where the target speaks another wire, the gateway answers an estimate itself and says so.
"""

from typing import ClassVar

import msgspec

from mooring.core.errors import UpstreamMalformed
from mooring.core.messages import ChatRequest, ChatResponse

from . import COUNT, Fields, Kind, anthropic_messages


class _Count(msgspec.Struct):
    input_tokens: int


_decode = msgspec.json.Decoder(_Count).decode


class Codec(anthropic_messages.Codec):
    """`POST /v1/messages/count_tokens`."""

    name: ClassVar[str] = "anthropic_count_tokens"
    path: ClassVar[str] = "/messages/count_tokens"
    kind: ClassVar[Kind] = "count"
    needs_cap: ClassVar[bool] = False

    def prepare(self, fields: Fields, *, model: str, is_stream: bool, cap_field: str | None, cap_tokens: int) -> None:
        fields["model"] = model

    def decode_response(self, body: bytes) -> ChatResponse:
        """The number.

        Raises:
            UpstreamMalformed: there is none.
        """
        try:
            count = _decode(body).input_tokens
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamMalformed(f"The provider's answer is no count: {error}.", is_billable=False) from error
        return ChatResponse(id="", model="", choices=(), extra={COUNT: count})

    def check_answer(self, request: ChatRequest, response: ChatResponse) -> None:
        """A number is an answer."""

    def encode_response(self, response: ChatResponse, asked: Fields) -> bytes:
        return msgspec.json.encode({COUNT: response.extra[COUNT]})

    def rewrite_response(self, body: bytes, response: ChatResponse) -> bytes:
        return body
