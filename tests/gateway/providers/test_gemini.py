"""Google Gemini by its own wire."""

import pytest

from mooring.gateway.codecs import registry as codecs
from mooring.gateway.config import ProviderConfig
from mooring.gateway.provider import registry


def test_it_authorises_with_its_own_header_and_names_the_model_in_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    monkeypatch.setenv("GOOGLE_API_KEY", "k" * 9)
    vendor = registry.get("gemini")("gemini", ProviderConfig(type="gemini"))
    assert dict(vendor.headers(b"x" * 16))[b"x-goog-api-key"] == b"k" * 9
    base = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash"
    assert vendor.endpoint("gemini-2.5-flash", is_stream=False) == f"{base}:generateContent"
    assert vendor.endpoint("gemini-2.5-flash", is_stream=True) == f"{base}:streamGenerateContent?alt=sse"
    embed = vendor.codec_for(codecs.get("openai_embeddings")())
    assert vendor.endpoint("gemini-2.5-flash", is_stream=False, codec=embed) == f"{base}:batchEmbedContents"


def test_before_the_third_generation_an_effort_is_a_budget() -> None:
    codec = codecs.get("gemini_generate")()
    for model, expected in (("gemini-2.5-flash", {"thinkingBudget": 1024}), ("gemini-3-pro", {"thinkingLevel": "low"})):
        fields = {"generationConfig": {"thinkingConfig": {"thinkingLevel": "low"}}}
        codec.prepare(fields, model=model, is_stream=False, cap_field=None, cap_tokens=0)
        assert fields["generationConfig"]["thinkingConfig"] == expected
