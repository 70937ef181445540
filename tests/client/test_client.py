"""Calls: what goes on the wire, what comes back, and errors as classes."""

import asyncio
from decimal import Decimal

import pytest
from pydantic import BaseModel

from mooring import AsyncClient, Client
from mooring.client.events import Finished, TextDelta, ToolCall
from mooring.core.errors import (
    BudgetExceeded,
    CallUncertain,
    InvalidRequest,
    RateLimited,
    Unavailable,
    UpstreamMalformed,
)

from .conftest import Server, json_answer, sse_answer

KEY = "k"


def completion(text: str | None = "Hello", **message: object) -> dict[str, object]:
    return {
        "id": "x",
        "model": "echo",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text, **message}}
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }


def test_a_chat_carries_key_user_session_and_tags_and_returns_text_cost_and_call(server: Server) -> None:
    server.answers.append(json_answer(completion(), x_mooring_call="call_1", x_mooring_cost_usd="0.000012300"))
    with Client(server.url, KEY) as client:
        answer = client.chat("Hi", model="echo", key="k1", user="u", session="s", tags=["a", "b"], temperature=0)
    assert (answer.text, answer.call_id, answer.cost_usd) == ("Hello", "call_1", Decimal("0.0000123"))
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (3, 2)
    asked = server.asked[0]
    assert asked.body == {"model": "echo", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0}
    assert asked.headers["authorization"] == "Bearer k"
    assert asked.headers["idempotency-key"] == "k1"
    assert asked.headers["x-mooring-user"] == "u"
    assert asked.headers["x-mooring-session"] == "s"
    assert asked.headers["x-mooring-tags"] == "a,b"


class Weather(BaseModel):
    city: str
    degrees: float


def test_output_asks_for_the_models_schema_and_returns_a_validated_object(server: Server) -> None:
    server.answers.append(json_answer(completion('{"city": "Oslo", "degrees": 4.5}')))
    with Client(server.url, KEY) as client:
        assert client.chat("Weather?", model="m", output=Weather) == Weather(city="Oslo", degrees=4.5)
    asked = server.asked[0].body["response_format"]
    assert asked["type"] == "json_schema"
    assert asked["json_schema"]["schema"] == Weather.model_json_schema()


def test_text_that_does_not_fit_the_output_is_an_error_that_names_the_field(server: Server) -> None:
    server.answers.append(json_answer(completion('{"city": "Oslo"}')))
    with (
        Client(server.url, KEY) as client,
        pytest.raises(UpstreamMalformed, match="no Weather: degrees: Field required"),
    ):
        client.chat("Weather?", model="m", output=Weather)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (402, "budget_exceeded", BudgetExceeded),
        (409, "call_uncertain", CallUncertain),
        (429, "rate_limit_exceeded", RateLimited),
        (429, "a_code_of_tomorrow", RateLimited),
    ],
)
def test_the_servers_error_becomes_the_class_of_its_code(server: Server, status: int, code: str, kind: type) -> None:
    server.answers.append(json_answer({"error": {"code": code, "message": "No."}}, status, retry_after="3"))
    with Client(server.url, KEY) as client, pytest.raises(kind, match="No") as caught:
        client.chat("Hi", model="m")
    if isinstance(caught.value, RateLimited):
        assert caught.value.retry_after_seconds == 3


def test_a_server_that_is_away_is_unavailable_and_says_how_to_start_one(server: Server) -> None:
    server.close()
    with (
        Client(server.url, KEY) as client,
        pytest.raises(Unavailable, match=r"is not there\. Start it with `mooring up`"),
    ):
        client.chat("Hi", model="m")
    server.close = lambda: None  # type: ignore[method-assign]


def test_an_answer_that_is_no_json_asks_whether_this_is_a_mooring_server(server: Server) -> None:
    server.answers.append(json_answer({})._replace(body=b"<html>"))
    with Client(server.url, KEY) as client, pytest.raises(UpstreamMalformed, match="Is this a Mooring server"):
        client.chat("Hi", model="m")


def test_a_tag_with_a_comma_is_refused_before_anything_is_sent(server: Server) -> None:
    with Client(server.url, KEY) as client, pytest.raises(InvalidRequest, match="comma"):
        client.chat("Hi", model="m", tags=["a,b"])
    assert server.asked == []


STREAM = (
    'data: {"model":"echo","choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"}}]}',
    'data: {"choices":[{"index":0,"delta":{"content":"lo"}}]}',
    'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t1",'
    '"function":{"name":"look","arguments":"{\\"a\\""}}]}}]}',
    'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}}]}',
    'data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}',
    'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}',
    ": mooring call=call_9 cost_usd=0.000000042",
    "data: [DONE]",
)


def test_a_stream_yields_text_then_tool_calls_then_the_whole_completion_with_its_cost(server: Server) -> None:
    server.answers.append(sse_answer(*STREAM))
    with Client(server.url, KEY) as client:
        events = list(client.stream("Hi", model="echo"))
    assert events[:3] == [TextDelta("Hel"), TextDelta("lo"), ToolCall("t1", "look", '{"a":1}')]
    finished = events[3]
    assert isinstance(finished, Finished)
    assert finished.completion is not None
    assert (finished.completion.call_id, finished.completion.cost_nanos) == ("call_9", 42)
    assert finished.completion.message["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"a":1}'}


def test_a_stream_that_is_cut_never_looks_finished(server: Server) -> None:
    server.answers.append(sse_answer(*STREAM[:2], is_cut=True))
    with Client(server.url, KEY) as client, pytest.raises(Unavailable):
        list(client.stream("Hi", model="echo"))


def test_a_stream_that_ends_without_done_never_looks_finished(server: Server) -> None:
    server.answers.append(sse_answer(*STREAM[:5]))
    with Client(server.url, KEY) as client, pytest.raises(UpstreamMalformed, match="before its answer was whole"):
        list(client.stream("Hi", model="echo"))


def test_an_error_event_in_a_stream_is_raised_as_its_class(server: Server) -> None:
    server.answers.append(sse_answer(STREAM[0], 'data: {"error":{"code":"budget_exceeded","message":"Spent."}}'))
    with Client(server.url, KEY) as client, pytest.raises(BudgetExceeded, match="Spent"):
        list(client.stream("Hi", model="echo"))


def test_the_async_client_does_the_same(server: Server) -> None:
    async def ask() -> str:
        async with AsyncClient(server.url, KEY) as client:
            return (await client.chat([{"role": "user", "content": "Hi"}], model="m")).text

    server.answers.append(json_answer(completion()))
    assert asyncio.run(ask()) == "Hello"


def test_the_blocking_client_works_inside_a_running_loop(server: Server) -> None:
    async def notebook() -> str:
        with Client(server.url, KEY) as client:
            return client.chat("Hi", model="m").text

    server.answers.append(json_answer(completion()))
    assert asyncio.run(notebook()) == "Hello"


def test_leaving_a_stream_early_closes_its_connection(server: Server) -> None:
    server.answers += [sse_answer(*STREAM), json_answer(completion())]
    with Client(server.url, KEY) as client:
        for event in client.stream("Hi", model="echo"):
            assert event == TextDelta("Hel")
            break
        assert client.chat("Hi", model="m").text == "Hello"


def test_ask_returns_an_answer_with_citations(server: Server) -> None:
    citation = {"path": "a.md", "section": "Returns", "start": 3, "end": 9, "text": "30 days"}
    server.answers.append(json_answer({"text": "30 days [1].", "is_answered": True, "citations": [citation]}))
    with Client(server.url, KEY) as client:
        answer = client.ask("How long?", collection="handbook")
    assert server.asked[0].body == {"question": "How long?", "collection": "handbook"}
    assert (answer.text, answer.citations[0].path, answer.citations[0].end) == ("30 days [1].", "a.md", 9)


def test_search_returns_hits(server: Server) -> None:
    hit = {
        "chunk_id": "c",
        "document_id": "d",
        "path": "a.md",
        "section": "",
        "start": 0,
        "end": 4,
        "text": "Text",
        "score": 1.5,
    }
    server.answers.append(json_answer({"object": "list", "data": [hit]}))
    with Client(server.url, KEY) as client:
        found = client.search(
            "q", collection="handbook", limit=3, filter={"team": "billing"}, user="u_1", session="s_1", tags=["a", "b"]
        )
    assert found[0].score == 1.5
    asked = {"query": "q", "collection": "handbook", "limit": 3, "filter": {"team": "billing"}}
    assert server.asked[0].body == asked
    said = {name: server.asked[0].headers[f"x-mooring-{name}"] for name in ("user", "session", "tags")}
    assert said == {"user": "u_1", "session": "s_1", "tags": "a,b"}


def test_a_calls_cost_is_read_from_the_server(server: Server) -> None:
    server.answers.append(
        json_answer({"id": "call_1", "state": "completed", "settled_nanos": 42, "cost_usd": "$0.000000042"})
    )
    with Client(server.url, KEY) as client:
        assert client.calls.get("call_1").cost_usd == Decimal("0.000000042")
