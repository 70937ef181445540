"""Blocks of Anthropic's that no other wire knows: they pass on its own wire in whatever shape they have."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from mooring.gateway.codecs import registry as codecs

from .wires import TOOL_SCHEMA, ask, sent, wires


def request(messages: list[dict[str, Any]]) -> dict[str, Any]:
    tools = [{"name": "refund", "input_schema": TOOL_SCHEMA}]
    return {"model": "anthropic/echo", "max_tokens": 64, "messages": messages, "tools": tools}


def test_blocks_of_the_vendors_own_pass_in_whatever_shape_they_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {
        "type": "search_result",
        "source": "https://example.com/opening-hours",
        "title": "Opening hours",
        "content": [{"type": "text", "text": "At six."}],
        "citations": {"enabled": True},
    }
    used = {"type": "tool_use", "id": "c1", "name": "refund", "input": {}}
    turns = [
        {"role": "user", "content": [found, {"type": "text", "text": "When?"}]},
        {"role": "assistant", "content": [used]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": [found]}]},
    ]

    async def scenario() -> None:
        async with wires(tmp_path, monkeypatch) as made:
            body = request(turns)
            answer = await ask(made, "anthropic_messages", body)
            assert answer.status == 200, answer.body
            assert sent(made) == {**body, "model": "echo"}
            wrong = request([{"role": "user", "content": [{"type": "text", "text": {}}]}])
            assert (await ask(made, "anthropic_messages", wrong)).status == 400

    asyncio.run(scenario())
    new = request([{"role": "user", "content": [{"type": "hologram", "text": {"in": "en"}, "data": 7}]}])
    wire = codecs.get("anthropic_messages")().decode_request(json.dumps(new).encode())
    assert "hologram" in wire.request.messages[0].text
