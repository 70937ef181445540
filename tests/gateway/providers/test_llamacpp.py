"""llama.cpp's server on this machine."""

from mooring.gateway.config import ProviderConfig
from mooring.gateway.provider import registry


def test_it_is_free_and_open_on_loopback() -> None:
    vendor = registry.get("llamacpp")("llamacpp", ProviderConfig(type="llamacpp"))
    assert vendor.is_free
    assert dict(vendor.headers(b"x" * 16)) == {b"content-type": b"application/json"}
    assert vendor.endpoint("m", is_stream=False) == "http://127.0.0.1:8080/v1/chat/completions"


def test_the_output_cap_travels_under_its_older_name() -> None:
    fields = {"model": "m", "max_completion_tokens": 5}
    registry.get("llamacpp")("it", ProviderConfig(type="llamacpp")).patch(fields)
    assert fields == {"model": "m", "max_tokens": 5}
