"""Mistral: OpenAI-compatible, and answers 422 to every field that it does not know."""

from ..codecs import Fields
from ..provider import Vendor

# What OpenAI's clients send beside the question: Mistral has no such thing, and the answer is the same without it.
_UNKNOWN = ("store", "user", "metadata", "stream_options", "service_tier", "safety_identifier", "prompt_cache_key")


class Provider(Vendor):
    base_url = "https://api.mistral.ai/v1"
    api_key_env = "MISTRAL_API_KEY"
    example = "mistral-small-latest"
    cap_field = "max_tokens"
    price_provider = "mistral"

    def patch(self, fields: Fields) -> None:
        for name in _UNKNOWN:  # `stream_options` too: usage comes with the last event in any case
            fields.pop(name, None)
        if "max_completion_tokens" in fields:  # the older name is the documented one
            fields["max_tokens"] = fields.pop("max_completion_tokens")
        if "seed" in fields:  # the same thing under another name
            fields["random_seed"] = fields.pop("seed")
