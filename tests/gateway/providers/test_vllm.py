"""vLLM on this machine."""

from mooring.gateway.config import ProviderConfig
from mooring.gateway.provider import registry


def test_it_is_free_and_open_on_loopback() -> None:
    vendor = registry.get("vllm")("vllm", ProviderConfig(type="vllm"))
    assert vendor.is_free
    assert dict(vendor.headers(b"x" * 16)) == {b"content-type": b"application/json"}
    assert vendor.endpoint("m", is_stream=False) == "http://127.0.0.1:8000/v1/chat/completions"
