"""Mistral knows its own fields only."""

import asyncio
import re
from pathlib import Path

import pytest
from tests.gateway.clouds import asking
from tests.gateway.servers import CHAT

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


def test_tool_calls_of_another_vendor_get_ids_that_it_takes_and_stay_with_their_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MISTRAL_API_KEY", "k")
    function = {"name": "look", "arguments": "{}"}
    messages = [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_of_openai_1", "type": "function", "function": function},
                {"id": "a1B2c3D4e", "type": "function", "function": function},
            ],
        },
        {"role": "tool", "tool_call_id": "call_of_openai_1", "content": "1"},
        {"role": "tool", "tool_call_id": "a1B2c3D4e", "content": "2"},
    ]

    async def scenario() -> None:
        def account(url: str) -> ProviderConfig:
            return ProviderConfig(type="mistral", base_url=f"{url}/v1")

        async with asking(tmp_path, {"/v1/chat/completions": CHAT}, account) as (home, vendor):
            answer = await home.ask({"model": "x/m", "messages": messages, "tool_choice": "required"})
            assert answer.text == "Hello."
            _, assistant, *results = vendor.asked[0].json["messages"]
            made = [call["id"] for call in assistant["tool_calls"]]
            assert made == [result["tool_call_id"] for result in results]
            assert re.fullmatch("[a-zA-Z0-9]{9}", made[0])
            assert made[1] == "a1B2c3D4e"

    asyncio.run(scenario())
