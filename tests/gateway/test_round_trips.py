"""Any conversation and any answer survive each wire, within what the wire declares that it can carry."""

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mooring.core.events import Accumulator, events_of
from mooring.core.messages import (
    ChatRequest,
    ChatResponse,
    Choice,
    MediaPart,
    Message,
    OutputFormat,
    Part,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
    ToolSpec,
)
from mooring.core.usage import Usage
from mooring.gateway.codecs import registry
from mooring.gateway.fidelity import features_of, without
from mooring.gateway.rewriting import is_same

CHATS = [name for name in registry.names() if registry.get(name).kind == "chat"]
QUICK = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
NAME = st.sampled_from(["refund", "look", "say_it"])
ARGUMENTS = st.dictionaries(TEXT, st.one_of(TEXT, st.integers(-9, 9), st.booleans(), st.lists(TEXT, max_size=2)),
                            max_size=3).map(lambda value: msgspec.json.encode(value).decode())  # fmt: skip
MEDIA = st.sampled_from(
    [
        MediaPart("image", data="AAAA", media_type="image/png"),
        MediaPart("image", url="https://example.com/a.png"),
        MediaPart("file", data="BBBB", media_type="application/pdf"),
    ]
)
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


@st.composite
def answers(draw: Any) -> tuple[Part, ...]:
    """What a model says in one turn: thoughts, then text, then calls."""
    parts: list[Part] = []
    if draw(st.booleans()):
        parts.append(ThinkingPart(draw(TEXT), signature=draw(st.sampled_from(["c2ln", "c2lnMg=="]))))
    parts += [TextPart(draw(TEXT))] if draw(st.booleans()) else []
    for number in range(draw(st.integers(0, 2))):
        parts.append(ToolCallPart(f"call_{number}", draw(NAME), draw(ARGUMENTS)))
    return tuple(parts) or (TextPart(draw(TEXT)),)


@st.composite
def conversations(draw: Any) -> ChatRequest:
    messages: list[Message] = []
    if draw(st.booleans()):
        messages.append(Message("system", (TextPart(draw(TEXT)),)))
    for turn in range(draw(st.integers(1, 3))):
        user: list[Part] = [TextPart(draw(TEXT))]
        user += [draw(MEDIA)] if draw(st.booleans()) else []
        messages.append(Message("user", tuple(user)))
        said = tuple(
            msgspec.structs.replace(part, id=f"t{turn}_{part.id}") if isinstance(part, ToolCallPart) else part
            for part in draw(answers())
        )
        messages.append(Message("assistant", said))
        for part in said:
            if isinstance(part, ToolCallPart):
                result = ToolResultPart(part.id, (TextPart(draw(TEXT)),), is_error=draw(st.booleans()))
                messages.append(Message("tool", (result,)))
    messages.append(Message("user", (TextPart(draw(TEXT)),)))
    choices = [None, ToolChoice("auto"), ToolChoice("required"), ToolChoice("named", "refund"), ToolChoice("none")]
    return ChatRequest(
        model="m",
        messages=tuple(messages),
        tools=(ToolSpec("refund", "Refunds.", SCHEMA),),
        tool_choice=draw(st.sampled_from(choices)),
        output=draw(st.sampled_from([None, OutputFormat("json_schema", SCHEMA)])),
        max_output_tokens=draw(st.integers(1, 999)),
        temperature=draw(st.sampled_from([None, 0.5])),
        top_p=draw(st.sampled_from([None, 0.9])),
        stop=draw(st.sampled_from([(), ("x", "y")])),
        seed=draw(st.sampled_from([None, 7])),
    )


def plain(request: ChatRequest) -> ChatRequest:
    """Without what wires name differently: a result's function, an address's type, and a schema's own name."""
    messages = [
        msgspec.structs.replace(message, parts=tuple(map(unnamed, message.parts))) for message in request.messages
    ]
    output = request.output and msgspec.structs.replace(request.output, name=None)
    return msgspec.structs.replace(request, messages=tuple(messages), output=output)


def unnamed(part: Part) -> Part:
    if isinstance(part, ToolResultPart):
        return msgspec.structs.replace(part, name=None)
    if isinstance(part, MediaPart) and part.url is not None:
        return msgspec.structs.replace(part, media_type=None)
    return part


@pytest.mark.parametrize("name", CHATS)
@QUICK
@given(request=conversations())
def test_a_conversation_comes_back_as_it_went(name: str, request: ChatRequest) -> None:
    codec = registry.get(name)()
    lost = features_of(request) & (codec.cannot_carry | codec.leaves_out | codec.held_here)
    carried = without(request, lost)
    body = msgspec.json.encode(codec.encode_request(carried))
    again = codec.decode_request(body, model="m").request
    assert is_same(plain(again), plain(carried))
    assert again.tool_choice == carried.tool_choice
    assert features_of(again) == features_of(carried)


@st.composite
def responses(draw: Any) -> ChatResponse:
    parts = draw(answers())
    finish = "tool_calls" if any(isinstance(part, ToolCallPart) for part in parts) else "stop"
    read, thought = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    usage = Usage(read + draw(st.integers(0, 9)), thought + draw(st.integers(0, 9)), read, reasoning_tokens=thought)
    return ChatResponse("resp_x", "m", (Choice(0, Message("assistant", parts), finish),), usage, 7)


def heard(response: ChatResponse, name: str) -> ChatResponse:
    """What of an answer the wire has words for: no date on some, no signatures on one, no name on another."""
    parts = response.choices[0].message.parts
    if name == "openai_chat":
        parts = tuple(ThinkingPart(part.text) if isinstance(part, ThinkingPart) else part for part in parts)
    choice = msgspec.structs.replace(response.choices[0], message=Message("assistant", parts))
    bare: dict[str, Any] = {}
    if name == "bedrock_converse" and response.usage is not None:  # which does not tell thinking apart either
        bare = {"id": "", "model": "", "usage": msgspec.structs.replace(response.usage, reasoning_tokens=0)}
    return msgspec.structs.replace(response, choices=(choice,), created_at=0, **bare)


@pytest.mark.parametrize("name", CHATS)
@QUICK
@given(response=responses(), cut=st.integers(1, 60))
def test_an_answer_comes_back_as_it_went_streamed_and_not(name: str, response: ChatResponse, cut: int) -> None:
    codec = registry.get(name)()
    whole = codec.decode_response(codec.encode_response(response, {}))
    assert is_same(heard(whole, name), heard(response, name))
    assert whole.usage == heard(response, name).usage
    encoder, decoder = codec.encoder(wants_usage=True, asked={}), codec.decoder()
    data = encoder.encode(list(events_of(response)))
    framing, streamed = codec.framing(1 << 20), Accumulator()
    for start in range(0, len(data), cut):
        for payload in framing.feed(data[start : start + cut]):
            for canonical in decoder.feed(payload):
                streamed.add(canonical)
    framing.close()
    found = streamed.response()
    assert is_same(heard(found, name).choices, heard(response, name).choices)
    assert found.usage == heard(response, name).usage
    assert streamed.is_complete is not codec.ends_with_finish
