"""Anthropic by its own wire."""

import pytest

from mooring.gateway.config import ProviderConfig
from mooring.gateway.provider import registry


def test_it_authorises_with_its_own_header_and_bounds_what_a_tool_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k" * 9)
    vendor = registry.get("anthropic")("anthropic", ProviderConfig(type="anthropic"))
    assert dict(vendor.headers(b"x" * 16))[b"x-api-key"] == b"k" * 9
    assert vendor.endpoint("m", is_stream=True) == "https://api.anthropic.com/v1/messages"
    assert vendor.cap_field == "max_tokens"
    assert vendor.tool_overhead_tokens >= 530
