"""Bad requests get a clear error in the OpenAI shape, and the server lives on."""

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Site, header_lines, say

Run = Callable[..., None]
ID = "0" * 26


def test_an_unknown_path_and_a_wrong_method_are_told_apart(run: Run) -> None:
    async def scenario(site: Site) -> None:
        answer = await site.get("/v1/nothing")
        assert (answer.status, answer.error["code"]) == (404, "not_found")
        assert (await site.get("/v1/nothing", key="")).status == 404
        for method, path, allowed in (
            ("GET", "/v1/chat/completions", "POST"),
            ("DELETE", f"/v1/runs/run_{ID}", "GET"),
            ("DELETE", "/v1/runs", "GET, POST"),
            ("PUT", "/healthz", "GET"),
        ):
            answer = await site.send(method, path)
            assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")
            assert answer.headers["allow"] == allowed
        head = await site.send("HEAD", "/v1/nothing")
        assert (head.status, head.body) == (404, b"")
        head = await site.send("HEAD", "/healthz", key="")
        assert (head.status, head.body) == (200, b"")
        assert (await site.send("HEAD", "/v1/runs")).status == 405

    run(scenario)


def test_a_body_over_the_limit_is_refused_before_it_is_read(run: Run) -> None:
    async def scenario(site: Site) -> None:
        answer = await site.say("x" * 3000)
        assert (answer.status, answer.error["code"]) == (413, "too_large")
        assert "body_limit_bytes" in answer.error["message"]
        assert (await site.say("x" * 100)).status == 200
        head = {"host": "localhost", "authorization": f"Bearer {site.key}", "transfer-encoding": "chunked"}
        start = b"POST /v1/runs HTTP/1.1\r\n" + header_lines(head) + b"\r\n"
        endless = start + b"1000\r\n" + b"x" * 0x1000 + b"\r\n"  # its end never comes
        assert (await site.raw(endless)).error["code"] == "too_large"

    run(scenario, server={"body_limit_bytes": 2000})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b'{"agent": "\xff", "input": 1}',
        b'{"agent": "\\ud800", "input": 1}',
        b'{"agent": 5, "input": 1}',
        b'{"agent": "a"}',
        b'{"agent": "a", "input": 1, "colour": "red"}',
        b"[" * 100_000,
    ],
)
def test_a_body_that_is_not_what_the_route_takes_is_a_400_that_says_where(run: Run, body: bytes) -> None:
    async def scenario(site: Site) -> None:
        for path in ("/v1/runs", "/v1/ask", "/v1/search", "/v1/documents", "/v1/chat/completions"):
            answer = await site.post(path, body)
            assert (answer.status, answer.error["code"]) == (400, "invalid_request"), (path, answer)

    run(scenario)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_cost_usd": "many"}, "max_cost_usd"),
        ({"max_cost_usd": "NaN"}, "max_cost_usd"),
        ({"max_cost_usd": "-1"}, "max_cost_usd"),
        ({"max_cost_usd": "1e40"}, "max_cost_usd"),
        ({"app_path": "app.py"}, "app_path"),
        ({"app_path": "/app.py", "app_digest": "xyz"}, "app_digest"),
        ({}, "agent"),
    ],
)
def test_a_run_with_a_wrong_field_is_refused_and_the_field_named(run: Run, fields: dict[str, Any], param: str) -> None:
    async def scenario(site: Site) -> None:
        body = {"agent": "a", "input": "Go.", **({"app_path": "/app.py"} if "max_cost_usd" in fields else {}), **fields}
        answer = await site.post("/v1/runs", body, key=site.service)
        assert (answer.status, answer.error["param"]) == (400, param), answer
        assert (await site.get("/v1/runs")).json["data"] == []

    run(scenario)


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "²", "9" * 30])
def test_an_event_number_that_is_none_is_refused(run: Run, text: str) -> None:
    async def scenario(site: Site) -> None:
        run_ = await site.post("/v1/runs", {"agent": "a", "input": 1, "app_path": "/a.py"}, key=site.service)
        path = f"/v1/runs/{run_.json['id']}/events"
        answer = await site.get(path, headers={"last-event-id": text})
        assert (answer.status, answer.error["param"]) == (400, "after")

    run(scenario)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/calls/x",
        f"/v1/calls/run_{ID}",
        f"/v1/runs/call_{ID}",
        "/v1/runs/run_%00",
        "/v1/bill?run=x",
        "/v1/runs/x/events",
    ],
)
def test_an_id_that_is_none_is_a_400(run: Run, path: str) -> None:
    async def scenario(site: Site) -> None:
        answer = await site.get(path)
        assert (answer.status, answer.error["code"]) == (400, "invalid_request")

    run(scenario)


def test_ids_that_nothing_has_are_a_404(run: Run) -> None:
    async def scenario(site: Site) -> None:
        for method, path in (
            ("GET", f"/v1/calls/call_{ID}"),
            ("GET", f"/v1/runs/run_{ID}"),
            ("GET", f"/v1/runs/run_{ID}/events"),
            ("POST", f"/v1/runs/run_{ID}/cancel"),
            ("POST", f"/v1/runs/run_{ID}/resume"),
            ("GET", "/v1/collections/none/documents"),
        ):
            answer = await site.send(method, path)
            assert (answer.status, answer.error["code"]) == (404, "not_found"), path
        for path in ("/v1/ask", "/v1/search"):
            answer = await site.post(path, {"question": "Why?"} if path == "/v1/ask" else {"query": "why"})
            assert (answer.status, answer.error["code"]) == (404, "not_found")

    run(scenario)


def test_a_mistake_of_ours_shows_nothing_of_the_inside(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(site: Site) -> None:
        site.rooms.journal = None  # type: ignore[assignment]  # what a mistake of ours could come to
        answer = await site.get("/v1/calls")
        assert (answer.status, answer.error["code"]) == (500, "internal_error")
        assert "NoneType" not in answer.error["message"]
        assert (await site.get("/healthz")).status == 200

    run(scenario)
    assert "GET /v1/calls failed" in caplog.text


def test_a_path_with_a_secret_in_it_is_not_repeated(run: Run) -> None:
    async def scenario(site: Site) -> None:
        secret = "sk-" + "aB3" * 16
        answer = await site.get(f"/v1/{secret}")
        assert answer.status == 404
        assert secret not in answer.error["message"]

    run(scenario)


def test_the_bill_and_the_list_of_calls_say_what_was_asked(run: Run) -> None:
    async def scenario(site: Site) -> None:
        cost = (await site.say("one")).headers["x-mooring-cost-usd"]
        await site.post("/v1/chat/completions", say("two", "sim/down"))
        bill = (await site.get("/v1/bill")).json
        assert f"{bill['settled_nanos'] / 1e9:.9f}" == cost
        states = [call["state"] for call in (await site.get("/v1/calls")).json["data"]]
        assert states == ["failed", "completed"]

    run(scenario)
