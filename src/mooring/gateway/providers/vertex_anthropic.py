"""Claude in a Google Cloud project: Anthropic's wire, with the model in the address and the version in the body."""

from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import quote

from ..codecs import Codec, Fields, ReadsHeaders
from ..vertex import VertexVendor


class Provider(VertexVendor):
    publisher = "anthropic"
    wire = "anthropic_messages"
    embedding_wire = None
    cap_field = "max_tokens"
    price_provider = "google"
    passed_headers: ClassVar[Mapping[bytes, bytes | None]] = {b"anthropic-beta": None}
    tool_overhead_tokens = 600  # as at Anthropic itself, and so is the largest image
    media_tokens = 5_000

    def endpoint(self, model: str, *, is_stream: bool, codec: Codec | None = None) -> str:
        verb = "streamRawPredict" if is_stream else "rawPredict"
        return f"{self._base}/models/{quote(model, safe='@')}:{verb}"

    def patch(self, fields: Fields) -> None:
        fields.pop("model", None)  # refused: the address names it
        fields["anthropic_version"] = "vertex-2023-10-16"  # the only one there is

    def request_id(self, headers: ReadsHeaders) -> str | None:
        return headers.get("request-id") or headers.get("x-request-id")
