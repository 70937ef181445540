"""llama.cpp's server on this machine: OpenAI-compatible; it costs nothing."""

from ..codecs import Fields
from ..provider import Vendor


class Provider(Vendor):
    base_url = "http://127.0.0.1:8080/v1"
    owned_by = "llamacpp"
    is_free = True
    cap_field = "max_tokens"
    media_tokens = 0  # free, whatever it counts

    def patch(self, fields: Fields) -> None:
        if "max_completion_tokens" in fields:  # builds before 2025 know the older name only
            fields["max_tokens"] = fields.pop("max_completion_tokens")
