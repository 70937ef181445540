"""Gemini through its OpenAI-compatible address."""

import pytest

from mooring.gateway.config import ProviderConfig
from mooring.gateway.provider import registry


def test_it_is_asked_where_google_serves_openais_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "k" * 9)
    vendor = registry.get("gemini")("gemini", ProviderConfig(type="gemini"))
    assert dict(vendor.headers(b"x" * 16))[b"authorization"] == b"Bearer " + b"k" * 9
    assert (
        vendor.endpoint("m", is_stream=True)
        == "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions"
    )
    assert vendor.cap_field == "max_tokens"


def test_googles_other_variable_holds_the_key_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    monkeypatch.setenv("GOOGLE_API_KEY", "g" * 9)
    vendor = registry.get("gemini")("gemini", ProviderConfig(type="gemini"))
    assert dict(vendor.headers(b"x" * 16))[b"authorization"] == b"Bearer " + b"g" * 9


def test_fields_that_it_answers_with_400_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    fields = {"model": "m", "store": False, "metadata": {}, "reasoning_effort": "low"}
    registry.get("gemini")("gemini", ProviderConfig(type="gemini")).patch(fields)
    assert fields == {"model": "m", "reasoning_effort": "low"}
