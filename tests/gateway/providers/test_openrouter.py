"""OpenRouter: one account for many vendors."""

import pytest

from mooring.gateway.config import ProviderConfig
from mooring.gateway.provider import registry


def test_it_is_asked_at_its_own_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "k" * 9)
    vendor = registry.get("openrouter")("openrouter", ProviderConfig(type="openrouter"))
    assert dict(vendor.headers(b"x" * 16))[b"authorization"] == b"Bearer " + b"k" * 9
    assert vendor.endpoint("m", is_stream=True) == "https://openrouter.ai/api/v1/chat/completions"
    assert vendor.cap_field == "max_tokens"
