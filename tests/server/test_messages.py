"""Anthropic's wire on a real socket: its errors, its streams, its key."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

BODY = {"model": "sim/echo", "max_tokens": 50, "messages": [{"role": "user", "content": "one two"}]}


def test_a_message_is_answered_with_any_of_the_key_headers(run: Callable[..., None]) -> None:
    async def scenario(site: Any) -> None:
        for header, value in (("x-api-key", site.key), ("authorization", f"Bearer {site.key}")):
            answer = await site.post("/v1/messages", BODY, key="", headers={header: value})
            assert answer.status == 200
            assert answer.json["content"] == [{"type": "text", "text": "one two"}]
            assert answer.headers["x-mooring-call"].startswith("call_")

    run(scenario)


def test_errors_have_anthropics_shape_whoever_makes_them(run: Callable[..., None]) -> None:
    async def scenario(site: Any) -> None:
        for answer, status, kind in (
            (await site.post("/v1/messages", BODY, key=""), 401, "authentication_error"),
            (await site.post("/v1/messages", {**BODY, "model": "nobody/x"}), 404, "not_found_error"),
            (await site.post("/v1/messages", b"{"), 400, "invalid_request_error"),
            (await site.get("/v1/messages"), 405, "invalid_request_error"),
        ):
            assert answer.status == status
            assert answer.json["type"] == "error"
            assert answer.json["error"]["type"] == kind
            assert answer.json["error"]["message"]

    run(scenario)


def test_a_stream_comes_as_named_events_and_tokens_are_counted(run: Callable[..., None]) -> None:
    async def scenario(site: Any) -> None:
        answer, count = await asyncio.gather(
            site.post("/v1/messages", {**BODY, "stream": True}), site.post("/v1/messages/count_tokens", BODY)
        )
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.body.decode().split("\n")
        assert "event: message_start" in lines
        assert json.loads([line for line in lines if line.startswith("data: ")][-1][6:]) == {"type": "message_stop"}
        assert count.json["input_tokens"] > 0
        assert count.headers["x-mooring-estimated"] == "true"

    run(scenario)
