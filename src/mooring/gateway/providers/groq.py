"""Groq: OpenAI-compatible; it answers 400 to `logprobs`, `logit_bias`, names of messages, and more than one choice."""

from ..provider import Vendor


class Provider(Vendor):
    base_url = "https://api.groq.com/openai/v1"
    api_key_env = "GROQ_API_KEY"
    example = "llama-3.3-70b-versatile"
    price_provider = "groq"
