"""vLLM on this machine: OpenAI-compatible; it costs nothing."""

from ..provider import Vendor


class Provider(Vendor):
    base_url = "http://127.0.0.1:8000/v1"
    owned_by = "vllm"
    is_free = True
    cap_field = "max_tokens"
    media_tokens = 0  # free, whatever it counts
