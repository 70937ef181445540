"""The built-in models cost nothing and need no key."""

from mooring.gateway.config import ProviderConfig
from mooring.gateway.provider import registry


def test_it_is_free_and_open_on_loopback() -> None:
    vendor = registry.get("local")("local", ProviderConfig(type="local", base_url="http://127.0.0.1:1/v1"))
    assert vendor.is_free
    assert dict(vendor.headers(b"x" * 16)) == {b"content-type": b"application/json"}
