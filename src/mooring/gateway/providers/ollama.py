"""Ollama on this machine. It costs nothing; a prompt longer than its context is cut by Ollama without a word."""

from ..codecs import Fields
from ..provider import Vendor


class Provider(Vendor):
    base_url = "http://127.0.0.1:11434/v1"
    greeting = "Ollama is running"
    is_free = True
    cap_field = "max_tokens"
    media_tokens = 0  # free, whatever it counts

    def patch(self, fields: Fields) -> None:
        if "max_completion_tokens" in fields:  # ignored here; the older name is the documented one
            fields["max_tokens"] = fields.pop("max_completion_tokens")
