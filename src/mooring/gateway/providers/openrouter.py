"""OpenRouter: one account for many vendors' models, under names such as `anthropic/claude-haiku-4.5`.

Its own `usage.cost` is not read: prices are those of its list, and a dearer route that it takes is not seen.
"""

from ..provider import Vendor


class Provider(Vendor):
    base_url = "https://openrouter.ai/api/v1"
    api_key_env = "OPENROUTER_API_KEY"
    example = "openai/gpt-5-mini"
    cap_field = "max_tokens"
    price_provider = "openrouter"
