"""No string of a body passes unread because it has no canonical form: on every wire, asked and answered."""

import asyncio
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from mooring.core.errors import MooringError
from mooring.gateway import beside
from mooring.gateway.asked import Asked
from mooring.gateway.codecs import registry as codecs
from mooring.gateway.config import GatewayConfig
from mooring.gateway.inbound import Inbound
from mooring.gateway.keys import Caller
from mooring.gateway.plan import Plan
from mooring.gateway.whose import Whose
from mooring.guardrails.check import GuardContext
from mooring.guardrails.config import GuardrailsConfig
from mooring.guardrails.guardrails import Guardrails
from mooring.guardrails.rest import Opaque, texts
from mooring.guardrails.secret_samples import samples

from .house import default_config, house, say
from .servers import listening

SECRET = samples()["github_token"]
GUARDS = Guardrails(GuardrailsConfig(checks=({"type": "secrets_mask"},)))
CONTEXT = GuardContext(project_id="p", principal="key a")
VENDOR = {"type": "vendor_thing", "note": "n", "more": [{"deep": "d", "list": ["l", {"x": "y"}]}], "id": "i1"}

ASKED: dict[str, dict[str, Any]] = {
    "openai_chat": {
        "model": "m",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "name": "ann", "content": [{"type": "text", "text": "hi", "vendor": "v"}, VENDOR]},
            {
                "role": "assistant",
                "content": None,
                "reasoning_details": [{"type": "reasoning.text", "text": "thought", "signature": "s"}],
                "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":"b"}', "note": "z"}}
                ],
            },
            {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "r"}, VENDOR]},
        ],
        "tools": [{"type": "web_search", "filters": {"domains": ["a.example"]}}],
        "metadata": {"id": "order 81"},
        "web_search_options": {"user_location": {"approximate": {"city": "Oslo"}}},
        "plugins": [VENDOR],
    },
    "anthropic_messages": {
        "model": "m",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral", "scope": "sc"}}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "document", "title": "t", "context": "c", "source": {"type": "text", "data": "plain"}},
                    VENDOR,
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "server_tool_use", "id": "u", "name": "web_search", "input": {"id": "q", "query": "w"}},
                    {"type": "web_search_tool_result", "tool_use_id": "u", "content": [{"type": "r", "title": "tt"}]},
                    {"type": "tool_use", "id": "v", "name": "f", "input": {"type": "b", "data": "c"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "v", "content": [{"type": "text", "text": "r"}, VENDOR]}
                ],
            },
        ],
        "metadata": {"user_id": "u", "note": "n"},
        "mcp_servers": [{"type": "url", "url": "https://a.example", "name": "n", "authorization_token": "tk"}],
    },
    "gemini_generate": {
        "contents": [
            {"role": "user", "parts": [{"text": "hi", "videoMetadata": {"note": "v"}}, {"vendorPart": VENDOR}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"id": "a"}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"role": "r"}, "x": "y"}}]},
            {"role": "model", "parts": [{"executableCode": {"language": "PYTHON", "code": "print(1)"}}]},
        ],
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "labels": {"model": "l"},
        "toolConfig": {"retrievalConfig": {"languageCode": "en"}},
    },
    "openai_responses": {
        "model": "m",
        "instructions": "be brief",
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}, VENDOR]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a":"b"}'},
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "r"}]},
            {"type": "web_search_call", "id": "w", "status": "completed", "action": {"type": "search", "query": "q"}},
        ],
        "metadata": {"id": "m1"},
        "prompt_cache_key": "pk",
    },
}

ANSWERED: dict[str, dict[str, Any]] = {
    "openai_chat": {
        "id": "i",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {
                    "role": "assistant",
                    "content": "hi",
                    "annotations": [{"type": "url_citation", "url_citation": {"title": "t", "url": "u"}}],
                    "vendor": VENDOR,
                },
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        "citations": ["https://a.example"],
    },
    "anthropic_messages": {
        "id": "i",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [
            {"type": "text", "text": "hi", "citations": [{"type": "char_location", "cited_text": "c"}]},
            {"type": "server_tool_use", "id": "u", "name": "web_search", "input": {"query": "q"}},
            VENDOR,
        ],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
    "gemini_generate": {
        "candidates": [
            {
                "content": {"role": "model", "parts": [{"text": "hi"}, {"executableCode": {"code": "c"}}]},
                "finishReason": "STOP",
                "groundingMetadata": {"webSearchQueries": ["q"], "groundingChunks": [{"web": {"title": "t"}}]},
            }
        ],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
        "vendor": VENDOR,
    },
    "openai_responses": {
        "id": "i",
        "object": "response",
        "status": "completed",
        "model": "m",
        "output": [
            {"type": "web_search_call", "id": "w", "status": "completed", "action": {"type": "search", "query": "q"}},
            {
                "type": "message",
                "id": "g",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "hi", "annotations": [{"type": "x", "title": "t"}]}],
            },
        ],
        "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
        "metadata": {"id": "k"},
    },
}


def planted(body: dict[str, Any], opaque: Opaque) -> Iterator[tuple[str, dict[str, Any]]]:
    """The body with the secret in each string that is text, one at a time: counted, so that every leaf has its turn."""
    places = [path for path, _ in texts(body, opaque)]
    for number, path in enumerate(places):
        count = iter(range(len(places)))
        yield path, _planted(copy.deepcopy(body), opaque, number, count, is_free=False)


def _planted(tree: Any, opaque: Opaque, number: int, count: Iterator[int], *, is_free: bool) -> Any:
    if isinstance(tree, str):
        if next(count) != number:
            return tree
        return json.dumps({"k": SECRET}) if tree.startswith("{") else f"it is {SECRET}"
    if isinstance(tree, list):
        return [_planted(item, opaque, number, count, is_free=is_free) for item in tree]
    if isinstance(tree, dict):
        kind = tree.get("type")
        return {
            name: item
            if isinstance(item, str) and not is_free and opaque.hides(name, kind)
            else _planted(item, opaque, number, count, is_free=is_free or name in opaque.free)
            for name, item in tree.items()
        }
    return tree


def asked_of(wire: str, body: bytes) -> Asked:
    codec = codecs.get(wire)()
    model = "m" if wire == "gemini_generate" else None
    decoded = codec.decode_request(body, model=model)
    return Asked(
        inbound=Inbound(Caller("p", ("call",)), body),
        codec=codec,
        request=decoded.request,
        fields=decoded.fields,
        body=body,
        plan=cast(Plan, None),
        context=CONTEXT,
        key=None,
        run=None,
        whose=cast(Whose, None),
    )


async def sent(wire: str, body: dict[str, Any]) -> bytes:
    """What of a request may go on."""
    asked = asked_of(wire, msgspec.json.encode(body))
    checked = await GUARDS.check_input(asked.request, CONTEXT, asked.whole)
    asked.take(checked.value, checked.body)
    return asked.body


async def told(wire: str, body: dict[str, Any]) -> bytes:
    """What of an answer may go on."""
    codec, raw = codecs.get(wire)(), msgspec.json.encode(body)
    answer = codec.decode_response(raw)
    checked = await GUARDS.check_output(answer, CONTEXT, beside.of_answer(codec, codec, raw, answer))
    raw = raw if checked.body is None else beside.encoded(checked.body)
    return codec.rewrite_response(raw, checked.value) if checked.is_changed else raw


@pytest.mark.parametrize(("wire", "way"), [(wire, way) for wire in ASKED for way in ("asked", "answered")])
def test_a_secret_in_any_string_that_is_not_opaque_is_masked_or_refused(wire: str, way: str) -> None:
    bodies, passed = (ASKED, sent) if way == "asked" else (ANSWERED, told)
    opaque = codecs.get(wire).no_text
    assert opaque is not None

    async def scene() -> None:
        leaked, tried = [], 0
        for path, body in planted(bodies[wire], opaque):
            tried += 1
            try:
                out = await passed(wire, body)
            except MooringError:
                continue
            if SECRET.encode() in out:
                leaked.append(path)
        assert leaked == []
        assert tried > 3

    asyncio.run(scene())


@pytest.mark.parametrize("wire", ASKED)
def test_a_body_without_a_finding_passes_byte_for_byte(wire: str) -> None:
    async def scene() -> None:
        assert await sent(wire, ASKED[wire]) == msgspec.json.encode(ASKED[wire])
        assert await told(wire, ANSWERED[wire]) == msgspec.json.encode(ANSWERED[wire])

    asyncio.run(scene())


def test_fields_beside_a_finding_stay_as_they_came() -> None:
    async def scene() -> None:
        body = copy.deepcopy(ASKED["openai_chat"])
        body["plugins"] = [{"type": "p", "key": f"it is {SECRET}", "other": [1, 2.5, None, "x"]}]
        out = msgspec.json.decode(await sent("openai_chat", body))
        assert out.pop("plugins")[0]["other"] == [1, 2.5, None, "x"]
        assert out == {name: value for name, value in body.items() if name != "plugins"}

    asyncio.run(scene())


def test_a_secret_that_is_spelled_in_escapes_is_read_all_the_same() -> None:
    async def scene() -> None:
        spelled = "".join(f"\\u{ord(letter):04x}" for letter in SECRET)
        body = (
            b'{"model":"m","messages":[{"role":"user","content":"hi"}],"vendor":{"a":["it is %s"]}}' % spelled.encode()
        )
        asked = asked_of("openai_chat", body)
        checked = await GUARDS.check_input(asked.request, CONTEXT, asked.whole)
        asked.take(checked.value, checked.body)
        assert spelled.encode() not in asked.body
        assert SECRET.encode() not in asked.body

    asyncio.run(scene())


def test_opaque_strings_are_left_alone() -> None:
    async def scene() -> None:
        body = copy.deepcopy(ASKED["openai_chat"])
        body["messages"][2]["reasoning_details"] = [{"type": "reasoning.encrypted", "id": SECRET}]
        assert SECRET.encode() in await sent("openai_chat", body)

    asyncio.run(scene())


def test_the_vendor_never_gets_a_secret_from_a_field_without_a_canonical_form(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path, checks=({"type": "secrets_mask"},)) as home:
            body = say("hi", vendor={"note": [f"it is {SECRET}"]}, web_search_options={"city": SECRET})
            assert (await home.ask(body)).status == 200
            (request,) = home.sim.requests
            assert SECRET.encode() not in request.body

    asyncio.run(scene())


def sse(*events: dict[str, Any]) -> str:
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": fields, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


@pytest.mark.parametrize("is_guarded", [True, False])
def test_a_secret_in_a_vendors_own_events_is_masked_however_it_is_cut(tmp_path: Path, is_guarded: bool) -> None:
    half = len(SECRET) // 2
    thoughts = ["it is ", SECRET[:half], SECRET[half:], " so"]
    stream = sse(
        delta(role="assistant"),
        *(delta(reasoning_details=[{"index": 0, "text": thought}]) for thought in thoughts),
        delta(content="Hello."),
        delta("stop"),
        {"id": "c", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}},
    )

    async def scene() -> None:
        async with listening({"/v1/chat/completions": stream}) as canned:

            def config(url: str) -> GatewayConfig:
                return default_config(f"http://{canned.address}")

            checks = ({"type": "secrets_mask"},) if is_guarded else ()
            async with house(tmp_path, config=config, checks=checks) as home:
                answer = await home.ask(say("hi", stream=True))
        assert answer.stream_text == "Hello."
        assert answer.data[-1] == "[DONE]"
        told = "".join(
            detail["text"]
            for data in answer.data[:-1]
            for choice in json.loads(data)["choices"]
            for detail in choice["delta"].get("reasoning_details", ())
        )
        assert told.startswith("it is ")
        assert told.endswith(" so")
        assert (SECRET in told) != is_guarded

    asyncio.run(scene())
