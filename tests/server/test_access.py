"""Who may do what: every route has a scope, and refuses whoever lacks it in the wire's own words."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from mooring.core.errors import ConfigError
from mooring.server import calls, chat, collections, health, runs
from mooring.server.exchange import Exchange, Reply
from mooring.server.server import Access, Application, Route

from .conftest import Answer, Site, header_lines, say

Run = Callable[..., None]
ID = "0" * 26
PATHS = {"{call_id}": f"call_{ID}", "{run_id}": f"run_{ID}", "{collection}": "default"}


def all_routes(site: Site) -> list[Route]:
    return [route for room in (calls, chat, collections, health, runs) for route in room.routes(site.rooms)]


def path_of(route: Route) -> str:
    path = route.path
    for name, value in PATHS.items():
        path = path.replace(name, value)
    return path


def test_a_route_without_a_scope_makes_the_start_fail(run: Run) -> None:
    async def handle(exchange: Exchange) -> Reply:
        return Reply()

    async def scenario(site: Site) -> None:
        for access in ("", None, "everyone"):
            with pytest.raises(ConfigError, match=r"GET /new declares no scope"):
                Application(site.rooms, [Route("GET", "/new", cast(Access, access), handle)])

    run(scenario)


def test_only_the_health_routes_are_public(run: Run) -> None:
    async def scenario(site: Site) -> None:
        public = {route.path for route in all_routes(site) if route.access == "public"}
        assert public == {"/healthz", "/readyz"}

    run(scenario)


def test_every_route_refuses_no_key_a_wrong_key_and_a_key_without_its_scope(run: Run) -> None:
    async def scenario(site: Site) -> None:
        scopes = ("call", "read", "write", "admin")
        for route in all_routes(site):
            if route.access == "public":
                continue
            others = await site.key_with(*(scope for scope in scopes if scope != route.access))
            path = path_of(route)
            for key, status, code in (
                ("", 401, "invalid_api_key"),
                ("mr_wrong", 401, "invalid_api_key"),
                (site.key[:-1] + ("0" if site.key[-1] != "0" else "1"), 401, "invalid_api_key"),
                (others, 403, "permission_denied"),
            ):
                answer = await site.send(route.method, path, {} if route.method == "POST" else None, key=key)
                assert (answer.status, answer.error["code"]) == (status, code), (route, answer)
                assert answer.error["type"] == "invalid_request_error"
                assert ("www-authenticate" in answer.headers) is (status == 401)
            assert f"keys create --scope {route.access}" in answer.error["message"]

    run(scenario)


def test_a_key_comes_in_any_of_the_three_headers_that_sdks_send(run: Run) -> None:
    async def scenario(site: Site) -> None:
        for headers in (
            {"authorization": f"Bearer {site.key}"},
            {"authorization": f"bearer  {site.key} "},
            {"x-api-key": site.key},
            {"x-goog-api-key": site.key},
        ):
            assert (await site.get("/v1/models", key="", headers=headers)).status == 200
        for headers in ({"authorization": f"Basic {site.key}"}, {"authorization": "Bearer"}, {"x-api-key": "é" * 60}):
            assert (await site.get("/v1/models", key="", headers=headers)).status == 401

    run(scenario)


def test_a_revoked_and_an_expired_key_are_refused(run: Run) -> None:
    async def scenario(site: Site) -> None:
        assert (await site.get("/v1/models")).status == 200
        [known] = await site.rooms.keys.list("default")
        await site.rooms.keys.revoke("default", known.id)
        assert (await site.get("/v1/models")).error["code"] == "invalid_api_key"
        short = await site.rooms.keys.create("default", name="short", lifetime_seconds=0)
        assert "expired" in (await site.get("/v1/models", key=short)).error["message"]

    run(scenario)


async def get_as(site: Site, path: str, *, host: str = "localhost", **headers: str) -> Answer:
    """A request that names any host."""
    named = {"host": host, "authorization": f"Bearer {site.key}", **headers}
    return await site.raw(b"GET %s HTTP/1.1\r\n" % path.encode() + header_lines(named) + b"\r\n")


@pytest.mark.parametrize(
    ("headers", "setting", "is_allowed"),
    [
        ({"host": "localhost:1"}, {}, True),
        ({"host": "[::1]:1"}, {}, True),
        ({"host": "LOCALHOST"}, {}, True),
        ({"host": "evil.example"}, {}, False),
        ({"host": "evil.example:4790"}, {}, False),
        ({"host": "127.0.0.1.evil.example"}, {}, False),
        ({"host": "mooring.internal:80"}, {"allowed_hosts": ["mooring.internal"]}, True),
        ({"host": "localhost:1", "origin": "http://localhost:1"}, {}, True),
        ({"host": "localhost:1", "origin": "http://localhost:2"}, {}, False),
        ({"origin": "https://evil.example"}, {}, False),
        ({"origin": "null"}, {}, False),
        ({"origin": "http://["}, {}, False),
        ({"origin": "https://app.example"}, {"allowed_origins": ["https://app.example"]}, True),
    ],
)
def test_hosts_and_origins_that_are_not_listed_are_refused(
    run: Run, headers: dict[str, str], setting: dict[str, Any], is_allowed: bool
) -> None:
    async def scenario(site: Site) -> None:
        for path in ("/healthz", "/v1/models"):
            answer = await get_as(site, path, **headers)
            assert answer.status == (200 if is_allowed else 403)
            if not is_allowed:
                assert answer.error["code"] == "permission_denied"
                assert "[server] allowed_" in answer.error["message"]

    run(scenario, server=setting)


def test_a_server_beyond_loopback_may_be_called_by_the_address_it_listens_on(run: Run) -> None:
    async def scenario(site: Site) -> None:
        assert (await get_as(site, "/healthz", host="10.1.2.3:4790")).status == 200
        assert (await get_as(site, "/healthz", host="10.1.2.4:4790")).status == 403

    run(scenario, server={"host": "10.1.2.3"})


def test_what_belongs_to_another_project_is_not_found(run: Run) -> None:
    async def scenario(site: Site) -> None:
        call = (await site.say("mine")).headers["x-mooring-call"]
        other = await site.key_with("call", "read", "write", project="other")
        assert (await site.get(f"/v1/calls/{call}")).json["cost_usd"] != "$0.000000000"
        answer = await site.get(f"/v1/calls/{call}", key=other)
        assert (answer.status, answer.error["code"]) == (404, "not_found")
        assert (await site.get("/v1/calls", key=other)).json["data"] == []
        assert (await site.get("/v1/calls")).json["data"][0]["id"] == call

    run(scenario)


def test_only_processes_of_the_home_may_speak_for_a_run_name_code_or_read_folders(run: Run) -> None:
    async def scenario(site: Site) -> None:
        for headers in ({"x-mooring-run": f"run_{ID}"}, {"idempotency-key": f"run/run_{ID}/1"}):
            answer = await site.say("Hi", headers=headers)
            assert (answer.status, answer.error["code"]) == (403, "permission_denied")
        run_ = {"agent": "a", "input": "Go.", "app_path": "/tmp/app.py"}
        answer = await site.post("/v1/runs", run_)
        assert (answer.status, answer.error["param"]) == (400, "app_path")
        answer = await site.post("/v1/documents", {"folder": "/etc"})
        assert (answer.status, answer.error["param"]) == (400, "folder")
        assert (await site.get("/v1/runs")).json["data"] == []
        assert not site.sim.meter.rows

    run(scenario)


def test_the_service_key_speaks_for_the_project_that_it_names(run: Run) -> None:
    async def scenario(site: Site) -> None:
        headers = {"x-mooring-project": "other"}
        made = await site.post("/v1/chat/completions", say("Hi"), key=site.service, headers=headers)
        path = f"/v1/calls/{made.headers['x-mooring-call']}"
        assert (await site.get(path)).status == 404
        assert (await site.get(path, key=site.service, headers=headers)).status == 200

    run(scenario)


def test_a_draining_server_says_so_and_still_lives(run: Run) -> None:
    async def scenario(site: Site) -> None:
        assert (await site.get("/readyz", key="")).json["status"] == "ready"
        site.rooms.drain()
        answer = await site.get("/readyz", key="")
        assert (answer.status, answer.error["code"], answer.error["type"]) == (503, "unavailable", "server_error")
        assert (await site.say("Hi")).error["code"] == "unavailable"
        assert (await site.get("/healthz", key="")).json["status"] == "ok"

    run(scenario)


def test_a_server_whose_database_is_away_is_not_ready(run: Run) -> None:
    async def scenario(site: Site) -> None:
        await asyncio.to_thread(site.rooms.database._readers.close)
        answer = await site.get("/readyz", key="")
        assert (answer.status, answer.error["code"]) == (503, "unavailable")

    run(scenario)


def test_calls_are_listed_by_user_session_tag_and_model(run: Run) -> None:
    async def scenario(site: Site) -> None:
        made: dict[str, str] = {}
        for user, session, tags in (("u_1", "s_1", "blue"), ("u_2", "s_1", "blue,new"), ("u_2", "s_2", "")):
            headers = {"x-mooring-user": user, "x-mooring-session": session, "x-mooring-tags": tags}
            answer = await site.post("/v1/chat/completions", say("Hi"), headers=headers)
            made[answer.headers["x-mooring-call"]] = f"{user} {session}"

        async def listed(query: str) -> list[str]:
            found = (await site.get(f"/v1/calls?{query}")).json["data"]
            return [made[call["id"]] for call in found]

        assert await listed("user=u_2") == ["u_2 s_2", "u_2 s_1"]
        assert await listed("session=s_1") == ["u_2 s_1", "u_1 s_1"]
        assert await listed("tag=new") == ["u_2 s_1"]
        assert await listed("user=u_1&tag=new") == []
        assert len(await listed("model=sim/echo&kind=chat&state=completed")) == 3
        newest = (await site.get("/v1/calls")).json["data"][0]["id"]
        assert await listed(f"before={newest}") == ["u_2 s_1", "u_1 s_1"]
        assert (await site.get("/v1/calls?state=odd")).status == 400

    run(scenario)
