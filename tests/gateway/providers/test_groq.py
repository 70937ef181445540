"""Groq takes the newer cap."""

import pytest

from mooring.gateway.config import ProviderConfig
from mooring.gateway.provider import registry


def test_it_is_asked_below_its_openai_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "k" * 9)
    vendor = registry.get("groq")("groq", ProviderConfig(type="groq"))
    assert dict(vendor.headers(b"x" * 16))[b"authorization"] == b"Bearer " + b"k" * 9
    assert vendor.endpoint("m", is_stream=True) == "https://api.groq.com/openai/v1/chat/completions"
    assert vendor.cap_field == "max_completion_tokens"
