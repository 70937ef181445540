"""A choice of tools holds, whatever the wire's word for it is."""

import msgspec

from mooring.core.messages import ToolChoice
from mooring.gateway.codecs import registry


def test_mistrals_any_is_required_everywhere() -> None:
    codec = registry.get("openai_chat")()
    tool = {"type": "function", "function": {"name": "f"}}
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": [tool], "tool_choice": "any"}
    wire = codec.decode_request(msgspec.json.encode(body))
    assert wire.request.tool_choice == ToolChoice("required")
    codec.prepare(wire.fields, model="m", is_stream=False, cap_field=None, cap_tokens=0)
    assert wire.fields["tool_choice"] == "required"
    for name, field, expected in (
        ("anthropic_messages", "tool_choice", {"type": "any"}),
        ("gemini_generate", "toolConfig", {"functionCallingConfig": {"mode": "ANY"}}),
        ("openai_responses", "tool_choice", "required"),
    ):
        assert registry.get(name)().encode_request(wire.request)[field] == expected
