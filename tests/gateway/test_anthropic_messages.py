"""Anthropic's wire through the gateway: passed as it came, translated both ways, billed to the nano-dollar."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from .house import House
from .wires import TOOL_SCHEMA, ask, data_of, sent, wires

Scenario = Callable[[House], Awaitable[None]]
MASK = ({"type": "secrets_mask"},)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def running(scenario: Scenario, **options: Any) -> None:
        async def whole() -> None:
            async with wires(tmp_path, monkeypatch, **options) as made:
                await scenario(made)
                settled, held = await made.bill()
                assert (settled, held) == (await made.meter(), 0)

        asyncio.run(whole())

    return running


def say(text: str, model: str = "anthropic/echo", **more: Any) -> dict[str, Any]:
    return {"model": model, "max_tokens": 500, "messages": [{"role": "user", "content": text}], **more}


TOOLS = [{"name": "refund", "description": "Refunds.", "input_schema": TOOL_SCHEMA}]
# A conversation with everything that both wires can say.
LONG = [
    {"role": "user", "content": [{"type": "text", "text": "Order 81 came broken"}]},
    {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "c1", "name": "refund", "input": {"order": "81"}},
            {"type": "tool_use", "id": "c2", "name": "refund", "input": {}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "c1", "content": "done"},
            {"type": "tool_result", "tool_use_id": "c2", "content": [{"type": "text", "text": "no"}]},
            {"type": "text", "text": "And now?"},
        ],
    },
]


@pytest.mark.parametrize("provider", ["anthropic", "sim"])
def test_an_answer_is_a_message_with_its_usage(run: Callable[..., None], provider: str) -> None:
    async def scenario(made: House) -> None:
        answer = await ask(made, "anthropic_messages", say("hello", f"{provider}/echo", system="Be kind."))
        assert answer.status == 200, answer.body
        message = answer.json
        assert message["type"], message["role"] == ("message", "assistant")
        assert message["content"] == [{"type": "text", "text": "hello"}]
        assert message["stop_reason"] == "end_turn"
        assert message["usage"]["input_tokens"] > 0
        assert message["usage"]["output_tokens"] == 2
        assert "x-mooring-cost-usd" in answer.headers

    run(scenario)


@pytest.mark.parametrize("provider", ["anthropic", "sim"])
def test_a_stream_has_named_events_in_their_order(run: Callable[..., None], provider: str) -> None:
    async def scenario(made: House) -> None:
        answer = await ask(made, "anthropic_messages", say("one two three", f"{provider}/echo", stream=True))
        events = data_of(answer.body)
        names = [line[7:] for line in answer.body.decode().split("\n") if line.startswith("event: ")]
        assert names == [event["type"] for event in events]
        kinds = [name for name in names if name not in ("ping", "content_block_delta")]
        assert kinds == [
            "message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"
        ]  # fmt: skip
        deltas = [event["delta"]["text"] for event in events if event["type"] == "content_block_delta"]
        assert "".join(deltas) == "one two three"
        closing = events[-2]
        assert closing["delta"]["stop_reason"] == "end_turn"
        assert closing["usage"]["output_tokens"] == 4
        assert b": mooring call=" in answer.body

    run(scenario)


@pytest.mark.parametrize("provider", ["anthropic", "sim"])
@pytest.mark.parametrize("is_stream", [False, True])
def test_tools_in_parallel_keep_their_ids_and_inputs(run: Callable[..., None], provider: str, is_stream: bool) -> None:
    async def scenario(made: House) -> None:
        tools = [*TOOLS, {"name": "look", "input_schema": {"type": "object"}}]
        body = say('order "81"', f"{provider}/agent-parallel", tools=tools, stream=is_stream)
        answer = await ask(made, "anthropic_messages", body)
        if is_stream:
            events = data_of(answer.body)
            blocks = [event["content_block"] for event in events if event["type"] == "content_block_start"]
            reason = events[-2]["delta"]["stop_reason"]
        else:
            blocks, reason = answer.json["content"], answer.json["stop_reason"]
        calls = [block for block in blocks if block["type"] == "tool_use"]
        assert {call["name"] for call in calls} == {"refund", "look"}
        assert len({call["id"] for call in calls}) == 2
        assert reason == "tool_use"

    run(scenario)


def test_a_body_that_passes_is_changed_in_nothing_but_the_models_name(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        body = say("hi", messages=LONG, tools=TOOLS, top_k=3, metadata={"user_id": "u"}, thinking={"type": "adaptive"})
        answer = await ask(made, "anthropic_messages", body, anthropic_version="2026-10-21", anthropic_beta="some")
        assert answer.status == 200, answer.body
        assert sent(made) == {**body, "model": "echo"}
        request = made.sim.requests[-1]
        assert request.headers["anthropic-version"] == "2026-10-21"
        assert request.headers["anthropic-beta"] == "some"
        assert request.headers["x-api-key"]
        assert "authorization" not in request.headers

    run(scenario)


def test_a_conversation_with_tools_is_translated_to_openai_and_back(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        body = say("x", "sim/echo", messages=LONG, system=[{"type": "text", "text": "Be kind."}], tools=TOOLS)
        answer = await ask(made, "anthropic_messages", {**body, "tool_choice": {"type": "any"}})
        assert answer.status == 200, answer.body
        found = sent(made)
        assert [message["role"] for message in found["messages"]] == [
            "system", "user", "assistant", "tool", "tool", "user"
        ]  # fmt: skip
        assert found["tool_choice"] == "required"
        assert found["max_completion_tokens"] == 500
        assert found["tools"][0]["function"]["parameters"] == TOOL_SCHEMA
        chat = {"model": "anthropic/echo", **{name: found[name] for name in ("messages", "tools", "tool_choice")}}
        assert (await made.ask(chat)).status == 200
        back = sent(made)
        assert back["messages"][1:] == [LONG[1], {**LONG[2], "content": [
            LONG[2]["content"][0], {"type": "tool_result", "tool_use_id": "c2", "content": "no"},
            LONG[2]["content"][2]]}]  # fmt: skip
        assert back["max_tokens"] == 4096  # this wire cannot do without a cap

    run(scenario)


def test_cache_reads_and_writes_stand_beside_the_input_and_are_billed_apart(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        mark = {"cache_control": {"type": "ephemeral"}}
        messages = [
            {"role": "user", "content": "Tell me of the sea. " * 8},
            {"role": "assistant", "content": "It is wide. " * 8},
            {"role": "user", "content": [{"type": "text", "text": "More of it. " * 8, **mark}]},
        ]
        answer = await ask(made, "anthropic_messages", say("", "anthropic/writer-9words", messages=messages))
        usage = answer.json["usage"]
        assert usage["cache_read_input_tokens"] > 0
        assert usage["cache_creation_input_tokens"] > 0
        row = made.sim.meter.rows[-1]
        call = (await made.journal.list_calls("default"))[0]
        (attempt,) = await made.journal.attempts("default", call.id)
        assert attempt.usage is not None
        assert attempt.usage.input_tokens == row.input_tokens == sum(usage[name] for name in (
            "input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"))  # fmt: skip
        assert attempt.usage.cache_write_tokens == row.cache_write_tokens > 0
        assert attempt.settled_nanos == row.cost_nanos

    run(scenario)


def test_thinking_passes_with_its_signature_and_is_told_to_those_who_know_no_signature(
    run: Callable[..., None],
) -> None:
    async def scenario(made: House) -> None:
        answer = await ask(made, "anthropic_messages", say("think", "anthropic/reasoner"))
        thinking = answer.json["content"][0]
        assert thinking["type"] == "thinking"
        assert thinking["signature"].startswith("sig-")
        again = [*say("think")["messages"], {"role": "assistant", "content": answer.json["content"]},
                 {"role": "user", "content": "go on"}]  # fmt: skip
        assert (await ask(made, "anthropic_messages", say("", "anthropic/reasoner", messages=again))).status == 200
        other = await ask(made, "anthropic_messages", say("", "sim/echo", messages=again))
        assert other.status == 200
        assert other.headers["x-mooring-dropped"] == "thinking"
        assert "reasoning_content" not in other.body.decode()

    run(scenario)


def test_what_a_wire_cannot_carry_is_refused_by_name_and_left_out_where_the_caller_allows_it(
    run: Callable[..., None],
) -> None:
    async def scenario(made: House) -> None:
        body = {
            "model": "anthropic/echo",
            "messages": [{"role": "user", "content": "hi"}],
            "seed": 1,
            "top_logprobs": 2,
        }
        refused = await made.ask(body)
        assert refused.status == 400
        assert refused.json["error"]["code"] == "wire_cannot_carry"
        assert "seed, top_logprobs" in refused.json["error"]["message"]
        assert (await made.ask(body, x_mooring_allow_drop="seed")).status == 400
        for header in ("seed,top_logprobs", "*"):
            answer = await made.ask(body, x_mooring_allow_drop=header)
            assert answer.status == 200
            assert answer.headers["x-mooring-dropped"] == "seed, top_logprobs"
            assert answer.text == "hi"
        top_k = await ask(made, "anthropic_messages", say("hi", "sim/echo", top_k=4))
        assert top_k.json["error"]["details"]["error_code"] == "wire_cannot_carry"

    run(scenario)


def test_a_thread_is_answered_with_the_documented_refusal(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        answer = await ask(made, "anthropic_messages", say("hi", thread={"type": "create"}))
        assert answer.status == 400
        assert answer.json["type"] == "error"
        assert answer.json["error"]["type"] == "invalid_request_error"
        assert answer.json["error"]["details"]["error_code"] == "thread_unsupported_request"

    run(scenario)


@pytest.mark.parametrize("provider", ["anthropic", "sim"])
def test_tokens_are_counted_by_the_vendor_or_estimated_and_said_so(run: Callable[..., None], provider: str) -> None:
    async def scenario(made: House) -> None:
        body = say("one two three four", f"{provider}/echo")
        del body["max_tokens"]
        inbound = made.inbound(body)
        outbound = await made.gateway.count(inbound, "anthropic_count_tokens")
        assert outbound.status == 200
        assert isinstance(outbound.body, bytes)
        assert b'{"input_tokens":' in outbound.body
        assert ((b"x-mooring-estimated", b"true") in outbound.headers) is (provider == "sim")
        assert not made.sim.meter.rows

    run(scenario)


@pytest.mark.parametrize("provider", ["anthropic", "sim"])
@pytest.mark.parametrize("is_stream", [False, True])
def test_secrets_are_masked_in_every_string_of_request_and_answer(
    run: Callable[..., None], provider: str, is_stream: bool
) -> None:
    secret = "AKIA" + "Q7ZB3XN5LP2WK8RD"

    async def scenario(made: House) -> None:
        block = {"type": "tool_use", "id": "c1", "name": "refund", "input": {"order": [{"deep": f"k {secret}"}]}}
        messages = [
            {"role": "user", "content": [{"type": "text", "text": f"key {secret}", "citations": None}]},
            {"role": "assistant", "content": [block]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": secret}]},
                {"type": "text", "text": f"say {secret} and more"}]},
        ]  # fmt: skip
        body = say("", f"{provider}/echo", messages=messages, system=f"never {secret}", stream=is_stream)
        answer = await ask(made, "anthropic_messages", body)
        assert answer.status == 200, answer.body
        assert secret not in made.sim.requests[-1].body.decode()
        assert secret not in answer.body.decode()
        assert b"more" in answer.body

    run(scenario, checks=MASK)


@pytest.mark.parametrize("provider", ["anthropic", "sim"])
def test_a_secret_cut_over_events_is_masked_and_the_blocks_stay_in_order(
    run: Callable[..., None], provider: str
) -> None:
    secret = "AKIA" + "Q7ZB3XN5LP2WK8RD"

    async def scenario(made: House) -> None:
        answer = await ask(made, "anthropic_messages", say("go", f"{provider}/leak", stream=True))
        events = [event for event in data_of(answer.body) if event["type"] != "ping"]
        text = "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")
        assert secret not in text
        assert text.startswith("The key is ")
        assert text.endswith(" so there")
        assert [event["type"] for event in events][-3:] == ["content_block_stop", "message_delta", "message_stop"]
        assert len([event for event in events if event["type"] == "content_block_start"]) == 1

    from mooring.sim import Reply

    run(scenario, checks=MASK, scripts={"leak": lambda _: Reply(text=f"The key is {secret} so there")})


@pytest.mark.parametrize("provider", ["anthropic", "sim"])
@pytest.mark.parametrize("kind", ["close_mid_stream", "early_done", "error_event", "truncated_json"])
def test_a_stream_that_is_cut_ends_with_an_error_event_of_the_callers_wire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str, kind: str
) -> None:
    async def scenario() -> None:
        async with wires(tmp_path, monkeypatch) as made:
            made.sim.fault(kind, model="echo", after_events=2)
            answer = await ask(made, "anthropic_messages", say("one two three four", f"{provider}/echo", stream=True))
            assert answer.status == 200
            last = data_of(answer.body)[-1]
            assert last["type"] == "error"
            assert last["error"]["message"]
            assert b"message_stop" not in answer.body
            settled, held = await made.bill()
            assert settled <= await made.meter() <= settled + held

    asyncio.run(scenario())


def test_an_error_of_the_vendor_keeps_its_meaning_on_both_wires(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        for wire, body in (
            ("anthropic_messages", say("hi", "anthropic/nothing")),
            ("openai_chat", {"model": "anthropic/nothing", "messages": [{"role": "user", "content": "hi"}]}),
        ):
            answer = await ask(made, wire, body)
            assert answer.status == 400
            assert "does not exist" in answer.json["error"]["message"]

    run(scenario)


def test_structured_output_and_named_tools_hold_across_the_wires(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        schema = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}
        chat = {
            "model": "anthropic/json", "messages": [{"role": "user", "content": "order 81"}],
            "response_format": {"type": "json_schema", "json_schema": {"name": "o", "schema": schema}},
        }  # fmt: skip
        answer = await made.ask(chat)
        assert answer.text == '{"order":"81"}'
        asked = say("order 81", "sim/json", output_config={"format": {"type": "json_schema", "schema": schema}})
        other = await ask(made, "anthropic_messages", asked)
        assert other.json["content"][0]["text"] == '{"order":"81"}'
        named = say("order 81", "sim/echo", tools=TOOLS, tool_choice={"type": "tool", "name": "refund"})
        block = (await ask(made, "anthropic_messages", named)).json["content"][0]
        assert block["name"], block["input"] == ("refund", {"order": "81"})

    run(scenario)


def test_streams_of_the_other_wire_hide_their_usage_from_those_who_did_not_ask(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        body = {"model": "anthropic/echo", "messages": [{"role": "user", "content": "hi you"}], "stream": True}
        answer = await made.ask(body)
        assert answer.stream_text == "hi you"
        assert answer.data[-1] == "[DONE]"
        assert '"usage"' not in answer.body.decode()
        shown = await made.ask({**body, "stream_options": {"include_usage": True}})
        assert '"prompt_tokens"' in shown.body.decode()

    run(scenario)


def test_what_costs_more_than_the_list_says_is_refused_under_a_budget(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        await made.journal.put_budget(
            "default", scope="model", subject="anthropic/echo", window="total", cap_nanos=10**12
        )
        for body, why in (
            (say("hi", speed="fast"), "faster tier"),
            (say("hi", mcp_servers=[{"name": "x"}]), "vendor's own tools"),
        ):
            answer = await ask(made, "anthropic_messages", body)
            assert answer.status == 402
            assert why in answer.json["error"]["message"]
        assert (await ask(made, "anthropic_messages", say("hi"))).status == 200

    run(scenario)


def test_a_request_goes_to_the_first_target_whose_wire_can_carry_all_of_it(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        body: dict[str, Any] = {"model": "either", "messages": [{"role": "user", "content": "hi"}]}
        assert (await made.ask(body)).status == 200
        assert made.sim.requests[-1].path == "/v1/messages"
        assert (await made.ask({**body, "seed": 1})).status == 200
        assert made.sim.requests[-1].path == "/v1/chat/completions"

    run(scenario)
