"""Together: OpenAI-compatible, with open models under their owners' names, such as `openai/gpt-oss-120b`."""

from ..codecs import Fields
from ..provider import Vendor


class Provider(Vendor):
    base_url = "https://api.together.ai/v1"
    api_key_env = "TOGETHER_API_KEY"
    example = "openai/gpt-oss-120b"
    cap_field = "max_tokens"
    price_provider = "together"

    def patch(self, fields: Fields) -> None:
        if "max_completion_tokens" in fields:  # the older name is the documented one
            fields["max_tokens"] = fields.pop("max_completion_tokens")
