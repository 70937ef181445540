"""The OpenAI chat codec: what it understands, what it leaves alone, what it says."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.core.errors import InvalidRequest, UpstreamMalformed
from mooring.core.events import (
    Accumulator,
    ChoiceEnd,
    MessageEnd,
    MessageStart,
    StreamError,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageReport,
    events_of,
)
from mooring.core.messages import (
    ChatResponse,
    Choice,
    MediaPart,
    Message,
    OutputFormat,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
    ToolSpec,
)
from mooring.core.usage import Usage
from mooring.gateway.codecs import registry
from mooring.net import SseParser

codec = registry.get("openai_chat")()

REQUEST: dict[str, Any] = {
    "model": "fast",
    "messages": [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "name": "ann", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            {"type": "input_audio", "input_audio": {"data": "BBBB", "format": "wav"}},
            {"type": "file", "file": {"file_id": "file-1", "filename": "a.pdf"}},
            {"type": "hologram", "hologram": {"beam": "blue"}},
        ]},
        {"role": "assistant", "content": None, "refusal": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"at\":1}"}},
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
    ],
    "tools": [{"type": "function", "function": {
        "name": "look", "description": "Looks.", "parameters": {"type": "object"}, "strict": True}}],
    "tool_choice": {"type": "function", "function": {"name": "look"}},
    "parallel_tool_calls": False,
    "response_format": {"type": "json_schema", "json_schema": {"name": "cat", "schema": {"type": "object"}}},
    "max_completion_tokens": 99,
    "temperature": 0.5,
    "top_p": 0.9,
    "stop": ["x", "y"],
    "seed": 7,
    "n": 2,
    "reasoning_effort": "low",
    "stream": True,
    "stream_options": {"include_usage": True},
    "user": "u_1",
    "metadata": {"a": "b"},
    "logit_bias": {"50256": -100},
}  # fmt: skip


class Headers(dict[str, str]):
    def get(self, name: str, default: Any = None) -> Any:
        return dict.get(self, name.lower(), default)


def decoded(**changes: Any) -> Any:
    return codec.decode_request(msgspec.json.encode({**REQUEST, **changes})).request


def test_a_request_means_what_the_wire_says() -> None:
    request = decoded()
    assert request.messages == (
        Message("system", (TextPart("Be kind."),)),
        Message("user", (
            TextPart("What is this?"),
            MediaPart("image", data="AAAA", media_type="image/png", detail="low"),
            MediaPart("image", url="https://example.com/a.png"),
            MediaPart("audio", data="BBBB", media_type="audio/wav"),
            MediaPart("file", file_id="file-1", name="a.pdf"),
            TextPart('{"type":"hologram","hologram":{"beam":"blue"}}'),
        ), name="ann"),
        Message("assistant", (ToolCallPart("c1", "look", '{"at":1}'),)),
        Message("tool", (ToolResultPart("c1", (TextPart("a cat"),)),)),
    )  # fmt: skip
    assert request.tools == (ToolSpec("look", "Looks.", {"type": "object"}, True),)
    assert request.tool_choice == ToolChoice("named", "look")
    assert request.output == OutputFormat("json_schema", {"type": "object"}, "cat")
    assert (request.max_output_tokens, request.n, request.stop, request.seed) == (99, 2, ("x", "y"), 7)
    assert (request.is_stream, request.wants_usage, request.allows_parallel_tools) == (True, True, False)
    assert request.extra == {"logit_bias": {"50256": -100}}


def test_a_request_encoded_again_means_the_same() -> None:
    request = decoded()
    again = codec.decode_request(msgspec.json.encode(codec.encode_request(request))).request
    assert msgspec.structs.replace(again, messages=()) == msgspec.structs.replace(request, messages=())
    assert again.messages[0].role == "system"
    assert again.messages[1:] == request.messages[1:]


def test_a_body_that_passes_keeps_the_bytes_of_what_nobody_changed() -> None:
    body = (
        b'{"model": "fast", "new_field": {"b":1,  "a":1e2}, "messages": [{"role":"user",  "content":"hi"}],'
        b' "stream": true}'
    )
    wire = codec.decode_request(body)
    codec.prepare(wire.fields, model="real", is_stream=True, cap_field="max_tokens", cap_tokens=5)
    sent = msgspec.json.encode(wire.fields)
    assert b'{"b":1,  "a":1e2}' in sent
    assert b'[{"role":"user",  "content":"hi"}]' in sent
    assert msgspec.json.decode(sent)["model"] == "real"
    assert msgspec.json.decode(sent)["stream_options"] == {"include_usage": True}
    assert msgspec.json.decode(sent)["max_tokens"] == 5


def test_a_changed_message_keeps_its_unknown_fields_and_the_others_their_bytes() -> None:
    body = (
        b'{"model":"m","messages":[{"role":"user", "content":"one"},{"role":"user","content":[{"type":"text",'
        b'"text":"two","cache_control":{"type":"ephemeral"}},{"type":"hologram","k":"v"}],"trace":9}]}'
    )
    wire = codec.decode_request(body)
    first, second = wire.request.messages
    parts = (TextPart("2"), TextPart('{"type":"hologram","k":"w"}'))
    after = msgspec.structs.replace(wire.request, messages=(first, msgspec.structs.replace(second, parts=parts)))
    codec.rewrite_request(wire.fields, wire.request, after)
    sent = msgspec.json.encode(wire.fields)
    assert b'{"role":"user", "content":"one"}' in sent
    assert msgspec.json.decode(sent)["messages"][1] == {
        "role": "user",
        "content": [
            {"type": "text", "text": "2", "cache_control": {"type": "ephemeral"}},
            {"type": "hologram", "k": "w"},
        ],
        "trace": 9,
    }


def test_a_changed_tool_result_and_its_call_are_rewritten_in_place() -> None:
    wire = codec.decode_request(msgspec.json.encode(REQUEST))
    messages = list(wire.request.messages)
    messages[2] = Message("assistant", (ToolCallPart("c1", "look", '{"at":2}'),))
    messages[3] = Message("tool", (ToolResultPart("c1", (TextPart("a dog"),)),))
    codec.rewrite_request(wire.fields, wire.request, msgspec.structs.replace(wire.request, messages=tuple(messages)))
    sent = msgspec.json.decode(msgspec.json.encode(wire.fields))["messages"]
    assert sent[2]["tool_calls"][0]["function"]["arguments"] == '{"at":2}'
    assert sent[3] == {"role": "tool", "tool_call_id": "c1", "content": "a dog"}
    assert sent[0] == {"role": "developer", "content": "Be kind."}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"not json", None),
        (b"[]", None),
        (b"[" * 5000, None),
        (b'{"messages":[{"role":"user","content":"x"}]}', None),
        (b'{"model":"m"}', None),
        (b'{"model":"m","messages":[]}', "messages"),
        (b'{"model":"m","messages":[{"role":"user","content":5}]}', "messages[0].content"),
        (b'{"model":"m","messages":[{"role":"wizard","content":"x"}]}', "messages"),
        (b'{"model":7,"messages":[{"role":"user","content":"x"}]}', "model"),
        (b'{"model":"m","messages":[{"role":"user","content":"x"}],"n":0}', "n"),
        (b'{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":0}', "max_completion_tokens"),
        (b'{"model":"m","messages":[{"role":"user","content":"x"}],"tool_choice":"maybe"}', "tool_choice"),
        (b'{"model":"m","messages":[{"role":"user","content":"\xff"}]}', None),
    ],
)
def test_a_body_that_cannot_be_understood_is_refused_with_its_place(body: bytes, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        codec.decode_request(body)
    assert caught.value.param == param


RESPONSE = ChatResponse(
    id="chatcmpl-1",
    model="m",
    created_at=5,
    usage=Usage(input_tokens=10, output_tokens=6, cached_input_tokens=4, reasoning_tokens=2),
    choices=(
        Choice(0, Message("assistant", (ThinkingPart("hm"), TextPart("yes"), RefusalPart("no"))), "stop"),
        Choice(1, Message("assistant", (ToolCallPart("c", "f", "{}"), ToolCallPart("d", "g", "[1]"))), "tool_calls"),
    ),
)


def test_an_answer_encoded_and_decoded_is_the_same() -> None:
    assert codec.decode_response(codec.encode_response(RESPONSE, {})) == RESPONSE


def test_a_rewritten_answer_keeps_what_stands_beside_its_choices() -> None:
    body = (
        b'{"id":"x","object":"chat.completion","choices":[{"message":{"content":"secret"},"logprobs":{"content":[1]}}],'
        b'"new":{"a":1}}'
    )
    answer = codec.decode_response(body)
    choice = Choice(0, Message("assistant", (TextPart("***"),)), "stop")
    out = msgspec.json.decode(codec.rewrite_response(body, msgspec.structs.replace(answer, choices=(choice,))))
    assert out["new"] == {"a": 1}
    assert out["choices"][0]["message"]["content"] == "***"
    assert b"secret" not in msgspec.json.encode(out)
    assert out["choices"][0]["logprobs"] is None


@pytest.mark.parametrize(
    "body", [b"<html>hi</html>", b"{}", b'{"choices":[]}', b'{"choices":[{"mess', b"\xff\xfe", b"null"]
)
def test_what_is_not_an_answer_is_malformed_and_may_have_been_billed(body: bytes) -> None:
    with pytest.raises(UpstreamMalformed) as caught:
        codec.decode_response(body)
    assert caught.value.is_billable


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 3}, Usage(9, 3)),
        (
            {"prompt_tokens": 9, "completion_tokens": 3,
             "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 1}},
            Usage(9, 3, cached_input_tokens=4, input_audio_tokens=1),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 3, "prompt_cache_hit_tokens": 8},
            Usage(9, 3, cached_input_tokens=8),
        ),
        (  # reasoning beside the completion
            {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 22,
             "completion_tokens_details": {"reasoning_tokens": 10}},
            Usage(9, 13, reasoning_tokens=10),
        ),
        (  # reasoning inside the completion
            {"prompt_tokens": 9, "completion_tokens": 13, "total_tokens": 22,
             "completion_tokens_details": {"reasoning_tokens": 10}},
            Usage(9, 13, reasoning_tokens=10),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 22}, Usage(9, 13, reasoning_tokens=10)),
        ({"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": None}, Usage(9, 3)),
        ({"prompt_tokens": 1, "completion_tokens": -3}, None),
        ({"prompt_tokens": 1, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 5}}, None),
    ],
)  # fmt: skip
def test_usage_becomes_inclusive_totals_or_is_not_believed(usage: dict[str, Any], expected: Usage | None) -> None:
    body = {"choices": [{"message": {"content": "x"}}], "usage": usage}
    assert codec.decode_response(msgspec.json.encode(body)).usage == expected


def chunk(delta: dict[str, Any] | None = None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": None}]
    return msgspec.json.encode({"id": "i", "model": "m", "created": 1, "choices": choices, **more})


def test_events_are_decoded_in_order_and_add_up() -> None:
    decoder = codec.decoder()
    events = [
        event
        for data in [
            chunk({"role": "assistant", "content": ""}),
            chunk({"reasoning_content": "hm"}),
            chunk({"content": "Hal"}),
            chunk({"content": "lo"}),
            chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"x"'}}]}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}),
            b'{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}',
            chunk(None, usage={"prompt_tokens": 3, "completion_tokens": 4}),
            b"[DONE]",
        ]
        for event in decoder.feed(data)
    ]
    assert events == [
        MessageStart("i", "m", 1),
        ThinkingDelta("hm"),
        TextDelta("Hal"),
        TextDelta("lo"),
        ToolCallStart(0, "a", "f"),
        ToolCallDelta(0, '{"x"'),
        ToolCallDelta(0, ":1}"),
        ChoiceEnd("tool_calls"),
        UsageReport(Usage(3, 4)),
        MessageEnd(),
    ]


@pytest.mark.parametrize(
    "calls",
    [
        [{"id": "a", "function": {"name": "f", "arguments": "1"}},
         {"id": "b", "function": {"name": "g", "arguments": "2"}}],
        [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "1"}},
         {"index": 0, "id": "b", "function": {"name": "g", "arguments": "2"}}],
        [{"index": 4, "id": "a", "function": {"name": "f", "arguments": "1"}},
         {"index": 7, "id": "b", "function": {"name": "g", "arguments": "2"}}],
    ],
)  # fmt: skip
def test_tool_calls_are_told_apart_without_a_good_index(calls: list[dict[str, Any]]) -> None:
    decoder, whole = codec.decoder(), Accumulator()
    for call in calls:
        for event in decoder.feed(chunk({"tool_calls": [call]})):
            whole.add(event)
    parts = whole.response().choices[0].message.parts
    assert parts == (ToolCallPart("a", "f", "1"), ToolCallPart("b", "g", "2"))


def test_an_error_inside_a_stream_is_an_event() -> None:
    (event,) = codec.decoder().feed(b'{"error":{"message":"boom","code":"server_error"}}')
    assert event == StreamError("server_error", "boom")


@pytest.mark.parametrize("data", [b"{", b"[1]", b'"x"', b'{"choices":5}'])
def test_an_event_that_is_not_of_the_wire_is_malformed(data: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        codec.decoder().feed(data)


def test_an_empty_event_says_nothing() -> None:
    assert codec.decoder().feed(b" ") == []


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"a":1,"choices":[{"x":1}],"usage":null}', b'{"a":1,"choices":[{"x":1}]}'),
        (b'{"a":1,"usage":null,"choices":[{"x":1}]}', b'{"a":1,"choices":[{"x":1}]}'),
        (b'{"choices":[],"usage":{"prompt_tokens":1}}', None),
        (b'{"choices":[ ],"usage":{"prompt_tokens":1}}', None),
        (b'{"choices":[{"x":1}],"usage":{"prompt_tokens":1}}', b'{"choices":[{"x":1}]}'),
        (b'{"choices":[{"delta":{"content":"\\"usage\\""}}]}', b'{"choices":[{"delta":{"content":"\\"usage\\""}}]}'),
        (b"[DONE]", b"[DONE]"),
    ],
)
def test_usage_is_hidden_from_those_who_did_not_ask(data: bytes, expected: bytes | None) -> None:
    assert codec.without_usage(data) == expected


texts = st.text(st.characters(codec="utf-8"), max_size=12)


@st.composite
def responses(draw: st.DrawFn) -> ChatResponse:
    choices = []
    for index in range(draw(st.integers(1, 3))):
        parts: list[Any] = [kind(text) for kind in (ThinkingPart, TextPart, RefusalPart) if (text := draw(texts))]
        parts += [ToolCallPart(f"id{n}", draw(texts), draw(texts)) for n in range(draw(st.integers(0, 2)))]
        finish = draw(st.sampled_from(["stop", "length", "tool_calls", "content_filter"]))
        choices.append(Choice(index, Message("assistant", tuple(parts)), finish))
    usage = Usage(draw(st.integers(0, 99)), draw(st.integers(0, 99)))
    return ChatResponse("id", "m", tuple(choices), usage, 3)


@given(responses(), st.lists(st.integers(1, 40), min_size=1, max_size=50))
def test_a_stream_cut_anywhere_adds_up_to_the_answer(response: ChatResponse, cuts: list[int]) -> None:
    encoder, decoder = codec.encoder(wants_usage=True, asked={}), codec.decoder()
    parser, whole = SseParser(), Accumulator()
    data = encoder.encode(list(events_of(response)))
    position = 0
    while position < len(data):
        step = cuts[position % len(cuts)]
        for event in parser.feed(data[position : position + step]):
            for canonical in decoder.feed(event.data.encode()):
                whole.add(canonical)
        position += step
    parser.close()
    assert whole.is_complete
    assert whole.response() == response


@given(responses())
def test_every_answer_survives_its_wire(response: ChatResponse) -> None:
    assert codec.decode_response(codec.encode_response(response, {})) == response


@given(st.binary(max_size=200))
def test_no_bytes_make_a_decoder_raise_anything_else(data: bytes) -> None:
    for call in (codec.decode_request, codec.decode_response, codec.decoder().feed):
        try:
            call(data)
        except (InvalidRequest, UpstreamMalformed):
            continue
    codec.decode_error(500, Headers(), data)
