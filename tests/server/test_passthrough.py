"""`/{provider}/…`: the caller's key in, the account's out; one journaled send; priced, refused or flagged."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mooring.core.ids import read as read_id

from .conftest import Scenario, Site, site
from .plain import bill, form, metered, priced

Play = Callable[..., None]
SECRET = "sk-" + "a" * 20 + "T3BlbkFJ" + "b" * 20


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """A scenario on a site over a double that wants a key of its own."""
    monkeypatch.setenv("DOUBLE_KEY", "the account's")

    def playing(scenario: Scenario, *, provider: dict[str, Any] | None = None, **sections: Any) -> None:
        async def whole() -> None:
            async with site(tmp_path / "double") as double:
                more = {"api_key": "env:DOUBLE_KEY", "passthrough": ["/"], **(provider or {})}
                gateway = {"providers": priced(double.sim.url, **more), **sections.pop("gateway", {})}
                async with site(tmp_path / "served", gateway=gateway, **sections) as made:
                    made.sim = double.sim
                    await scenario(made)

        asyncio.run(whole())

    return playing


def test_a_body_goes_and_comes_untouched_with_the_accounts_key(play: Play) -> None:
    async def scenario(site: Site) -> None:
        body = b'{"b": 1.10,  "a":"\\u00fc"}'
        headers = {"content-type": "application/vnd.odd+json", "x-odd": "yes", "accept-language": "de"}
        answer = await site.post("/sim/v1/things/one?limit=2&after=x%20y", body, headers=headers)
        assert (answer.status, answer.body) == (201, body)
        assert answer.headers["content-type"] == "application/vnd.odd+json"
        assert answer.headers["x-thing"] == "one"
        sent = site.sim.requests[-1]
        assert (sent.method, sent.path, sent.query) == ("POST", "/v1/things/one", "limit=2&after=x%20y")
        assert sent.headers["authorization"] == "Bearer the account's"
        assert sent.headers["x-odd"] == "yes"
        assert site.key not in str(sent)

    play(scenario)


def test_it_is_a_call_with_intent_and_result_priced_by_its_path(play: Play) -> None:
    async def scenario(site: Site) -> None:
        answer = await site.post("/sim/things/one", {"a": 1})
        call_id = read_id("call", answer.headers["x-mooring-call"])
        call = await site.rooms.journal.get_call("default", call_id)
        (attempt,) = await site.rooms.journal.attempts("default", call_id)
        assert (call.kind, call.name, call.state, call.status) == ("passthrough", "sim/things/one", "completed", 201)
        assert (attempt.target, attempt.settlement, attempt.upstream_status) == ("sim/things/one", "settled", 201)
        assert attempt.bytes_up > 0
        assert answer.headers["x-mooring-cost-usd"] == "0.000007001"
        assert await bill(site) == (metered(site), 0) == (7001, 0)

    play(scenario)


def test_ids_in_a_path_make_no_new_names_on_the_bill(play: Play) -> None:
    async def scenario(site: Site) -> None:
        for name in ("thing-0123456789abcdef", "81234"):
            await site.get(f"/sim/things/{name}")
        found = await site.rooms.journal.bill("default")
        assert [line.target for line in found.lines] == ["sim/things/*"]

    play(scenario)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_reading_and_deleting_need_no_price(play: Play, method: str) -> None:
    async def scenario(site: Site) -> None:
        answer = await site.send(method, "/sim/v1/things/x?q=1")
        assert answer.json == {"id": "x", "method": method, "query": "q=1"}
        assert await bill(site) == (0, 0)

    play(scenario, provider={"prices": {}})


def test_a_path_without_a_price_is_refused_before_it_is_sent_or_flagged_by_policy(play: Play) -> None:
    async def refused(site: Site) -> None:
        answer = await site.post("/sim/things/x", {"a": 1})
        assert (answer.status, answer.error["code"]) == (400, "unknown_price")
        assert 'prices."/things/x"' in answer.error["message"]
        assert not site.sim.meter.rows

    async def flagged(site: Site) -> None:
        answer = await site.post("/sim/things/x", {"a": 1})
        assert answer.status == 201
        assert "x-mooring-cost-usd" not in answer.headers
        (attempt,) = await site.rooms.journal.unsettled("default")
        assert attempt.settlement == "unknown"

    async def budgeted(site: Site) -> None:
        cap = 10**12
        await site.rooms.journal.put_budget("default", scope="project", subject="", window="total", cap_nanos=cap)
        assert (await site.post("/sim/things/x", {"a": 1})).error["code"] == "unknown_price"

    models: dict[str, Any] = {"prices": {"*": {"input_usd": "1"}}}  # of models: they say nothing of paths
    play(refused, provider=models)
    play(flagged, provider=models, gateway={"unknown_price": "flag"})
    play(budgeted, provider=models, gateway={"unknown_price": "flag"})


def test_a_vendors_refusal_comes_as_it_is_and_costs_nothing(play: Play) -> None:
    async def scenario(site: Site) -> None:
        answer = await site.post("/sim/things/refuse", {})
        assert (answer.status, answer.json) == (418, {"oops": "no such thing, vendor style"})
        assert await bill(site) == (0, 0)
        (call,) = await site.rooms.journal.list_calls("default")
        assert (call.state, call.status) == ("failed", 418)

    play(scenario)


def test_a_redirect_is_shown_and_never_followed(play: Play) -> None:
    async def scenario(site: Site) -> None:
        answer = await site.get("/sim/things/away")
        assert answer.status == 302
        assert len(site.sim.requests) == 1

    play(scenario)


def test_a_stream_flows_and_its_end_comes_after_the_commit(play: Play) -> None:
    async def scenario(site: Site) -> None:
        answer = await site.get("/sim/things/flow")
        assert answer.body == bytes(range(256)) * 256
        assert answer.headers["content-type"] == "application/octet-stream"
        (call,) = await site.rooms.journal.list_calls("default")
        assert call.state == "completed"

    play(scenario)


def test_a_post_is_never_sent_again_and_a_get_may_be(play: Play) -> None:
    async def scenario(site: Site) -> None:
        site.sim.fault("close_before_headers", model="thing")
        assert (await site.post("/sim/things/x", {})).status == 502
        assert len(site.sim.requests) == 1
        (call,) = await site.rooms.journal.list_calls("default")
        (attempt,) = await site.rooms.journal.attempts("default", call.id)
        assert attempt.settlement == "unknown"
        site.sim.fault("close_before_headers", model="thing")
        assert (await site.get("/sim/things/x")).status == 200

    play(scenario)


def test_a_key_repeats_nothing(play: Play) -> None:
    async def scenario(site: Site) -> None:
        first = await site.post("/sim/things/x", {"a": 1}, headers={"idempotency-key": "k"})
        again = await site.post("/sim/things/x", {"a": 1}, headers={"idempotency-key": "k"})
        assert (again.status, again.body) == (first.status, first.body) == (201, b'{"a": 1}')
        assert again.headers["x-mooring-replayed"] == "true"
        other = await site.post("/sim/things/y", {"a": 1}, headers={"idempotency-key": "k"})
        assert (other.status, other.error["code"]) == (409, "key_reused")
        assert len(site.sim.requests) == 1

    play(scenario)


@pytest.mark.parametrize(
    "path",
    [
        "/sim/../v1/x", "/sim/things/../../meter", "/sim/things/%2e%2e/meter", "/sim/things/%252e%252e/meter",
        "/sim//evil.example/x", "/sim/http://evil.example/", "/sim/things%5c..%5cmeter", "/sim/things/%00",
        "/sim/things/%0d%0aX-A:b", "/sim/./things", "/sim/things/..;/meter",
    ],
)  # fmt: skip
def test_a_path_that_could_mean_another_is_refused(play: Play, path: str) -> None:
    async def scenario(site: Site) -> None:
        auth = f"Authorization: Bearer {site.key}\r\n"
        host = site.url.removeprefix("http://")
        answer = await site.raw(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{auth}Connection: close\r\n\r\n".encode())
        assert answer.status in (400, 404), answer.body
        assert not site.sim.requests

    play(scenario)


def test_hop_by_hop_and_smuggled_headers_stay_here(play: Play) -> None:
    async def scenario(site: Site) -> None:
        host = site.url.removeprefix("http://")
        lines = [
            "GET /sim/things/x HTTP/1.1", f"Host: {host}", f"X-Api-Key: {site.key}", "Connection: close, X-Secret-Hop",
            "X-Secret-Hop: 1", "Keep-Alive: 5", "TE: trailers", "Proxy-Authorization: Basic x", "Cookie: a=b",
            "X-Forwarded-For: 10.0.0.1", "Forwarded: for=10.0.0.1", "X-Mooring-User: u",
            "X-HTTP-Method-Override: DELETE", "OpenAI-Organization: other", "Accept-Encoding: gzip",
        ]  # fmt: skip
        answer = await site.raw(("\r\n".join(lines) + "\r\n\r\n").encode())
        assert answer.status == 200
        sent = site.sim.requests[-1].headers
        assert set(sent) <= {"host", "accept-encoding", "authorization", "x-mooring-attempt", "traceparent"}
        assert sent["accept-encoding"] == "identity"

    play(scenario)


def test_a_compressed_body_that_no_check_can_read_is_refused(play: Play) -> None:
    async def scenario(site: Site) -> None:
        answer = await site.post("/sim/things/x", b"\x1f\x8b", headers={"content-encoding": "gzip"})
        assert answer.status == 400
        assert not site.sim.requests

    play(scenario)


def test_without_a_key_nothing_passes_and_an_unknown_provider_is_nothing(play: Play) -> None:
    async def scenario(site: Site) -> None:
        assert (await site.get("/sim/things/x", key="")).status == 401
        assert (await site.get("/nobody/things/x")).status == 404
        reader = await site.key_with("read")
        assert (await site.get("/sim/things/x", key=reader)).status == 403

    play(scenario)


def test_what_no_operator_has_opened_needs_an_admins_key(play: Play) -> None:
    async def scenario(site: Site) -> None:
        assert (await site.get("/sim/v1/things/x")).status == 200
        answer = await site.get("/sim/v1/thingsandmore/x")
        assert answer.status == 403
        assert "passthrough" in answer.error["message"]
        admin = await site.key_with("call", "admin")
        assert (await site.get("/sim/v1/thingsandmore/x", key=admin)).status != 403

    play(scenario, provider={"passthrough": ["/things"]})


def test_a_path_that_is_a_wire_of_ours_takes_its_straight_line(play: Play) -> None:
    async def scenario(site: Site) -> None:
        body = {"model": "echo", "messages": [{"role": "user", "content": "ahoy"}]}
        answer = await site.post("/sim/v1/chat/completions", body)
        assert answer.json["choices"][0]["message"]["content"] == "ahoy"
        (call,) = await site.rooms.journal.list_calls("default")
        assert (call.kind, call.name) == ("chat", "sim/echo")
        first = await site.post("/sim/v1/responses", {"model": "echo", "input": "one"})
        more = {"model": "echo", "input": "two", "previous_response_id": first.json["id"]}
        assert (await site.post("/sim/v1/responses", more)).status == 200
        data, headers = form({"model": "whisper", "file": b"x" * 1500})
        answer = await site.post("/sim/audio/transcriptions", data, headers=headers)
        assert answer.json["usage"]["seconds"] == 2
        assert await bill(site) == (metered(site), 0)

    play(scenario)


def test_the_guards_read_every_string_on_its_way_in_and_out(play: Play) -> None:
    async def scenario(site: Site) -> None:
        answer = await site.post("/sim/things/x", {"deep": [{"er": f"a {SECRET}"}], "n": 1})
        assert answer.status == 201
        assert SECRET.encode() not in site.sim.requests[-1].body
        assert site.sim.requests[-1].body.startswith(b'{"deep":[{"er":"a ')
        data, headers = form({"purpose": f"x {SECRET}", "file": SECRET.encode()})
        answer = await site.post("/sim/things/x", data, headers=headers)
        assert answer.status == 201
        assert site.sim.requests[-1].body.count(SECRET.encode()) == 1  # what is in a file is not read

    play(scenario, guardrails={"checks": [{"type": "secrets_mask", "stages": ["input"]}]})


def test_what_comes_back_is_guarded(play: Play) -> None:
    async def scenario(site: Site) -> None:
        answer = await site.post("/sim/things/x", {"text": SECRET})
        assert answer.status == 201
        assert SECRET.encode() not in answer.body
        answer = await site.post("/sim/things/x", SECRET.encode(), headers={"content-type": "text/plain"})
        assert SECRET.encode() not in answer.body

    play(scenario, guardrails={"checks": [{"type": "secrets_mask", "stages": ["output"]}]})
