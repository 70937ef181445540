"""Google Gemini through its OpenAI-compatible address (ai.google.dev, "OpenAI compatibility")."""

from ..codecs import Fields
from ..provider import Vendor


class Provider(Vendor):
    base_url = "https://generativelanguage.googleapis.com/v1beta/openai"
    api_key_env = "GEMINI_API_KEY"
    other_key_envs = ("GOOGLE_API_KEY",)  # Google's own SDK reads both
    example = "gemini-2.5-flash"
    cap_field = "max_tokens"
    price_provider = "google"

    def patch(self, fields: Fields) -> None:
        for name in ("store", "metadata"):  # OpenAI's own log and its labels: an unknown name is a 400 here
            fields.pop(name, None)
