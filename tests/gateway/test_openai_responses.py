"""The responses wire over chat models: items, numbered events, conversations that are kept."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mooring.core import ids
from mooring.sim import Reply

from .house import Answer, House, read
from .wires import TOOL_SCHEMA, data_of, sent, wires

Scenario = Callable[[House], Awaitable[None]]
MASK = ({"type": "secrets_mask"},)
SECRET = "AKIA" + "Q7ZB3XN5LP2WK8RD"
EVERY = pytest.mark.parametrize("provider", ["sim", "anthropic", "gemini"])
TOOL = {"type": "function", "name": "refund", "description": "R.", "parameters": TOOL_SCHEMA, "strict": False}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def running(scenario: Scenario, *, is_settled: bool = True, **options: Any) -> None:
        async def whole() -> None:
            async with wires(tmp_path, monkeypatch, **options) as made:
                await scenario(made)
                settled, held = await made.bill()
                assert settled <= await made.meter() <= settled + held
                assert not is_settled or held == 0

        asyncio.run(whole())

    return running


async def respond(made: House, body: dict[str, Any], **headers: str) -> Answer:
    return await read(await made.gateway.respond(made.inbound(body, **headers)))


@EVERY
def test_an_answer_is_a_response_named_by_its_call(run: Callable[..., None], provider: str) -> None:
    async def scenario(made: House) -> None:
        body = {"model": f"{provider}/echo", "input": "hello", "instructions": "Be kind.", "metadata": {"a": "b"}}
        answer = await respond(made, {**body, "metadata": {}})
        assert answer.status == 200, answer.body
        found = answer.json
        assert found["object"], found["status"] == ("response", "completed")
        assert found["instructions"] == "Be kind."
        (item,) = found["output"]
        assert item["content"][0]["text"] == "hello"
        assert found["usage"]["output_tokens"] == 2
        assert ids.show("call", ids.read("resp", found["id"])) == answer.headers["x-mooring-call"]

    run(scenario)


@EVERY
def test_a_stream_is_numbered_without_gaps_and_repeats_itself_at_its_end(
    run: Callable[..., None], provider: str
) -> None:
    async def scenario(made: House) -> None:
        answer = await respond(made, {"model": f"{provider}/echo", "input": "one two three", "stream": True})
        events = data_of(answer.body)
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        kinds = [event["type"] for event in events]
        assert kinds[:4] == ["response.created", "response.in_progress", "response.output_item.added",
                             "response.content_part.added"]  # fmt: skip
        assert kinds[-4:] == ["response.output_text.done", "response.content_part.done", "response.output_item.done",
                              "response.completed"]  # fmt: skip
        text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
        last = events[-1]["response"]
        assert text == last["output"][0]["content"][0]["text"] == "one two three"
        assert last["id"] == events[0]["response"]["id"]
        assert last["usage"]["output_tokens"] == 4
        assert bytes(await made.gateway.responses.get("default", last["id"])) == msgspec.json.encode(last)

    run(scenario)


@EVERY
@pytest.mark.parametrize("is_stream", [False, True])
def test_a_conversation_goes_on_with_nothing_but_the_new_items(
    run: Callable[..., None], provider: str, is_stream: bool
) -> None:
    async def scenario(made: House) -> None:
        body: dict[str, Any] = {"model": f"{provider}/agent", "tools": [TOOL], "stream": is_stream}

        async def say(**more: Any) -> dict[str, Any]:
            answer = await respond(made, {**body, **more})
            assert answer.status == 200, answer.body
            found: dict[str, Any] = data_of(answer.body)[-1]["response"] if is_stream else answer.json
            return found

        first = await say(input='Order "81" came broken')
        call = next(item for item in first["output"] if item["type"] == "function_call")
        assert call["name"] == "refund"
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": "refunded"}
        second = await say(input=[result], previous_response_id=first["id"])
        assert second["previous_response_id"] == first["id"]
        assert second["output"][0]["type"] == "message"
        await say(input="Thanks", previous_response_id=second["id"], instructions="Be brief.")
        text = made.sim.requests[-1].body.decode()
        for part in ("came broken", "refunded", call["call_id"], "Thanks", "Be brief."):
            assert part in text
        items = await made.gateway.responses.input_items("default", second["id"])
        assert len(items) == 3
        missing = await respond(made, {**body, "input": "x", "previous_response_id": ids.show("resp", b"x" * 16)})
        assert missing.status == 404
        assert missing.json["error"]["param"] == "previous_response_id"

    run(scenario)


def test_a_conversation_costs_its_new_items_and_not_all_of_them_again(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        previous = None
        for number in range(12):
            body = {"model": "sim/echo", "input": f"{number} " + "sea " * 2000}
            answer = await respond(made, body | ({"previous_response_id": previous} if previous else {}))
            previous = answer.json["id"]
        call = await made.journal.get_call("default", ids.read("resp", str(previous)))
        _, elements = await made.journal.get_request("default", call.id)
        assert len(elements) == 23  # each request and answer is an element of one chain

    run(scenario)


def test_what_is_not_stored_deleted_or_of_another_project_cannot_be_asked_for(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        stored = (await respond(made, {"model": "sim/echo", "input": "a"})).json["id"]
        unstored = (await respond(made, {"model": "sim/echo", "input": "a", "store": False})).json["id"]
        keyed = (await respond(made, {"model": "sim/echo", "input": "a"}, idempotency_key="mine")).json["id"]
        kept = made.gateway.responses
        for response_id in (stored, keyed):
            assert await kept.get("default", response_id)
            await kept.delete("default", response_id)
        for project, response_id in (
            ("default", stored), ("default", keyed), ("default", unstored), ("default", "resp_nonsense"),
            ("other", stored),
        ):  # fmt: skip
            with pytest.raises(Exception, match="not kept"):
                await kept.get(project, response_id)
        taken = await respond(made, {"model": "sim/echo", "input": "a"}, idempotency_key=f"response/{stored}")
        assert taken.status == 403

    run(scenario)


@EVERY
def test_structured_text_and_named_tools_hold(run: Callable[..., None], provider: str) -> None:
    async def scenario(made: House) -> None:
        text = {"format": {"type": "json_schema", "name": "o", "schema": TOOL_SCHEMA}}
        answer = await respond(made, {"model": f"{provider}/json", "input": "order 81", "text": text})
        assert answer.json["output"][0]["content"][0]["text"] == '{"order":"81"}'
        choice = {"type": "function", "name": "refund"}
        body = {"model": f"{provider}/echo", "input": "order 81", "tools": [TOOL], "tool_choice": choice}
        (item,) = (await respond(made, body)).json["output"]
        assert (item["type"], item["name"], item["arguments"]) == ("function_call", "refund", '{"order":"81"}')

    run(scenario)


def test_thoughts_come_back_to_the_vendor_that_signed_them(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        first = await respond(made, {"model": "anthropic/reasoner", "input": "think"})
        assert first.json["output"][0]["type"] == "reasoning"
        await respond(made, {"model": "anthropic/reasoner", "input": "on", "previous_response_id": first.json["id"]})
        thought = sent(made)["messages"][1]["content"][0]
        assert thought["type"] == "thinking"
        assert thought["signature"].startswith("sig-")
        chat = {"model": "sim/reasoner", "input": "on", "previous_response_id": first.json["id"]}
        assert (await respond(made, chat)).headers["x-mooring-dropped"] == "thinking"

    run(scenario)


@EVERY
@pytest.mark.parametrize("is_stream", [False, True])
def test_secrets_are_masked_in_every_item(run: Callable[..., None], provider: str, is_stream: bool) -> None:
    async def scenario(made: House) -> None:
        items = [
            {"role": "user", "content": [{"type": "input_text", "text": f"key {SECRET}"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": f'{{"a":"{SECRET}"}}'},
            {"type": "function_call_output", "call_id": "c", "output": f"it is {SECRET}"},
        ]
        body = {"model": f"{provider}/leak", "input": items, "instructions": f"no {SECRET}", "stream": is_stream}
        answer = await respond(made, body)
        assert answer.status == 200, answer.body
        assert SECRET not in made.sim.requests[-1].body.decode()
        assert SECRET not in answer.body.decode()
        found = data_of(answer.body)[-1]["response"] if is_stream else answer.json
        text = found["output"][0]["content"][0]["text"]
        assert text.startswith("The key is ")
        assert text.endswith(" so there")
        again = await respond(made, {"model": "sim/echo", "input": "x", "previous_response_id": found["id"]})
        assert again.status == 200
        assert SECRET not in made.sim.requests[-1].body.decode()

    run(scenario, checks=MASK, scripts={"leak": lambda _: Reply(text=f"The key is {SECRET} so there")})


@EVERY
@pytest.mark.parametrize("kind", ["close_mid_stream", "error_event", "truncated_json"])
def test_a_stream_that_is_cut_ends_with_a_numbered_error(run: Callable[..., None], provider: str, kind: str) -> None:
    async def scenario(made: House) -> None:
        made.sim.fault(kind, model="echo", after_events=2)
        answer = await respond(made, {"model": f"{provider}/echo", "input": "one two three four", "stream": True})
        events = data_of(answer.body)
        assert events[-1]["type"] == "error"
        assert events[-1]["sequence_number"] == len(events) - 1
        assert "response.completed" not in answer.body.decode()

    run(scenario, is_settled=False)


def test_what_only_openai_itself_can_do_is_refused_by_name(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        for more, name in (
            ({"tools": [{"type": "web_search"}]}, "vendor tools"),
            ({"background": True}, "background"),
            ({"conversation": "conv_1"}, "conversation"),
        ):
            answer = await respond(made, {"model": "sim/echo", "input": "hi", **more})
            assert answer.status == 400
            assert name in answer.json["error"]["message"]

    run(scenario)
