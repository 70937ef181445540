"""OpenAI: the key from the environment, the newer cap, a client's own request id."""

import pytest

from mooring.core import ids
from mooring.core.errors import ConfigError
from mooring.gateway.config import ProviderConfig
from mooring.gateway.provider import registry


def test_it_authorises_and_names_each_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k" * 9)
    vendor = registry.get("openai")("openai", ProviderConfig(type="openai"))
    attempt = ids.new_id()
    headers = dict(vendor.headers(attempt))
    assert headers[b"authorization"] == b"Bearer " + b"k" * 9
    assert headers[b"x-client-request-id"].decode() == ids.show("att", attempt)
    assert b"x-mooring-attempt" not in headers
    assert vendor.endpoint("gpt-5-mini", is_stream=True) == "https://api.openai.com/v1/chat/completions"
    assert vendor.cap_field == "max_completion_tokens"


def test_a_key_of_moorings_own_is_never_sent_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "mr_" + "a" * 84)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY holds a key of Mooring's own"):
        registry.get("openai")("openai", ProviderConfig(type="openai"))
