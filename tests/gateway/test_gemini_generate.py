"""Gemini's wire through the gateway: either spelling passes, translations hold, bills are those of the meter."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mooring.sim import Reply

from .house import House
from .wires import TOOL_SCHEMA, ask, data_of, sent, wires

Scenario = Callable[[House], Awaitable[None]]
MASK = ({"type": "secrets_mask"},)
SECRET = "AKIA" + "Q7ZB3XN5LP2WK8RD"
WIRE = "gemini_generate"
BOTH = pytest.mark.parametrize("provider", ["gemini", "sim"])


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


def say(text: str, model: str = "gemini/echo", **more: Any) -> dict[str, Any]:
    return {"model": model, "contents": [{"role": "user", "parts": [{"text": text}]}], **more}


TOOLS = [{"functionDeclarations": [{"name": "refund", "description": "R.", "parametersJsonSchema": TOOL_SCHEMA}]}]
LONG = [
    {"role": "user", "parts": [{"text": "Order 81 came broken"}]},
    {
        "role": "model",
        "parts": [
            {"functionCall": {"id": "c1", "name": "refund", "args": {"order": "81"}}, "thoughtSignature": "c2ln"},
            {"functionCall": {"id": "c2", "name": "refund", "args": {}}},
        ],
    },
    {
        "role": "user",
        "parts": [
            {"functionResponse": {"id": "c1", "name": "refund", "response": {"result": "done"}}},
            {"functionResponse": {"id": "c2", "name": "refund", "response": {"error": "no"}}},
        ],
    },
    {"role": "user", "parts": [{"text": "And now?"}]},
]


@BOTH
def test_an_answer_has_candidates_and_usage(run: Callable[..., None], provider: str) -> None:
    async def scenario(made: House) -> None:
        answer = await ask(made, WIRE, say("hello", f"{provider}/echo", systemInstruction={"parts": [{"text": "Hi"}]}))
        assert answer.status == 200, answer.body
        (candidate,) = answer.json["candidates"]
        assert candidate["content"] == {"role": "model", "parts": [{"text": "hello"}]}
        assert candidate["finishReason"] == "STOP"
        assert answer.json["usageMetadata"]["candidatesTokenCount"] == 2

    run(scenario)


@BOTH
def test_a_stream_ends_with_its_reason_and_usage_in_the_last_event(run: Callable[..., None], provider: str) -> None:
    async def scenario(made: House) -> None:
        answer = await ask(made, WIRE, say("one two three", f"{provider}/echo", stream=True))
        assert b"\r\n\r\n" in answer.body
        assert b"\n:" not in answer.body  # its clients take a comment for an error
        events = data_of(answer.body)
        text = "".join(part["text"] for event in events for part in event["candidates"][0]["content"]["parts"])
        assert text == "one two three"
        assert ["finishReason" in event["candidates"][0] for event in events] == [False] * (len(events) - 1) + [True]
        assert events[-1]["usageMetadata"]["candidatesTokenCount"] == 4

    run(scenario)


@BOTH
@pytest.mark.parametrize("is_stream", [False, True])
def test_calls_of_functions_come_whole(run: Callable[..., None], provider: str, is_stream: bool) -> None:
    async def scenario(made: House) -> None:
        tools = [{"function_declarations": [{"name": "refund", "parameters_json_schema": TOOL_SCHEMA}, {"name": "l"}]}]
        body = say('order "81"', f"{provider}/agent-parallel", tools=tools, stream=is_stream)
        answer = await ask(made, WIRE, body)
        assert answer.status == 200, answer.body
        bodies = data_of(answer.body) if is_stream else [answer.json]
        parts = [part for one in bodies for part in one["candidates"][0]["content"]["parts"]]
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
        assert [call["name"] for call in calls] == ["refund", "l"]
        assert calls[0]["args"] == {"order": "81"}
        assert bodies[-1]["candidates"][0]["finishReason"] == "STOP"

    run(scenario)


def test_a_body_that_passes_keeps_the_spelling_of_its_client(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        body = say(
            "hi", contents=LONG, tools=[{"function_declarations": [{"name": "refund"}]}],
            generation_config={"max_output_tokens": 50, "thinking_config": {"include_thoughts": True}},
            safetySettings=[],
        )  # fmt: skip
        answer = await ask(made, WIRE, body)
        assert answer.status == 200, answer.body
        assert sent(made) == {name: value for name, value in body.items() if name != "model"}
        assert made.sim.requests[-1].path == "/v1beta/models/echo:generateContent"
        assert made.sim.requests[-1].headers["x-goog-api-key"]

    run(scenario)


def test_a_conversation_with_functions_reaches_every_wire_and_comes_back(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        config = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["refund"]}}
        body = {"contents": LONG, "tools": TOOLS, "toolConfig": config, "generationConfig": {"maxOutputTokens": 70}}
        answer = await ask(made, WIRE, say("", "sim/echo", **body))
        assert answer.status == 200, answer.body
        assert answer.headers["x-mooring-dropped"] == "failed tool results, tool call signatures"
        chat = sent(made)
        assert [message["role"] for message in chat["messages"]] == ["user", "assistant", "tool", "tool", "user"]
        assert chat["tool_choice"] == {"type": "function", "function": {"name": "refund"}}
        assert (await ask(made, WIRE, say("", "anthropic/echo", **body))).status == 200
        messages = sent(made)
        assert messages["messages"][2]["content"][1]["is_error"] is True
        assert messages["tool_choice"] == {"type": "tool", "name": "refund"}
        back = await ask(made, "anthropic_messages", {**messages, "model": "gemini/echo"})
        assert back.status == 200, back.body
        again = sent(made)
        assert again["toolConfig"] == config
        assert again["contents"][1]["parts"][1] == LONG[1]["parts"][1]
        assert again["contents"][2] == LONG[2]

    run(scenario)


@BOTH
def test_schemas_hold_in_googles_own_words_and_in_jsons(run: Callable[..., None], provider: str) -> None:
    async def scenario(made: House) -> None:
        own = {"type": "OBJECT", "properties": {"order": {"type": "STRING"}}, "required": ["order"]}
        for schema in ({"responseSchema": own}, {"responseJsonSchema": TOOL_SCHEMA}):
            config = {"responseMimeType": "application/json", **schema}
            answer = await ask(made, WIRE, say("order 81", f"{provider}/json", generationConfig=config))
            assert answer.status == 200, answer.body
            assert answer.json["candidates"][0]["content"]["parts"] == [{"text": '{"order":"81"}'}]

    run(scenario)


def test_thoughts_are_billed_and_told_apart_on_every_wire(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        answer = await ask(made, WIRE, say("think", "gemini/reasoner"))
        assert answer.json["candidates"][0]["content"]["parts"][0]["thought"] is True
        told = answer.json["usageMetadata"]["thoughtsTokenCount"]
        assert told == made.sim.meter.rows[-1].reasoning_tokens > 0
        chat = await made.ask({"model": "gemini/reasoner", "messages": [{"role": "user", "content": "think"}]})
        assert chat.json["usage"]["completion_tokens_details"]["reasoning_tokens"] == told
        assert chat.json["choices"][0]["message"]["reasoning_content"]

    run(scenario)


@BOTH
@pytest.mark.parametrize("is_stream", [False, True])
def test_secrets_are_masked_in_every_string(run: Callable[..., None], provider: str, is_stream: bool) -> None:
    async def scenario(made: House) -> None:
        contents = [
            {"role": "user", "parts": [{"text": f"key {SECRET}"}]},
            {"role": "model", "parts": [{"functionCall": {"id": "c", "name": "f", "args": {"a": [SECRET]}}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "c", "name": "f", "response": {"deep": [{"x": SECRET}]}}}]},
            {"role": "user", "parts": [{"text": f"say {SECRET} and more"}]},
        ]  # fmt: skip
        system = {"parts": [{"text": f"never {SECRET}"}]}
        body = say("", f"{provider}/leak", contents=contents, system_instruction=system, stream=is_stream)
        answer = await ask(made, WIRE, body)
        assert answer.status == 200, answer.body
        assert SECRET not in made.sim.requests[-1].body.decode()
        events = data_of(answer.body) if is_stream else [answer.json]
        parts = [part for event in events for part in event["candidates"][0]["content"]["parts"]]
        text = "".join(part.get("text", "") for part in parts)
        assert SECRET not in text
        assert text.startswith("The key is ")
        assert text.endswith(" so there")

    run(scenario, checks=MASK, scripts={"leak": lambda _: Reply(text=f"The key is {SECRET} so there")})


@BOTH
@pytest.mark.parametrize("kind", ["close_mid_stream", "early_end", "error_event", "truncated_json"])
def test_a_stream_that_is_cut_ends_with_an_error_event(run: Callable[..., None], provider: str, kind: str) -> None:
    async def scenario(made: House) -> None:
        made.sim.fault(kind, model="echo", after_events=2)
        answer = await ask(made, WIRE, say("one two three four", f"{provider}/echo", stream=True))
        assert answer.status == 200
        events = data_of(answer.body)
        assert events[-1]["error"]["status"]
        assert not any("finishReason" in event.get("candidates", [{}])[0] for event in events)

    run(scenario, is_settled=False)


def test_vectors_cross_the_wires_and_hold_their_price_where_nobody_tells_it(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        requests = [{"content": {"parts": [{"text": text}]}, "outputDimensionality": 8} for text in ("sea", "ship")]
        own = await ask(made, "gemini_batch_embed", {"model": "gemini/embed", "requests": requests})
        assert own.status == 200, own.body
        crossed = await ask(made, "gemini_batch_embed", {"model": "sim/embed", "requests": requests})
        mine, theirs = own.json["embeddings"], crossed.json["embeddings"]
        assert [len(vector["values"]) for vector in theirs] == [8, 8]
        assert mine[0]["values"] == pytest.approx(theirs[0]["values"], abs=1e-6)
        one = await ask(made, "gemini_embed", {"model": "sim/embed", **requests[0]})
        assert one.json["embedding"]["values"] == theirs[0]["values"]
        for encoding in ("float", "base64"):
            body = {"model": "gemini/embed", "input": ["sea"], "dimensions": 8, "encoding_format": encoding}
            answer = await ask(made, "openai_embeddings", body)
            assert answer.status == 200, answer.body
            vector = answer.json["data"][0]["embedding"]
            assert isinstance(vector, str if encoding == "base64" else list)
        tokens = await ask(made, "openai_embeddings", {"model": "gemini/embed", "input": [1, 2]})
        assert tokens.status == 400

    run(scenario, is_settled=False)


@BOTH
def test_tokens_are_counted_or_estimated(run: Callable[..., None], provider: str) -> None:
    async def scenario(made: House) -> None:
        body = say("one two three", f"{provider}/echo")
        inner = made.inbound({"generateContentRequest": {"model": f"models/{body['model']}", **body}})
        for inbound in (made.inbound({"contents": body["contents"]}), inner):
            changed = msgspec.structs.replace(inbound, model=body["model"])
            outbound = await made.gateway.count(changed, "gemini_count_tokens")
            assert outbound.status == 200, outbound.body
            assert isinstance(outbound.body, bytes)
            assert b'"totalTokens":' in outbound.body

    run(scenario)


def test_what_this_wire_cannot_say_is_refused_by_name(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        chat = {"model": "gemini/echo", "messages": [{"role": "user", "content": "hi"}], "logit_bias": {"1": 2}}
        refused = await made.ask(chat)
        assert refused.status == 400
        assert "logit_bias" in refused.json["error"]["message"]
        assert (await made.ask(chat, x_mooring_allow_drop="logit_bias")).status == 200
        search = await ask(made, WIRE, say("hi", "sim/echo", tools=[{"googleSearch": {}}]))
        assert search.json["error"]["status"] == "INVALID_ARGUMENT"
        assert search.json["error"]["details"][0]["reason"] == "WIRE_CANNOT_CARRY"

    run(scenario)


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("wire", ["openai_chat", "anthropic_messages"])
def test_whoever_wants_one_call_a_turn_gets_one_although_this_wire_cannot_ask_for_it(
    run: Callable[..., None], wire: str, is_stream: bool
) -> None:
    async def scenario(made: House) -> None:
        schema = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}
        body: dict[str, Any] = {"model": "gemini/agent-parallel", "max_tokens": 500, "stream": is_stream}
        body["messages"] = [{"role": "user", "content": 'order "81"'}]
        if wire == "openai_chat":
            declared = [{"type": "function", "function": {"name": one, "parameters": schema}} for one in ("one", "two")]
            body |= {"parallel_tool_calls": False, "tools": declared}
        else:
            body["tools"] = [{"name": name, "input_schema": schema} for name in ("one", "two")]
            body["tool_choice"] = {"type": "auto", "disable_parallel_tool_use": True}
        answer = await ask(made, wire, body)
        assert answer.status == 200
        assert b'"one"' in answer.body
        assert b'"two"' not in answer.body
        assert "x-mooring-dropped" not in answer.headers

    run(scenario)


def test_text_that_is_asked_for_by_name_is_text_on_any_wire_and_under_a_budget(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        await made.journal.put_budget("default", scope="project", subject="", window="total", cap_nanos=10**12)
        for modalities, status in ((["TEXT"], 200), (["TEXT", "AUDIO"], 400)):
            config = {"responseModalities": modalities}
            assert (await ask(made, WIRE, say("hi", "sim/echo", generationConfig=config))).status == status

    run(scenario)
