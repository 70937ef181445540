"""DeepSeek: the older name of the output cap."""

import pytest

from mooring.gateway.config import ProviderConfig
from mooring.gateway.provider import registry


def test_it_is_asked_at_its_own_address_with_the_older_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "k" * 9)
    vendor = registry.get("deepseek")("deepseek", ProviderConfig(type="deepseek"))
    assert dict(vendor.headers(b"x" * 16))[b"authorization"] == b"Bearer " + b"k" * 9
    assert vendor.endpoint("m", is_stream=True) == "https://api.deepseek.com/v1/chat/completions"
    assert vendor.cap_field == "max_tokens"
    fields = {"model": "m", "max_completion_tokens": 5}
    vendor.patch(fields)
    assert fields == {"model": "m", "max_tokens": 5}
