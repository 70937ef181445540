"""DeepSeek: OpenAI-compatible; it counts cache hits in a field of its own, which the wire's codec reads."""

from ..codecs import Fields
from ..provider import Vendor


class Provider(Vendor):
    embedding_wire = None
    base_url = "https://api.deepseek.com/v1"
    api_key_env = "DEEPSEEK_API_KEY"
    example = "deepseek-chat"
    cap_field = "max_tokens"
    price_provider = "deepseek"

    def patch(self, fields: Fields) -> None:
        if "max_completion_tokens" in fields:  # the older name is the documented one
            fields["max_tokens"] = fields.pop("max_completion_tokens")
