"""Bedrock's Converse behind every wire: translated both ways, its frames judged, its bill that of the meter."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mooring.core.errors import UpstreamMalformed
from mooring.core.messages import MediaPart
from mooring.gateway.codecs import registry
from mooring.net.eventstream import frame
from mooring.sim import Reply

from .golden import REQUESTS
from .house import House, say
from .wires import TOOL_SCHEMA, ask, data_of, sent, wires

Scenario = Callable[[House], Awaitable[None]]
STREAMED = pytest.mark.parametrize("is_stream", [False, True])
TOOLS = [{"type": "function", "function": {"name": "refund", "description": "R.", "parameters": TOOL_SCHEMA}}]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def running(scenario: Scenario, *, is_settled: bool = True, **options: Any) -> None:
        async def whole() -> None:
            async with wires(tmp_path, monkeypatch, **options) as made:
                await scenario(made)
                settled, held = await made.bill()
                if is_settled:
                    assert (settled, held) == (await made.meter(), 0)
                assert settled <= await made.meter() <= settled + held

        asyncio.run(whole())

    return running


def test_a_chat_is_asked_at_the_models_own_path_and_signed(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        system = {"role": "system", "content": "Be kind."}
        answer = await made.ask(
            {"model": "bedrock/echo", "messages": [system, {"role": "user", "content": "hello"}], "max_tokens": 50}
        )
        assert answer.text == "hello"
        assert answer.json["model"] == "bedrock/echo"
        assert answer.json["id"].startswith("call_")
        assert sent(made) == {
            "messages": [{"role": "user", "content": [{"text": "hello"}]}],
            "system": [{"text": "Be kind."}],
            "inferenceConfig": {"maxTokens": 50},
        }
        asked = made.sim.requests[-1]
        assert asked.path == "/model/echo/converse"
        assert asked.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=an id/")
        assert "/eu-west-1/bedrock/aws4_request" in asked.headers["authorization"]

    run(scenario)


def test_a_stream_of_frames_becomes_one_of_events_with_its_usage(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        answer = await made.ask(
            say("one two Grüße 🌊", model="bedrock/echo", stream=True, stream_options={"include_usage": True})
        )
        assert answer.stream_text == "one two Grüße 🌊"
        assert answer.data[-1] == "[DONE]"
        (usage,) = [one["usage"] for one in map(msgspec.json.decode, answer.data[:-1]) if one.get("usage")]
        assert usage["completion_tokens"] == 5
        assert made.sim.requests[-1].path == "/model/echo/converse-stream"

    run(scenario)


@STREAMED
def test_calls_of_tools_come_whole_and_in_parallel(run: Callable[..., None], is_stream: bool) -> None:
    async def scenario(made: House) -> None:
        tools = [*TOOLS, {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
        answer = await made.ask(say('order "81"', model="bedrock/agent-parallel", tools=tools, stream=is_stream))
        assert answer.status == 200, answer.body
        if is_stream:
            deltas = [
                call
                for event in answer.data[:-1]
                for choice in msgspec.json.decode(event)["choices"]
                for call in choice["delta"].get("tool_calls", ())
            ]
            names = [call["function"]["name"] for call in deltas if call.get("id")]
            arguments = "".join(call["function"].get("arguments", "") for call in deltas if call["index"] == 0)
        else:
            calls = answer.json["choices"][0]["message"]["tool_calls"]
            names, arguments = [call["function"]["name"] for call in calls], calls[0]["function"]["arguments"]
        assert names == ["refund", "look"]
        assert msgspec.json.decode(arguments) == {"order": "81"}

    run(scenario)


@pytest.mark.parametrize("wire", sorted(REQUESTS))
@STREAMED
def test_a_whole_conversation_of_every_wire_is_taken(run: Callable[..., None], wire: str, is_stream: bool) -> None:
    async def scenario(made: House) -> None:
        body = {**REQUESTS[wire], "model": "bedrock/agent", "stream": is_stream}
        if wire == "openai_responses":
            del body["text"]
        answer = await ask(made, wire, body)
        assert answer.status == 200, answer.body
        (config, roles) = (sent(made)["toolConfig"], [turn["role"] for turn in sent(made)["messages"]])
        assert config["tools"][0]["toolSpec"]["inputSchema"] == {"json": TOOL_SCHEMA}
        assert roles == ["user", "assistant", "user"]
        assert b"refund" in answer.body or b"Order" in answer.body

    run(scenario)


@STREAMED
def test_structured_output_goes_as_a_schema(run: Callable[..., None], is_stream: bool) -> None:
    async def scenario(made: House) -> None:
        form = {"type": "json_schema", "json_schema": {"name": "o", "schema": TOOL_SCHEMA}}
        answer = await made.ask(say("81", model="bedrock/json", response_format=form, stream=is_stream))
        text = answer.stream_text if is_stream else answer.text
        assert "order" in msgspec.json.decode(text)
        schema = sent(made)["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
        assert msgspec.json.decode(schema["schema"]) == TOOL_SCHEMA

    run(scenario)


def test_thinking_comes_back_signed_and_goes_back_with_its_signature(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        body = {"model": "bedrock/thinker", "max_tokens": 99, "messages": [{"role": "user", "content": "so?"}]}
        answer = (await ask(made, "anthropic_messages", body)).json
        assert [block["type"] for block in answer["content"]] == ["thinking", "text"]
        streamed = data_of((await ask(made, "anthropic_messages", body | {"stream": True})).body)
        signature = [event["delta"]["signature"] for event in streamed if "signature" in event.get("delta", {})]
        assert signature == [answer["content"][0]["signature"]]
        turns = [*body["messages"], {"role": "assistant", "content": answer["content"]}, body["messages"][0]]
        assert (await ask(made, "anthropic_messages", body | {"messages": turns})).status == 200
        thought = sent(made)["messages"][1]["content"][0]["reasoningContent"]["reasoningText"]
        assert thought == {"text": "Let me see.", "signature": signature[0]}

    run(scenario, scripts={"thinker": lambda _: Reply("Done.", reasoning="Let me see.")})


@STREAMED
def test_what_was_read_from_the_cache_is_counted_and_billed_apart(run: Callable[..., None], is_stream: bool) -> None:
    async def scenario(made: House) -> None:
        body: dict[str, Any] = {"model": "bedrock/writer-8words", "max_tokens": 99, "stream": is_stream}
        body["system"] = [{"type": "text", "text": "Be kind. " * 40, "cache_control": {"type": "ephemeral"}}]
        body["messages"] = [{"role": "user", "content": "write"}]
        await ask(made, "anthropic_messages", body)
        assert sent(made)["system"][1] == {"cachePoint": {"type": "default"}}
        row = made.sim.meter.rows[-1]
        assert row.cache_write_tokens > 0

    run(scenario)


def test_fields_of_its_own_pass_from_any_wire(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        own = {"additionalModelRequestFields": {"top_k": 5}}
        assert (await made.ask(say("hi", model="bedrock/echo", **own))).status == 200
        assert sent(made)["additionalModelRequestFields"] == {"top_k": 5}
        assert (await made.ask(say("hi", model="anthropic/echo", **own))).status == 400

    run(scenario)


def test_files_go_inline_or_by_where_they_lie_in_s3() -> None:
    codec = registry.get("bedrock_converse")()
    content = [
        {"type": "text", "text": "Read."},
        {"type": "file", "file": {"filename": "Q3/report_1.pdf", "file_data": "data:application/pdf;base64,QUFB"}},
        {"type": "image_url", "image_url": {"url": "s3://bucket/a.jpg"}},
    ]
    body = msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": content}]})
    fields = codec.encode_request(registry.get("openai_chat")().decode_request(body).request)
    assert fields["messages"][0]["content"][1:] == [
        {"document": {"name": "Q3 report 1 pdf", "source": {"bytes": "QUFB"}, "format": "pdf"}},
        {"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://bucket/a.jpg"}}}},
    ]
    again = codec.decode_request(msgspec.json.encode(fields), model="m").request.messages[0].parts[2]
    assert again == MediaPart("image", url="s3://bucket/a.jpg", media_type="image/jpeg")


def test_what_it_has_no_words_for_is_refused_by_name(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        answer = await made.ask(say("hi", model="bedrock/echo", seed=7, n=2))
        assert answer.status == 400
        assert "cannot carry: seed, several answers" in answer.json["error"]["message"]
        image = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
        refused = await made.ask({"model": "bedrock/echo", "messages": [{"role": "user", "content": image}]})
        assert "images by url" in refused.json["error"]["message"]
        used = [
            {"role": "user", "content": "81"},
            {"role": "assistant", "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "refund", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "done"},
        ]  # fmt: skip
        body = {"model": "bedrock/echo", "messages": used}
        assert "calls without tools" in (await made.ask(body)).json["error"]["message"]
        forbidden = await made.ask(body | {"tools": TOOLS, "tool_choice": "none"})
        assert "tools forbidden after calls" in forbidden.json["error"]["message"]
        left_out = await made.ask(say("hi", model="bedrock/echo", tools=TOOLS, tool_choice="none"))
        assert (left_out.status, left_out.headers["x-mooring-dropped"]) == (200, "tools forbidden")

    run(scenario)


def test_an_exception_inside_a_stream_is_an_error_in_the_callers_wire(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        made.sim.fault("error_event", model="echo", after_events=2)
        answer = await made.ask(say("one two three four five", model="bedrock/echo", stream=True))
        assert "[DONE]" not in answer.data
        assert "internalServerException: The server had an error" in answer.data[-1]

    run(scenario, is_settled=False)


@pytest.mark.parametrize("name", ["ThrottlingException", "ExpiredTokenException", "ValidationException"])
def test_an_exceptions_name_decides_what_follows(run: Callable[..., None], name: str) -> None:
    statuses = {"ThrottlingException": 429, "ExpiredTokenException": 403, "ValidationException": 400}

    async def scenario(made: House) -> None:
        body = msgspec.json.encode({"message": "No."}).decode()
        made.sim.fault(
            "status", model="echo", status=statuses[name], body=body, headers={"x-amzn-errortype": f"{name}:x"}, times=2
        )
        answer = await made.ask(say("hi", model="bedrock/echo"))
        assert answer.status == (400 if name == "ValidationException" else 502 if "Expired" in name else 429)
        assert "No." in answer.json["error"]["message"]

    run(scenario)


# The frames ------------------------------------------------------------------

BROKEN = (
    "reset_before_headers", "close_before_headers", "reset_after_headers", "reset_mid_chunk", "close_mid_chunk",
    "close_mid_stream", "early_end", "truncated_json", "malformed_sse", "garbage", "garbage_http", "empty_stream",
    "error_event", "bad_chunk", "status", "html", "error_200", "early_done",
)  # fmt: skip
HARMLESS = (
    "one_byte",
    "split_utf8",
    "informational",
    "close_after",
    "close_delimited",
    "wrong_content_type",
    "no_done",
)
TEXT = "Grüße 🌊 aus 横浜 one two three four five six seven"


@pytest.mark.parametrize("kind", [*BROKEN, *HARMLESS])
@STREAMED
def test_nothing_is_lost_in_silence_whatever_breaks(run: Callable[..., None], kind: str, is_stream: bool) -> None:
    async def scenario(made: House) -> None:
        made.sim.fault(kind, model="echo", times=2)  # type: ignore[arg-type]
        answer = await made.ask(say(TEXT, model="bedrock/echo", stream=is_stream))
        is_shown = answer.status != 200 or b'"error"' in answer.body
        if is_shown:
            assert kind in BROKEN, answer.body
            assert "[DONE]" not in answer.data
        else:
            assert (answer.stream_text if is_stream else answer.text) == TEXT

    run(scenario, is_settled=False)


@pytest.mark.parametrize("kind", ["no_usage", "wrong_usage"])
@STREAMED
def test_usage_that_cannot_be_trusted_is_held_at_its_maximum(
    run: Callable[..., None], kind: str, is_stream: bool
) -> None:
    async def scenario(made: House) -> None:
        made.sim.fault(kind, model="echo")  # type: ignore[arg-type]
        answer = await made.ask(say("hi", model="bedrock/echo", stream=is_stream))
        assert answer.status == 200
        settled, held = await made.bill()
        assert settled == 0 < await made.meter() <= held
        await made.reconcile()

    run(scenario)


def test_a_slower_cache_another_tier_and_a_faster_machine_do_not_tell_their_price() -> None:
    codec = registry.get("bedrock_converse")()
    usage: dict[str, Any] = {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}

    def known(**more: Any) -> bool:
        message = {"role": "assistant", "content": [{"text": "Hi."}]}
        body = {"output": {"message": message}, "stopReason": "end_turn", "usage": usage, **more}
        return codec.decode_response(msgspec.json.encode(body)).usage is not None

    assert known()
    assert known(serviceTier={"type": "default"}, performanceConfig={"latency": "standard"})
    assert not known(usage=usage | {"cacheDetails": [{"ttl": "1h", "inputTokens": 9}]})
    assert not known(serviceTier={"type": "priority"})
    assert not known(performanceConfig={"latency": "optimized"})


def test_a_frame_that_is_not_json_and_one_of_a_later_day() -> None:
    codec = registry.get("bedrock_converse")()
    framing, decoder = codec.framing(1 << 20), codec.decoder()
    (later,) = framing.feed(frame({":event-type": "somethingNew", ":message-type": "event"}, b'{"a":1}'))
    assert decoder.feed(later) == []
    (odd,) = framing.feed(frame({":event-type": "messageStop", ":message-type": "event"}, b"no json"))
    with pytest.raises(UpstreamMalformed):
        decoder.feed(odd)
    ended = {":message-type": "error", ":error-code": "BadGateway", ":error-message": "Gone."}
    (broken,) = framing.feed(frame(ended, b""))
    (event,) = decoder.feed(broken)
    assert (event.code, event.message) == ("BadGateway", "BadGateway: Gone.")  # type: ignore[union-attr]
