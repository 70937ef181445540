"""OpenAI-compatible servers: the older name of the output cap, on every body."""

import msgspec
import pytest

from mooring.core.errors import ConfigError
from mooring.gateway.config import ProviderConfig
from mooring.gateway.provider import registry


def test_the_cap_travels_under_the_name_that_all_of_them_know() -> None:
    vendor = registry.get("openai_compatible")("vllm", ProviderConfig(base_url="http://127.0.0.1:8000/v1/"))
    fields = {"model": "m", "max_completion_tokens": msgspec.Raw(b"5")}
    vendor.patch(fields)
    assert msgspec.json.encode(fields) == b'{"model":"m","max_tokens":5}'
    assert vendor.endpoint("m", is_stream=False) == "http://127.0.0.1:8000/v1/chat/completions"
    assert b"authorization" not in dict(vendor.headers(b"x" * 16))


def test_without_an_address_it_says_where_to_put_one() -> None:
    with pytest.raises(ConfigError, match=r"gateway\.providers\.vllm"):
        registry.get("openai_compatible")("vllm", ProviderConfig())
