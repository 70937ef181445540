"""What each pair of wires makes of one conversation: `python -m tests.gateway.golden` writes the files anew."""

from pathlib import Path
from typing import Any

import msgspec

from mooring.core.events import events_of
from mooring.core.messages import ChatResponse, Choice, Message, TextPart, ThinkingPart, ToolCallPart
from mooring.core.usage import Usage
from mooring.gateway.codecs import registry
from mooring.gateway.fidelity import features_of, without

FOLDER = Path(__file__).parent / "golden"
INBOUND = ("openai_chat", "openai_responses", "anthropic_messages", "gemini_generate")
UPSTREAM = ("openai_chat", "anthropic_messages", "gemini_generate", "bedrock_converse", "openai_responses")
PAIRS = [(one, other) for one in INBOUND for other in UPSTREAM]
SCHEMA = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}

REQUESTS: dict[str, dict[str, Any]] = {
    "openai_chat": {
        "model": "m", "max_completion_tokens": 99, "temperature": 0.5,
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": [
                {"type": "text", "text": "Order 81 came broken"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
            {"role": "assistant", "content": "I look.", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "refund", "arguments": "{\"order\":\"81\"}"}},
                {"id": "c2", "type": "function", "function": {"name": "refund", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "done"},
            {"role": "tool", "tool_call_id": "c2", "content": "no"},
            {"role": "user", "content": "And now?"}],
        "tools": [{"type": "function", "function": {"name": "refund", "description": "R.", "parameters": SCHEMA}}],
        "tool_choice": "required", "reasoning_effort": "low",
    },
    "openai_responses": {
        "model": "m", "max_output_tokens": 99, "instructions": "Be kind.",
        "input": [
            {"role": "user", "content": [
                {"type": "input_text", "text": "Order 81 came broken"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}]},
            {"type": "function_call", "call_id": "c1", "name": "refund", "arguments": "{\"order\":\"81\"}"},
            {"type": "function_call_output", "call_id": "c1", "output": "done"},
            {"role": "user", "content": "And now?"}],
        "tools": [{"type": "function", "name": "refund", "description": "R.", "parameters": SCHEMA}],
        "tool_choice": {"type": "function", "name": "refund"},
        "text": {"format": {"type": "json_schema", "name": "o", "schema": SCHEMA}},
    },
    "anthropic_messages": {
        "model": "m", "max_tokens": 99, "system": [
            {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": "Order 81 came broken"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Let me see.", "signature": "c2ln"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "c1", "name": "refund", "input": {"order": "81"}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "no", "is_error": True},
                {"type": "text", "text": "And now?"}]}],
        "tools": [{"name": "refund", "description": "R.", "input_schema": SCHEMA}],
        "tool_choice": {"type": "any"}, "stop_sequences": ["x"],
    },
    "gemini_generate": {
        "systemInstruction": {"parts": [{"text": "Be kind."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Order 81 came broken"}]},
            {"role": "model", "parts": [
                {"functionCall": {"name": "refund", "args": {"order": "81"}}, "thoughtSignature": "c2ln"}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "refund", "response": {"result": "done"}}}]},
            {"role": "user", "parts": [{"text": "And now?"}]}],
        "tools": [{"function_declarations": [{"name": "refund", "parameters_json_schema": SCHEMA}]}],
        "generation_config": {"max_output_tokens": 99, "stop_sequences": ["x"]},
    },
}  # fmt: skip

ANSWER = ChatResponse(
    "id_1",
    "m-1",
    (
        Choice(
            0,
            Message(
                "assistant",
                (
                    ThinkingPart("Let me see.", signature="c2ln"),
                    TextPart("I refund it."),
                    ToolCallPart("c3", "refund", '{"order":"81"}'),
                    ToolCallPart("c4", "refund", '{"order":"82"}'),
                ),
            ),
            "tool_calls",
        ),
    ),
    Usage(20, 12, cached_input_tokens=8, reasoning_tokens=3),
    7,
)


def made(inbound: str, upstream: str) -> dict[str, Any]:
    """All that passes between a client of one wire and a vendor of another."""
    here, there = registry.get(inbound)(), registry.get(upstream)()
    wire = here.decode_request(msgspec.json.encode(REQUESTS[inbound]), model="m")
    lost = features_of(wire.request) & (there.cannot_carry | there.leaves_out | there.held_here)
    sent = there.encode_request(msgspec.structs.replace(without(wire.request, lost), extra={}))
    there.prepare(sent, model="up", is_stream=False, cap_field=None, cap_tokens=0)
    body = there.encode_response(ANSWER, {})
    stream = there.encoder(wants_usage=True, asked={}).encode(list(events_of(ANSWER)))
    decoder, encoder = there.decoder(), here.encoder(wants_usage=True, asked=wire.fields)
    payloads = there.framing(1 << 20).feed(stream)
    events = [event for payload in payloads for event in decoder.feed(payload)]
    return {
        "asked": REQUESTS[inbound],
        "sent": sent,
        "left out": sorted(lost),
        "answered": msgspec.json.decode(body),
        "told": msgspec.json.decode(here.encode_response(there.decode_response(body), wire.fields)),
        "streamed": stream.decode().split("\n") if there.is_text else [payload.decode() for payload in payloads],
        "told in a stream": encoder.encode(events).decode().split("\n"),
    }


def text_of(inbound: str, upstream: str) -> str:
    return msgspec.json.format(msgspec.json.encode(made(inbound, upstream)), indent=1).decode() + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for one, other in PAIRS:
        (FOLDER / f"{one}-{other}.json").write_text(text_of(one, other), encoding="utf-8")
