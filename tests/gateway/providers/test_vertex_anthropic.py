"""Claude in a Google Cloud project, over real sockets."""

import asyncio
from pathlib import Path

import pytest
from tests.gateway.clouds import asking
from tests.gateway.house import say

from mooring.gateway.config import ProviderConfig

MODEL = "/v1/projects/p/locations/global/publishers/anthropic/models/claude-haiku-4-5@20251001"
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "Hello."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 2},
}
CUT = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant",'
    b'"model":"claude","content":[],"stop_reason":null,"usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
    b'"content_block":{"type":"text","text":""}}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"Hel"}}\n\n'
)


def account(url: str) -> ProviderConfig:
    return ProviderConfig(type="vertex_anthropic", base_url=url, cloud_project="p", token="env:A_TOKEN")


def test_the_address_names_the_model_and_the_body_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "g" * 9)

    async def scenario() -> None:
        async with asking(tmp_path, {f"{MODEL}:rawPredict": MESSAGE}, account) as (home, google):
            answer = await home.ask(say("hi", model="x/claude-haiku-4-5@20251001", max_tokens=9))
            assert answer.text == "Hello."
            (asked,) = google.asked
            assert asked.headers["authorization"] == "Bearer " + "g" * 9
            assert asked.json["anthropic_version"] == "vertex-2023-10-16"
            assert "model" not in asked.json
            assert "anthropic-version" not in asked.headers

    asyncio.run(scenario())


def test_a_stream_that_is_cut_ends_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "g" * 9)

    async def scenario() -> None:
        async with asking(tmp_path, {f"{MODEL}:streamRawPredict": CUT}, account) as (home, google):
            answer = await home.ask(say("hi", model="x/claude-haiku-4-5@20251001", max_tokens=9, stream=True))
            assert google.asked[0].json["stream"] is True
            assert "error" in answer.data[-1]
            assert "[DONE]" not in answer.data

    asyncio.run(scenario())
