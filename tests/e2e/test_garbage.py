"""Whatever comes in: a 4xx in OpenAI's error shape, at once, and nothing is billed."""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import databases

from .conftest import Answer, Serve, Site, http, site_on

MESSAGES = [{"role": "user", "content": "Hello."}]
CHAT = {"model": "sim/echo", "messages": MESSAGES}
bounded = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> Iterator[tuple[Site, Serve]]:
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(databases.postgres()) if request.param == "postgresql" else None
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mooring-e2e-"))
        s = stack.enter_context(site_on(Path(folder), url))
        yield s, s.serve()


@pytest.fixture
def serve(place: tuple[Site, Serve]) -> Iterator[Serve]:
    """And afterwards: the double was asked for nothing, and serve is well."""
    s, found = place
    yield found
    assert s.asked_of_double() == 0
    bill = found.get("/v1/bill")
    assert (bill["settled_nanos"], bill["held_nanos"]) == (0, 0)
    assert http("GET", f"{found.url}/readyz").status == 200


def refused(answer: Answer, *statuses: int) -> dict[str, Any]:
    """The error object of an answer that refuses in OpenAI's shape."""
    assert 400 <= answer.status < 500, (answer.status, answer.body[:500])
    if statuses:
        assert answer.status in statuses, (answer.status, answer.body[:500])
    error: dict[str, Any] = answer.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert error["message"]
    assert len(error["message"]) < 3000
    assert error["type"] == "invalid_request_error"
    assert isinstance(error["code"], str)
    return error


def chat(serve: Serve, body: object, **headers: str) -> Answer:
    return http("POST", f"{serve.url}/v1/chat/completions", body, key=serve.key, headers=headers)


def run(serve: Serve, body: object, **headers: str) -> Answer:
    return http("POST", f"{serve.url}/v1/runs", body, key=serve.key, headers=headers)


BODIES: dict[str, bytes] = {
    "nothing": b"",
    "spaces": b"   ",
    "null": b"null",
    "a number": b"1",
    "a list": b"[]",
    "a string": b'"hello"',
    "an empty object": b"{}",
    "truncated": json.dumps(CHAT).encode()[:-3],
    "two objects": json.dumps(CHAT).encode() * 2,
    "a NUL after it": json.dumps(CHAT).encode() + b"\0",
    "a NUL in it": b'{"model":"sim/echo\0","messages":[]}',
    "UTF-8 that is none": b'{"model":"sim/echo","messages":[{"role":"user","content":"\xff\xfe"}]}',
    "a lone surrogate's bytes": b'{"model":"sim/echo","messages":[{"role":"user","content":"\xed\xa0\x80"}]}',
    "UTF-16": json.dumps(CHAT).encode("utf-16"),
    "a BOM": b"\xef\xbb\xbf" + json.dumps(CHAT).encode(),
    "a deep list": b"[" * 100_000,
    "a deep object": b'{"a":' * 100_000,
    "a deep closed list": b"[" * 50_000 + b"]" * 50_000,
    "depth in a field": b'{"model":"sim/echo","messages":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "depth in an unknown field": b'{"model":"sim/none","messages":[{"role":"user","content":"x"}],"x":'
    + b"[" * 50_000
    + b"]" * 50_000
    + b"}",
    "10 MB of a name": b'{"model":"' + b"m" * 10_000_000 + b'","messages":[{"role":"user","content":"x"}]}',
    "10 MB of a role": b'{"model":"sim/echo","messages":[{"role":"' + b"r" * 10_000_000 + b'","content":"x"}]}',
    "10 MB of spaces": b" " * 10_000_000,
    "10 MB of a number": b'{"model":"sim/echo","messages":[],"seed":' + b"9" * 10_000_000 + b"}",
    "NaN": b'{"model":"sim/echo","messages":[],"temperature":NaN}',
    "multipart": b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nsim/echo\r\n--x--\r\n',
    "a form": b"model=sim/echo&messages=hello",
    "JavaScript": b"{model: 'sim/echo'}",
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_none_is_refused(serve: Serve, name: str) -> None:
    for ask in (chat, run):
        refused(ask(serve, BODIES[name]))


FIELDS: dict[str, Any] = {
    "n": [0, -1, 129, 10**6, 2**63, 10**30, 1.5, "2", [1], True],
    "max_tokens": [0, -1, -(2**63), 2**64, 10**40, 0.5, "many", {}],
    "max_completion_tokens": [0, -5, 10**40, "x"],
    "model": ["", "sim", "sim/", "/echo", "nobody/none", "agent/none", "\0", "openai/gpt-5", None, 1, ["sim/echo"]],
    "messages": [None, [], {}, "hello", [1], [None], [[]], [{}], [{"role": "user"}] * 0],
    "tools": ["x", [1], [{}], [{"type": "function"}], [{"type": "function", "function": {}}], {"a": 1}],
    "tool_choice": ["sometimes", 1, {"type": 1}, {"function": {"name": "x"}}],
    "response_format": ["json", {"type": "xml"}, {"type": None}, 1],
    "stop": [1, {"a": 1}, [1, 2]],
    "stream": ["yes", 1, "true", []],
    "stream_options": ["x", {"include_usage": "maybe"}],
    "temperature": ["hot", [], {}],
    "top_p": ["x", []],
    "seed": ["x", 1.5],
    "user": [1, {}, "a\0b"],
    "metadata": ["x", {"a": 1}, {"a": {}}],
}


@pytest.mark.parametrize("field", FIELDS)
def test_a_value_that_a_field_cannot_have_is_refused(serve: Serve, field: str) -> None:
    for value in FIELDS[field]:
        refused(chat(serve, {**CHAT, field: value}))


PARTS: list[Any] = [
    {"role": "wizard", "content": "x"},
    {"role": "", "content": "x"},
    {"role": None, "content": "x"},
    {"role": "user", "content": 1},
    {"role": "user", "content": {"type": "text"}},
    {"role": "user", "content": [1]},
    {"role": "user", "content": [{"type": "text", "text": 5}]},
    {"role": "user", "content": [{"type": "image_url", "image_url": 5}]},
    {"role": "tool", "content": "x", "tool_call_id": 7},
    {"role": "assistant", "tool_calls": "x"},
    {"role": "assistant", "tool_calls": [{}]},
    {"role": "assistant", "tool_calls": [{"id": "a", "type": "function"}]},
    {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": 1, "arguments": 2}}]},
    {"content": "x"},
]


@pytest.mark.parametrize("number", range(len(PARTS)))
def test_a_message_that_is_none_is_refused(serve: Serve, number: int) -> None:
    refused(chat(serve, {**CHAT, "messages": [PARTS[number]]}))


def test_an_idempotency_key_or_run_header_that_is_none_is_refused(serve: Serve) -> None:
    for headers in (
        {"Idempotency-Key": "k" * 256},
        {"Idempotency-Key": "a\xadb"},
        {"Idempotency-Key": ""},
        {"X-Mooring-Run": "run_none"},
        {"X-Mooring-Run": "run_00000000000000000000000000", "X-Mooring-Step": "s"},
        {"X-Mooring-Run": "run_00000000000000000000000000", "X-Mooring-Step": "s", "X-Mooring-Epoch": "-1"},
        {"X-Mooring-Run": "run_00000000000000000000000000", "X-Mooring-Step": "s", "X-Mooring-Epoch": "9" * 40},
        {"X-Mooring-Run": "run_00000000000000000000000000", "X-Mooring-Step": "s", "X-Mooring-Epoch": "²"},
        {"X-Mooring-Run": "run_00000000000000000000000000", "X-Mooring-Step": "s", "X-Mooring-Epoch": "1"},
    ):
        refused(chat(serve, CHAT, **headers))


STARTS: list[Any] = [
    {"agent": "a"},
    {"agent": "a", "input": "x"},
    {"agent": 1, "input": "x"},
    {"agent": "a", "input": "x", "unknown": 1},
    {"agent": "a", "input": "x", "tags": "t"},
    {"agent": "a", "input": "x", "tags": [1]},
    {"agent": "a", "input": "x", "max_cost_usd": "much", "app_path": "/nowhere.py"},
    {"agent": "a", "input": "x", "max_cost_usd": "-1", "app_path": "/nowhere.py"},
    {"agent": "a", "input": "x", "max_cost_usd": "NaN", "app_path": "/nowhere.py"},
    {"agent": "a", "input": "x", "max_cost_usd": "1e400", "app_path": "/nowhere.py"},
    {"agent": "a", "input": "x", "max_cost_usd": "9" * 40, "app_path": "/nowhere.py"},
    {"agent": "a", "input": "x", "max_cost_usd": 1, "app_path": "/nowhere.py"},
    {"agent": "a", "input": "x", "app_path": "relative.py"},
    {"agent": "a", "input": "x", "app_path": "/a\0b.py"},
    {"agent": "a", "input": "x", "app_path": "/nowhere.py", "app_digest": "not hex"},
    {"agent": "a\0b", "input": "x", "app_path": "/nowhere.py"},
    {"agent": "a", "input": "x", "user": "u\0", "app_path": "/nowhere.py"},
    {"agent": "a" * 10_000_000, "input": "x"},
]


@pytest.mark.parametrize("number", range(len(STARTS)))
def test_a_run_that_cannot_be_started_is_refused(serve: Serve, number: int) -> None:
    refused(run(serve, STARTS[number]))


def test_a_run_is_not_started_under_a_key_that_is_none(serve: Serve) -> None:
    start = {"agent": "a", "input": "x", "app_path": "/nowhere.py"}
    for key in ("", "k" * 256, "a\xadb"):
        assert refused(run(serve, start, **{"Idempotency-Key": key}))["param"] == "idempotency-key"


def test_a_body_over_the_limit_is_refused_before_it_is_read(serve: Serve) -> None:
    for ask in (chat, run):
        refused(ask(serve, b" " * (33 * 1024 * 1024)), 413)


IDS = ["x", "run_", "call_", "run_" + "0" * 26, "call_" + "0" * 26, "run_" + "z" * 26, "call_" + "z" * 26, "0" * 5000]
ODD = ["%00", "%ff", "..%2f..", "%F0%9F%92%A9", "'; DROP TABLE calls;--", "last", "-1", "run_" + "I" * 26, "a/b", "*"]


@pytest.mark.parametrize("path", ["/v1/runs/{}", "/v1/runs/{}/events", "/v1/calls/{}", "/v1/bill?run={}", "/v1/{}"])
def test_an_id_that_is_none_is_refused(serve: Serve, path: str) -> None:
    for value in [*IDS, *ODD]:
        text = value if "%" in value else quote(value, safe="")
        answer = http("GET", serve.url + path.format(text), key=serve.key)
        refused(answer, 400, 404)


@pytest.mark.parametrize("path", ["/v1/runs/{}/cancel", "/v1/runs/{}/resume"])
def test_an_id_that_is_none_cannot_be_acted_on(serve: Serve, path: str) -> None:
    for value in IDS:
        refused(http("POST", serve.url + path.format(value), b"", key=serve.key), 400, 404)


def test_where_to_go_on_from_must_be_a_number(serve: Serve) -> None:
    found = http(
        "POST",
        f"{serve.url}/v1/runs",
        {"agent": "a", "input": "\0", "tags": ["é"], "app_path": "/nowhere.py"},
        key=serve.key,
    )
    path = f"{serve.url}/v1/runs/{found.json['id']}/events"
    for after in ("x", "-1", "1.5", "²", "9" * 30):
        refused(http("GET", f"{path}?after={quote(after)}", key=serve.key), 400)
        with contextlib.suppress(UnicodeEncodeError):
            refused(http("GET", path, key=serve.key, headers={"Last-Event-ID": after}), 400)
    assert http("GET", f"{path}?after=999999999999999999", key=serve.key).json["data"] == []


def test_keys_that_are_none_are_refused_without_a_word_about_why(serve: Serve) -> None:
    for key in (
        "",
        "x",
        "mr_",
        "mr_" + "0" * 70,
        "Bearer",
        "mrs_" + "0" * 64,
        "\xff" * 20,
        "k" * 60_000,
        "a b c",
        "' OR 1=1 --",
    ):
        headers = {"Authorization": f"Bearer {key}"}
        answer = http("POST", f"{serve.url}/v1/chat/completions", CHAT, headers=headers)
        refused(answer, 400, 401)  # 400 where the HTTP head itself is too large


@bounded
@given(body=st.binary(max_size=300))
def test_random_bytes_are_refused(place: tuple[Site, Serve], body: bytes) -> None:
    refused(chat(place[1], body))
    refused(run(place[1], body))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@bounded
@given(value=VALUES)
def test_json_of_any_shape_is_refused(place: tuple[Site, Serve], value: Any) -> None:
    for ask in (chat, run):
        refused(ask(place[1], value))


@settings(bounded, max_examples=150)
@given(
    fields=st.dictionaries(
        st.sampled_from([*FIELDS, "reasoning_effort", "parallel_tool_calls", "logit_bias", "service_tier"]),
        VALUES,
        max_size=4,
    )
)
def test_a_request_with_odd_fields_never_ends_inside_mooring(place: tuple[Site, Serve], fields: dict[str, Any]) -> None:
    """Its model is down, so that even what is well formed costs nothing."""
    answer = chat(place[1], {"model": "nobody/none", "messages": MESSAGES} | fields)
    refused(answer)


@bounded
@given(cut=st.integers(min_value=0, max_value=len(json.dumps(CHAT)) - 1), junk=st.binary(max_size=3))
def test_a_body_that_is_cut_or_spoilt_is_refused(place: tuple[Site, Serve], cut: int, junk: bytes) -> None:
    whole = json.dumps({**CHAT, "model": "nobody/none"}).encode()
    refused(chat(place[1], whole[:cut] + junk))


def test_of_a_field_that_comes_twice_the_last_one_counts_for_the_bill_too(place: tuple[Site, Serve]) -> None:
    """Whatever is sent on is what was looked at: a second `model` or `max_tokens` cannot pass a budget."""
    s, serve = place
    body = b'{"model":"sim/expensive","model":"sim/echo","max_tokens":5,"max_tokens":-1,"messages":[]}'
    refused(chat(serve, body))
    assert s.asked_of_double() == 0
