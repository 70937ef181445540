"""The simulated provider is told which attempt it serves."""

from mooring.core import ids
from mooring.gateway.config import ProviderConfig
from mooring.gateway.provider import registry


def test_every_attempt_carries_its_id() -> None:
    vendor = registry.get("sim")("sim", ProviderConfig(type="sim", base_url="http://127.0.0.1:1/v1"))
    attempt = ids.new_id()
    assert dict(vendor.headers(attempt))[b"x-mooring-attempt"].decode() == ids.show("att", attempt)
