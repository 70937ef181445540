"""The double speaks OpenAI's chat completions, as the official SDK and raw bytes see it."""

import asyncio
import json
from typing import Any

import openai
import pydantic
import pytest

from mooring.sim import Conversation, Failure, Reply, SimServer

from .conftest import chat_body, connect, events_of, sdk


def test_the_sdk_gets_an_answer_and_its_usage() -> None:
    async def go() -> None:
        async with SimServer() as sim, sdk(sim) as client:
            answer = await client.chat.completions.create(**chat_body("echo", "Ahoy, Malmö"))
            assert answer.choices[0].message.content == "Ahoy, Malmö"
            assert answer.choices[0].finish_reason == "stop"
            assert answer.usage is not None
            assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3 + 3, 3)

    asyncio.run(go())


def test_a_stream_has_the_same_text_as_the_whole_answer_and_shows_usage_only_when_asked() -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            whole = json.loads((await raw.chat("writer"))[2])
            silent = events_of((await raw.chat("writer", stream=True))[2])
            asked = events_of((await raw.chat("writer", stream=True, stream_options={"include_usage": True}))[2])
            assert silent[-1] == asked[-1] == "[DONE]"
            assert not any("usage" in event for event in silent[:-1])
            assert all(event["usage"] is None for event in asked[:-2])
            assert asked[-2]["choices"] == []
            assert asked[-2]["usage"] == whole["usage"]
            text = "".join(event["choices"][0]["delta"].get("content", "") for event in silent[:-1])
            assert text == whole["choices"][0]["message"]["content"]
            assert silent[-2]["choices"][0]["finish_reason"] == "stop"

    asyncio.run(go())


def test_n_choices_are_interleaved_in_a_stream_and_all_billed() -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            body = (await raw.chat("writer-20words", n=3, stream=True, stream_options={"include_usage": True}))[2]
            events = events_of(body)
            indices = [event["choices"][0]["index"] for event in events[:-2]]
            assert indices[:9] == [0, 1, 2] * 3
            whole = json.loads((await raw.chat("writer-20words", n=3))[2])
            texts = {choice["message"]["content"] for choice in whole["choices"]}
            assert len(texts) == 3
            assert events[-2]["usage"] == whole["usage"]
            assert sim.meter.rows[0].output_tokens == whole["usage"]["completion_tokens"]

    asyncio.run(go())


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_the_output_limit_is_kept_and_named(field: str) -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            for model in ("writer", "reasoner", "echo"):
                answer = json.loads((await raw.chat(model, "a long enough text " * 9, **{field: 7}))[2])
                assert answer["choices"][0]["finish_reason"] == "length"
                assert answer["usage"]["completion_tokens"] == 7

    asyncio.run(go())


def test_the_output_limit_cuts_a_tool_call_too(tools: list[dict[str, Any]]) -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            answer = json.loads((await raw.chat("agent", "order 81", tools=tools, max_tokens=3))[2])
            assert answer["choices"][0]["finish_reason"] == "length"
            assert answer["usage"]["completion_tokens"] <= 3

    asyncio.run(go())


def test_stop_ends_the_text_before_it() -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            answer = json.loads((await raw.chat("echo", "one two three", stop=["three", " two"]))[2])
            assert answer["choices"][0]["message"]["content"] == "one"

    asyncio.run(go())


def test_reasoning_comes_first_and_is_a_part_of_the_output() -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            body = (await raw.chat("reasoner", stream=True, stream_options={"include_usage": True}))[2]
            deltas = [event["choices"][0]["delta"] for event in events_of(body)[:-2]]
            kinds = [key for delta in deltas for key in ("reasoning_content", "content") if delta.get(key)]
            assert kinds == sorted(kinds, reverse=True)
            details = events_of(body)[-2]["usage"]
            assert 0 < details["completion_tokens_details"]["reasoning_tokens"] < details["completion_tokens"]
            assert sim.meter.rows[0].reasoning_tokens == details["completion_tokens_details"]["reasoning_tokens"]

    asyncio.run(go())


def test_the_part_up_to_the_last_answer_is_cached() -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            messages = [
                {"role": "user", "content": "12345678"},
                {"role": "assistant", "content": "1234"},
                {"role": "user", "content": "1"},
            ]
            answer = json.loads((await raw.chat("writer", messages=messages))[2])
            assert answer["usage"]["prompt_tokens"] == 5 + 4 + 4
            assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 5 + 4

    asyncio.run(go())


def test_the_agent_calls_each_tool_once_in_order_and_then_sums_up(tools: list[dict[str, Any]]) -> None:
    async def go() -> None:
        async with SimServer() as sim, sdk(sim) as client:
            messages: list[Any] = [{"role": "user", "content": "Order 81 came broken, refund $12.50"}]
            made = []
            for _ in range(3):
                answer = await client.chat.completions.create(model="agent", messages=messages, tools=tools)  # type: ignore[call-overload]
                message = answer.choices[0].message
                messages.append(message.model_dump(exclude_none=True))
                for call in message.tool_calls or ():
                    made.append((call.function.name, json.loads(call.function.arguments)))
                    messages.append({"role": "tool", "tool_call_id": call.id, "content": f"{call.function.name} done"})
            assert made == [("lookup", {"order": "81"}), ("refund", {"order": "81", "usd": 12.5})]
            assert message.content == "Done. lookup: lookup done; refund: refund done"

    asyncio.run(go())


def test_rounds_in_the_name_make_the_agent_call_each_tool_again(tools: list[dict[str, Any]]) -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            messages: list[Any] = [{"role": "user", "content": "Order 81"}]
            names = []
            while True:
                answer = json.loads((await raw.chat("agent-2rounds", messages=messages, tools=tools))[2])
                message = answer["choices"][0]["message"]
                if "tool_calls" not in message:
                    break
                messages.append(message)
                for call in message["tool_calls"]:
                    names.append(call["function"]["name"])
                    messages.append({"role": "tool", "tool_call_id": call["id"], "content": "ok"})
            assert names == ["lookup", "refund", "lookup", "refund"]

    asyncio.run(go())


def test_parallel_calls_come_in_one_streamed_answer_with_indices(tools: list[dict[str, Any]]) -> None:
    async def go() -> None:
        async with SimServer() as sim, sdk(sim) as client:
            body = chat_body("agent-parallel", "Order 81, $3", tools=tools)
            async with client.chat.completions.stream(**body) as stream:
                answer = await stream.get_final_completion()
            calls = answer.choices[0].message.tool_calls or []
            assert [call.function.name for call in calls] == ["lookup", "refund"]
            assert json.loads(calls[1].function.arguments) == {"order": "81", "usd": 3}
            assert len({call.id for call in calls}) == 2
            one = await client.chat.completions.create(**body, parallel_tool_calls=False)
            assert len(one.choices[0].message.tool_calls) == 1

    asyncio.run(go())


def test_a_named_or_required_tool_is_called_by_any_model_and_none_by_none(tools: list[dict[str, Any]]) -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            named = {"type": "function", "function": {"name": "refund"}}
            for choice, expected in ((named, "refund"), ("required", "lookup")):
                answer = json.loads((await raw.chat("echo", tools=tools, tool_choice=choice))[2])
                assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == expected
            answer = json.loads((await raw.chat("agent", tools=tools, tool_choice="none"))[2])
            assert "tool_calls" not in answer["choices"][0]["message"]

    asyncio.run(go())


class Ticket(pydantic.BaseModel):
    order: str
    usd: float
    is_urgent: bool
    kind: str | None
    lines: list[str] = pydantic.Field(min_length=2)


def test_structured_output_is_a_valid_instance_filled_from_the_conversation() -> None:
    async def go() -> None:
        async with SimServer() as sim, sdk(sim) as client:
            for model in ("json", "echo", "reasoner"):
                answer = await client.chat.completions.parse(
                    **chat_body(model, "Order 81, please: $9.99"), response_format=Ticket
                )
                ticket = answer.choices[0].message.parsed
                assert ticket is not None
                assert (ticket.order, ticket.usd, len(ticket.lines)) == ("81", 9.99, 2)
            answer = await client.chat.completions.create(**chat_body("echo"), response_format={"type": "json_object"})
            assert json.loads(answer.choices[0].message.content or "") == {"text": "hello"}

    asyncio.run(go())


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "a"}]}, "messages[0].tool_call_id"),
        ({"n": 0}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ],
)
def test_a_bad_request_is_refused_with_the_field_at_fault_and_not_billed(fields: dict[str, Any], param: str) -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            status, headers, body = await raw.chat(**fields)
            error = json.loads(body)["error"]
            assert (status, error["type"], error["param"]) == (400, "invalid_request_error", param)
            assert headers["x-request-id"].startswith("req_")
            assert not sim.meter.rows

    asyncio.run(go())


def test_a_tool_call_without_its_answer_is_refused() -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            asked = {"role": "assistant", "content": None, "tool_calls": [call]}
            for messages in ([asked], [asked, {"role": "user", "content": "and?"}]):
                status, _, body = await raw.chat(messages=messages)
                assert status == 400
                assert "c1" in json.loads(body)["error"]["message"]

    asyncio.run(go())


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b"null", b'{"model": 1}', b"[" * 100_000])
def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            assert (await raw.ask("POST", "/v1/chat/completions", body))[0] == 400

    asyncio.run(go())


def test_an_unknown_model_is_not_found_and_a_wrong_key_not_let_in() -> None:
    async def go() -> None:
        async with SimServer(api_key="k" * 20) as sim, sdk(sim) as client:
            with pytest.raises(openai.AuthenticationError):
                await client.chat.completions.create(**chat_body())
            with pytest.raises(openai.NotFoundError, match="does not exist"):
                await client.with_options(api_key="k" * 20).chat.completions.create(**chat_body("gpt-9"))

    asyncio.run(go())


def test_down_is_down_and_flaky_fails_each_conversation_once() -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            assert [(await raw.chat("down"))[0] for _ in range(2)] == [503, 503]
            assert [(await raw.chat("flaky", "a"))[0] for _ in range(3)] == [503, 200, 200]
            assert [(await raw.chat("flaky", "b"))[0] for _ in range(2)] == [503, 200]
            assert len(sim.meter.rows) == 3

    asyncio.run(go())


def test_a_script_of_the_test_is_a_model_like_any_other() -> None:
    def count(conversation: Conversation) -> Reply | Failure:
        if conversation.last_user_text == "boom":
            raise ValueError("no")
        if conversation.last_user_text == "busy":
            return Failure(429, "Slow down.", retry_after="2")
        return Reply(text=str(len(conversation.messages)))

    async def go() -> None:
        async with SimServer(scripts={"count": count}) as sim, connect(sim) as raw:
            assert json.loads((await raw.chat("count"))[2])["choices"][0]["message"]["content"] == "1"
            status, headers, _ = await raw.chat("count", "busy")
            assert (status, headers["retry-after"]) == (429, "2")
            assert (await raw.chat("count", "boom"))[0] == 500
            assert (await raw.chat("count"))[0] == 200

    asyncio.run(go())


def test_embeddings_are_deterministic_and_near_for_texts_with_words_in_common() -> None:
    async def go() -> None:
        async with SimServer() as sim, sdk(sim) as client:
            texts = ["the red boat", "a red boat", "quarterly ledger"]
            answer = await client.embeddings.create(model="embed", input=texts, dimensions=256)
            again = await client.embeddings.create(model="embed", input=texts, dimensions=256, encoding_format="float")
            first, second, third = (item.embedding for item in answer.data)
            assert first == pytest.approx(again.data[0].embedding, abs=1e-6)
            near = sum(x * y for x, y in zip(first, second, strict=True))
            far = sum(x * y for x, y in zip(first, third, strict=True))
            assert near > 0.5 > far
            assert sum(x * x for x in first) == pytest.approx(1, abs=1e-5)
            assert sim.meter.rows[0].input_tokens == answer.usage.prompt_tokens == 3 + 3 + 4

    asyncio.run(go())


@pytest.mark.parametrize("given", ["", [], [""], 7, [[1, "a"]], None])
def test_an_empty_or_strange_embedding_input_is_refused(given: Any) -> None:
    async def go() -> None:
        async with SimServer() as sim, connect(sim) as raw:
            status, _, body = await raw.ask("POST", "/v1/embeddings", {"model": "embed", "input": given})
            assert (status, json.loads(body)["error"]["param"]) == (400, "input")

    asyncio.run(go())


def test_the_sdk_lists_the_models() -> None:
    async def go() -> None:
        async with SimServer() as sim, sdk(sim) as client:
            names = [model.id async for model in client.models.list()]
            assert {"echo", "writer", "agent", "agent-parallel", "json", "reasoner", "flaky", "down"} <= set(names)
            assert (await client.models.retrieve("echo")).id == "echo"

    asyncio.run(go())
