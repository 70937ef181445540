"""Google Gemini, by its own generateContent wire; thoughts and prompts of tools are counted beside its totals."""

from ..config import read_secret
from ..provider import Vendor


class Provider(Vendor):
    wire = "gemini_generate"
    embedding_wire = "gemini_batch_embed"
    other_wires = ("gemini_embed", "gemini_count_tokens")
    base_url = "https://generativelanguage.googleapis.com/v1beta"
    api_key_env = "GEMINI_API_KEY"
    other_key_envs = ("GOOGLE_API_KEY",)  # Google's own SDK reads both
    example = "gemini-2.5-flash"
    cap_field = "maxOutputTokens"
    price_provider = "google"

    def authorization(self) -> list[tuple[bytes, bytes]]:
        reference = self.key_reference()
        return [] if reference is None else [(b"x-goog-api-key", read_secret(reference).encode())]
