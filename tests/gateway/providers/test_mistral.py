"""Mistral knows its own fields only."""

import pytest

from mooring.gateway.config import ProviderConfig
from mooring.gateway.provider import registry


def test_it_is_asked_at_its_own_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISTRAL_API_KEY", "k" * 9)
    vendor = registry.get("mistral")("mistral", ProviderConfig(type="mistral"))
    assert dict(vendor.headers(b"x" * 16))[b"authorization"] == b"Bearer " + b"k" * 9
    assert vendor.endpoint("m", is_stream=True) == "https://api.mistral.ai/v1/chat/completions"
    assert vendor.cap_field == "max_tokens"


def test_fields_are_renamed_or_left_out_where_it_would_answer_422(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISTRAL_API_KEY", "k")
    fields = {"model": "m", "max_completion_tokens": 5, "seed": 7, "store": True, "user": "u", "stream_options": {}}
    registry.get("mistral")("mistral", ProviderConfig(type="mistral")).patch(fields)
    assert fields == {"model": "m", "max_tokens": 5, "random_seed": 7}
