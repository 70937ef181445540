"""Gemini's token counting: `POST …:countTokens`. Free at the vendor; elsewhere the gateway answers an estimate."""

from typing import Any, ClassVar
from urllib.parse import quote

import msgspec

from mooring.core.errors import UpstreamMalformed
from mooring.core.messages import ChatRequest, ChatResponse

from . import COUNT, Fields, Kind, WireRequest, gemini_generate


class _Count(msgspec.Struct, rename="camel"):
    total_tokens: int


_decode = msgspec.json.Decoder(_Count).decode
_decode_any = msgspec.json.Decoder().decode


class Codec(gemini_generate.Codec):
    """`POST /v1beta/models/{model}:countTokens`."""

    name: ClassVar[str] = "gemini_count_tokens"
    kind: ClassVar[Kind] = "count"

    def path_of(self, model: str, *, is_stream: bool) -> str:
        return f"/models/{quote(model, safe='/')}:countTokens"

    def decode_request(self, body: bytes, *, model: str | None = None, is_stream: bool = False) -> WireRequest:
        """A request may stand in a field of its own, with its settings."""
        inner = self._inner(body)
        found = super().decode_request(body if inner is None else inner, model=model)
        return found if inner is None else WireRequest(found.request, msgspec.json.decode(body))

    def _inner(self, body: bytes) -> bytes | None:
        try:
            given: Any = _decode_any(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None  # its decoder says what is wrong with it
        names = ("generateContentRequest", "generate_content_request")
        inner = next((given[name] for name in names if name in given), None) if isinstance(given, dict) else None
        return msgspec.json.encode(inner) if isinstance(inner, dict) else None

    def elements(self, fields: Fields) -> tuple[bytes, ...]:
        return ()

    def prepare(self, fields: Fields, *, model: str, is_stream: bool, cap_field: str | None, cap_tokens: int) -> None:
        for name in ("generateContentRequest", "generate_content_request"):
            if isinstance(fields.get(name), dict) and "model" in fields[name]:
                fields[name] = {**fields[name], "model": f"models/{model}"}

    def decode_response(self, body: bytes) -> ChatResponse:
        """The number.

        Raises:
            UpstreamMalformed: there is none.
        """
        try:
            count = _decode(body).total_tokens
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamMalformed(f"The provider's answer is no count: {error}.", is_billable=False) from error
        return ChatResponse(id="", model="", choices=(), extra={COUNT: count})

    def check_answer(self, request: ChatRequest, response: ChatResponse) -> None:
        """A number is an answer."""

    def encode_response(self, response: ChatResponse, asked: Fields) -> bytes:
        return msgspec.json.encode({"totalTokens": response.extra[COUNT]})

    def rewrite_response(self, body: bytes, response: ChatResponse) -> bytes:
        return body
