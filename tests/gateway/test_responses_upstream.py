"""Models that are asked by OpenAI's responses wire: by callers of every wire, with conversations that are kept here."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mooring.core.errors import ConfigError
from mooring.gateway.codecs import registry
from mooring.gateway.config import GatewayConfig, ProviderConfig
from mooring.gateway.provider import registry as providers
from mooring.sim import Reply

from .golden import REQUESTS
from .house import Answer, House, house, read, say, sim_prices
from .wires import TOOL_SCHEMA, ask, data_of, sent

Scenario = Callable[[House], Awaitable[None]]
STREAMED = pytest.mark.parametrize("is_stream", [False, True])
TOOLS = [{"type": "function", "function": {"name": "refund", "parameters": TOOL_SCHEMA}}]
MASK = ({"type": "secrets_mask"},)
SECRET = "AKIA" + "Q7ZB3XN5LP2WK8RD"


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., None]:
    def config(url: str) -> GatewayConfig:
        prices = sim_prices()
        prices["*"] = prices["echo"]
        account: dict[str, Any] = {"type": "openai_compatible", "base_url": f"{url}/v1", "prices": prices}
        wires = {"*": "openai_responses", "writer": "openai_chat"}
        return GatewayConfig(
            providers={"up": ProviderConfig(**account, attempt_header=True, wires=wires)}, retry_wait_seconds=0
        )

    def running(scenario: Scenario, *, is_settled: bool = True, **options: Any) -> None:
        async def whole() -> None:
            async with house(tmp_path, config=config, **options) as made:
                await scenario(made)
                settled, held = await made.bill()
                if is_settled:
                    assert (settled, held) == (await made.meter(), 0)
                assert settled <= await made.meter() <= settled + held

        asyncio.run(whole())

    return running


async def respond(made: House, body: dict[str, Any]) -> Answer:
    return await read(await made.gateway.respond(made.inbound(body)))


@STREAMED
def test_a_chat_is_asked_by_the_wire_that_its_model_is_given(run: Callable[..., None], is_stream: bool) -> None:
    async def scenario(made: House) -> None:
        system = {"role": "system", "content": "Be kind."}
        body = {"model": "up/echo", "messages": [system, {"role": "user", "content": "one two three"}]}
        answer = await made.ask(body | {"max_tokens": 50, "stream": is_stream})
        assert (answer.stream_text if is_stream else answer.text) == "one two three"
        assert made.sim.requests[-1].path == "/v1/responses"
        assert sent(made)["store"] is False
        assert sent(made)["instructions"] == "Be kind."
        assert sent(made)["max_output_tokens"] == 50
        await made.ask(say("hi", model="up/writer", stream=is_stream))
        assert made.sim.requests[-1].path == "/v1/chat/completions"

    run(scenario)


@pytest.mark.parametrize("wire", sorted(REQUESTS))
@STREAMED
def test_a_whole_conversation_of_every_wire_is_taken(run: Callable[..., None], wire: str, is_stream: bool) -> None:
    async def scenario(made: House) -> None:
        body = {**REQUESTS[wire], "model": "up/agent", "stream": is_stream}
        for name in ("stop_sequences", "generation_config", "text"):
            body.pop(name, None)
        if wire == "anthropic_messages":  # its thoughts are signed by another vendor
            turn = body["messages"][1]
            body["messages"] = [body["messages"][0], {**turn, "content": turn["content"][1:]}, body["messages"][2]]
        answer = await ask(made, wire, body)
        assert answer.status == 200, answer.body
        kinds = [item["type"] for item in sent(made)["input"] if item.get("type", "message") != "message"]
        assert kinds[0] == "function_call"
        assert not any("id" in item for item in sent(made)["input"])

    run(scenario)


@STREAMED
def test_the_same_wire_passes_under_our_own_name(run: Callable[..., None], is_stream: bool) -> None:
    async def scenario(made: House) -> None:
        answer = await respond(made, {"model": "up/echo", "input": "one two", "stream": is_stream})
        assert answer.status == 200, answer.body
        events = data_of(answer.body) if is_stream else []
        body = events[-1]["response"] if is_stream else answer.json
        assert body["output"][0]["content"][0]["text"] == "one two"
        assert body["output"][0]["id"].startswith("msg_")
        assert body["store"] is True
        if is_stream:
            named = {event["response"]["id"] for event in events if "response" in event}
            assert named == {body["id"]}
            assert [event["sequence_number"] for event in events] == list(range(len(events)))
        kept = msgspec.json.decode(await made.gateway.responses.get("default", body["id"]))
        assert kept["id"] == body["id"]

    run(scenario)


@STREAMED
def test_a_conversation_goes_on_with_its_sealed_thoughts(run: Callable[..., None], is_stream: bool) -> None:
    async def scenario(made: House) -> None:
        first = await respond(made, {"model": "up/gpt-5-thinker", "input": "so?", "stream": is_stream})
        body = data_of(first.body)[-1]["response"] if is_stream else first.json
        assert sent(made)["include"] == ["reasoning.encrypted_content"]
        again = {"model": "up/gpt-5-thinker", "input": "and now?", "previous_response_id": body["id"]}
        second = await respond(made, again)
        assert second.status == 200, second.body
        assert second.json["previous_response_id"] == body["id"]
        kinds = [item.get("type", "message") for item in sent(made)["input"]]
        assert kinds == ["message", "reasoning", "message", "message"]
        assert sent(made)["input"][1]["encrypted_content"] == body["output"][0]["encrypted_content"]
        assert "previous_response_id" not in sent(made)

    run(scenario, scripts={"gpt-5-thinker": lambda _: Reply("Done.", reasoning="Let me see.")})


def test_thoughts_come_back_by_another_wire_as_they_were_sealed(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        body = {"model": "up/gpt-5-thinker", "max_tokens": 99, "messages": [{"role": "user", "content": "so?"}]}
        first = (await ask(made, "anthropic_messages", body)).json
        assert first["content"][0]["type"] == "thinking"
        turns = [*body["messages"], {"role": "assistant", "content": first["content"]}, body["messages"][0]]  # type: ignore[misc]
        again = await ask(made, "anthropic_messages", body | {"messages": turns})
        assert again.status == 200, again.body
        assert sent(made)["input"][1]["encrypted_content"] == first["content"][0]["signature"]

    run(scenario, scripts={"gpt-5-thinker": lambda _: Reply("Done.", reasoning="Let me see.")})


def test_thoughts_that_another_vendor_sealed_stay_behind() -> None:
    codec = registry.get("openai_responses")()
    mine = {"type": "reasoning", "summary": [], "encrypted_content": "gAAAAA"}
    others = [mine | {"encrypted_content": "signed.x"}, mine | {"encrypted_content": "sealed.x"}]
    fields: dict[str, Any] = {"input": [mine, *others]}
    codec.prepare(fields, model="gpt-4o", is_stream=False, cap_field=None, cap_tokens=0)
    assert fields["input"] == [mine]
    assert "include" not in fields  # a model that does not think refuses to be asked for its thoughts


@STREAMED
def test_calls_of_tools_keep_their_ids_and_arguments(run: Callable[..., None], is_stream: bool) -> None:
    async def scenario(made: House) -> None:
        answer = await made.ask(say('order "81"', model="up/agent", tools=TOOLS, stream=is_stream))
        if not is_stream:
            (call,) = answer.json["choices"][0]["message"]["tool_calls"]
            assert call["function"] == {"name": "refund", "arguments": '{"order":"81"}'}
            assert answer.json["choices"][0]["finish_reason"] == "tool_calls"
        chunks = [msgspec.json.decode(data)["choices"] for data in answer.data if data != "[DONE]"]
        deltas = [call for chunk in chunks for one in chunk for call in one["delta"].get("tool_calls", ())]
        assert not is_stream or "".join(d["function"].get("arguments", "") for d in deltas) == '{"order":"81"}'

    run(scenario)


@STREAMED
def test_guards_change_an_answer_that_passes(run: Callable[..., None], is_stream: bool) -> None:
    async def scenario(made: House) -> None:
        answer = await respond(made, {"model": "up/leak", "input": "go", "stream": is_stream})
        assert answer.status == 200, answer.body
        assert SECRET.encode() not in answer.body
        assert b"so there" in answer.body
        body = data_of(answer.body)[-1]["response"] if is_stream else answer.json
        assert body["status"] == "completed"
        assert body["id"].startswith("resp_")

    run(scenario, checks=MASK, scripts={"leak": lambda _: Reply(f"The key is {SECRET}, so there.")})


BROKEN = ("reset_mid_chunk", "close_mid_stream", "early_end", "truncated_json", "error_event", "empty_stream", "status",
          "html", "error_200", "garbage")  # fmt: skip


@pytest.mark.parametrize("kind", [*BROKEN, "one_byte", "split_utf8", "crlf", "close_delimited"])
@STREAMED
def test_nothing_is_lost_in_silence_on_either_wire(run: Callable[..., None], kind: str, is_stream: bool) -> None:
    text = "Grüße 🌊 one two three four five six seven eight"

    async def scenario(made: House) -> None:
        made.sim.fault(kind, model="echo", times=2)  # type: ignore[arg-type]
        answer = await respond(made, {"model": "up/echo", "input": text, "stream": is_stream})
        if answer.status != 200:
            assert kind in BROKEN
        elif not is_stream:
            assert answer.json["output"][0]["content"][0]["text"] == text
        else:
            last = data_of(answer.body)[-1]
            is_whole = last["type"] == "response.completed"
            assert is_whole or (last["type"] == "error" and kind in BROKEN), last
            said = "".join(one["delta"] for one in data_of(answer.body) if one["type"] == "response.output_text.delta")
            assert not is_whole or said == text
        made.sim.fault(kind, model="echo", times=2)  # type: ignore[arg-type]
        chat = await made.ask(say(text, model="up/echo", stream=is_stream))
        is_shown = chat.status != 200 or b'"error"' in chat.body
        assert is_shown or (chat.stream_text if is_stream else chat.text) == text

    run(scenario, is_settled=False)


def test_an_answer_that_failed_is_an_error() -> None:
    codec = registry.get("openai_responses")()
    failed = {"object": "response", "status": "failed", "error": {"code": "server_error", "message": "No."}}
    body = msgspec.json.encode({**failed, "output": []})
    assert codec.is_error(body)
    assert codec.decode_error(200, {}, body).message == "No."
    (event,) = codec.decoder().feed(msgspec.json.encode({"type": "response.failed", "response": failed}))
    assert event.message == "No."  # type: ignore[union-attr]
    assert not codec.is_error(msgspec.json.encode({"status": "completed", "error": None, "output": []}))


def test_a_vendor_of_another_wire_has_no_choice_of_wires(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "x")
    config = ProviderConfig(type="anthropic", wires={"*": "openai_responses"})
    with pytest.raises(ConfigError, match="speaks anthropic_messages and nothing else"):
        providers.get("anthropic")("a", config)
