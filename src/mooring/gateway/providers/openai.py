"""OpenAI: takes a client's own id for a request, with which its support finds it."""

from mooring.core import ids

from ..provider import Vendor


class Provider(Vendor):
    base_url = "https://api.openai.com/v1"
    api_key_env = "OPENAI_API_KEY"
    example = "gpt-5-mini"
    price_provider = "openai"
    # The dearest inline image: 5,667 tokens a tile and 2,833 more at gpt-4o-mini's multiplier, eight tiles.
    media_tokens = 50_000
    free_models = ("omni-moderation", "text-moderation")

    def headers(self, attempt_id: bytes) -> list[tuple[bytes, bytes]]:
        return [*super().headers(attempt_id), (b"x-client-request-id", ids.show("att", attempt_id).encode())]
