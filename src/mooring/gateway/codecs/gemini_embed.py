"""Gemini's embedding of one text: `POST …:embedContent`."""

from typing import Any, ClassVar

import msgspec

from mooring.core.messages import ChatRequest, ChatResponse

from . import Fields, gemini_batch_embed


class Codec(gemini_batch_embed.Codec):
    """`POST /v1beta/models/{model}:embedContent`."""

    name: ClassVar[str] = "gemini_embed"
    verb: ClassVar[str] = "embedContent"

    def requests_of(self, plain: dict[str, Any]) -> list[dict[str, Any]]:
        return [plain]

    def encode_request(self, request: ChatRequest) -> Fields:
        found: Fields = super().encode_request(request)["requests"][0]
        return found

    def prepare(self, fields: Fields, *, model: str, is_stream: bool, cap_field: str | None, cap_tokens: int) -> None:
        fields["model"] = f"models/{model}"

    def encode_vectors(self, vectors: list[list[float]], response: ChatResponse, asked: Fields) -> bytes:
        return msgspec.json.encode({"embedding": {"values": vectors[0]}})
