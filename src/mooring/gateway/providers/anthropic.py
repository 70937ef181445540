"""Anthropic through its OpenAI-compatible address (platform.claude.com, "OpenAI SDK compatibility").

That address ignores `response_format`, `strict`, `seed` and penalties without a word, and tells nothing of its cache.
"""

from ..provider import Vendor


class Provider(Vendor):
    base_url = "https://api.anthropic.com/v1"
    api_key_env = "ANTHROPIC_API_KEY"
    example = "claude-haiku-4-5"
    cap_field = "max_tokens"
    price_provider = "anthropic"
    # Naming any tool adds a system prompt of the vendor's own: 530 tokens where it was the longest (Claude 3 Opus).
    tool_overhead_tokens = 600
