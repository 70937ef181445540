"""Cohere: chat by its OpenAI-compatible address, vectors and rerank by its own, all on one host."""

from ..codecs import Codec, Fields
from ..provider import Vendor

# What its compatible address lists as not supported, and no answer depends on; it refuses `stream_options`.
_UNKNOWN = ("store", "user", "metadata", "service_tier", "stream_options", "safety_identifier", "prompt_cache_key")


class Provider(Vendor):
    embedding_wire = "cohere_embed"
    other_wires = ("cohere_rerank",)
    base_url = "https://api.cohere.com"
    api_key_env = "COHERE_API_KEY"
    other_key_envs = ("CO_API_KEY",)  # Cohere's own SDK reads it
    example = "command-a-03-2025"
    cap_field = "max_tokens"
    price_provider = "cohere"

    def endpoint(self, model: str, *, is_stream: bool, codec: Codec | None = None) -> str:
        asked = codec or self.codec
        root = "/v2" if asked.name.startswith("cohere_") else "/compatibility/v1"
        return self._base + root + asked.path_of(model, is_stream=is_stream)

    def patch(self, fields: Fields) -> None:
        for name in _UNKNOWN:
            fields.pop(name, None)
        if "max_completion_tokens" in fields:  # the older name is the documented one
            fields["max_tokens"] = fields.pop("max_completion_tokens")
