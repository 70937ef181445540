"""Gemini's wire on a real socket: both versions of its address, its key, its errors."""

from collections.abc import Callable
from typing import Any

BODY = {"contents": [{"role": "user", "parts": [{"text": "one two"}]}]}


def test_both_versions_of_the_address_answer_whoever_says_its_key(run: Callable[..., None]) -> None:
    async def scenario(site: Any) -> None:
        for version in ("v1", "v1beta"):
            path = f"/{version}/models/sim/echo:generateContent"
            by_header = await site.post(path, BODY, key="", headers={"x-goog-api-key": site.key})
            by_address = await site.post(f"{path}?key={site.key}", BODY, key="")
            for answer in (by_header, by_address):
                assert answer.status == 200
                assert answer.json["candidates"][0]["content"]["parts"] == [{"text": "one two"}]
        assert (await site.post(f"/v1/chat/completions?key={site.key}", {}, key="")).status == 401

    run(scenario)


def test_a_stream_comes_as_events_and_tokens_are_counted(run: Callable[..., None]) -> None:
    async def scenario(site: Any) -> None:
        answer = await site.post("/v1beta/models/sim/echo:streamGenerateContent?alt=sse", BODY)
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.body.count(b"\r\n\r\n") >= 2
        count = await site.post("/v1/models/sim/echo:countTokens", BODY)
        assert count.json["totalTokens"] > 0

    run(scenario)


def test_errors_have_googles_shape_whoever_makes_them(run: Callable[..., None]) -> None:
    async def scenario(site: Any) -> None:
        path = "/v1/models/sim/echo"
        for answer, status, name in (
            (await site.post(f"{path}:generateContent", BODY, key=""), 401, "UNAUTHENTICATED"),
            (await site.post(f"{path}:nothing", BODY), 404, "NOT_FOUND"),
            (await site.post(f"{path}:streamGenerateContent", BODY), 400, "INVALID_ARGUMENT"),
            (await site.post("/v1beta/models/nobody/x:generateContent", BODY), 404, "NOT_FOUND"),
            (await site.post(f"{path}:generateContent", b"{"), 400, "INVALID_ARGUMENT"),
        ):
            assert answer.status == status
            assert answer.json["error"]["code"] == status
            assert answer.json["error"]["status"] == name
            assert answer.json["error"]["message"]

    run(scenario)


def test_models_are_listed_in_the_shape_of_whoever_asks(run: Callable[..., None]) -> None:
    async def scenario(site: Any) -> None:
        for path, headers in (("/v1beta/models", {}), ("/v1/models", {"x-goog-api-key": site.key})):
            found = await site.get(path, key=site.key if not headers else "", headers=headers)
            assert {one["name"] for one in found.json["models"]} == {"models/sim/echo"}
        assert (await site.get("/v1/models")).json["data"][0]["id"] == "sim/echo"

    sim = {"type": "sim", "base_url": "http://127.0.0.1:9/v1", "models": ["echo"]}
    run(scenario, gateway={"providers": {"sim": sim}})


def test_one_model_is_described_to_whoever_asks_before_it_calls(run: Callable[..., None]) -> None:
    async def scenario(site: Any) -> None:
        google = (await site.get("/v1beta/models/sim/echo")).json
        assert (google["name"], google["inputTokenLimit"]) == ("models/sim/echo", 8000)
        assert (await site.get("/v1/models/sim/echo")).json["id"] == "sim/echo"
        same = await site.get("/v1/models/sim/other", key="", headers={"x-goog-api-key": site.key})
        assert "inputTokenLimit" not in same.json
        for path in ("/v1/models/nobody/x", "/v1beta/models/nobody/x"):
            assert (await site.get(path)).status == 404

    sim = {"type": "sim", "base_url": "http://127.0.0.1:9/v1", "facts": {"echo": {"context_tokens": 8000}}}
    run(scenario, gateway={"providers": {"sim": sim}})
