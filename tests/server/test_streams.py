"""Streams and whole answers through the official OpenAI SDK and on the wire; a stream that breaks says so in it."""

import asyncio
import json
from collections.abc import Callable

import openai
import pytest

from mooring.net import Request
from mooring.sim.faults import Fault

from .conftest import DEADLINES, Site, say

Run = Callable[..., None]


def sdk(site: Site) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{site.url}/v1", api_key=site.key, max_retries=0)


def test_the_openai_sdk_gets_whole_answers_streams_and_models(run: Run) -> None:
    async def scenario(site: Site) -> None:
        async with sdk(site) as client:
            messages = [{"role": "user", "content": "Say it again"}]
            raw = await client.chat.completions.with_raw_response.create(model="sim/echo", messages=messages)  # type: ignore[call-overload]
            whole = raw.parse()
            assert whole.choices[0].message.content == "Say it again"
            assert raw.headers["x-mooring-call"].startswith("call_")
            assert float(raw.headers["x-mooring-cost-usd"]) > 0
            stream = await client.chat.completions.create(
                model="sim/echo",
                messages=messages,  # type: ignore[arg-type]
                stream=True,
                stream_options={"include_usage": True},
            )
            chunks = [chunk async for chunk in stream]  # type: ignore[union-attr]
            text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
            assert text == "Say it again"
            assert chunks[-1].usage == whole.usage
            assert [model.id async for model in client.models.list()] == ["steady"]

    run(scenario, gateway={"models": {"steady": {"targets": ["sim/down", "sim/echo"]}}})


def test_the_openai_sdk_raises_its_own_errors(run: Run) -> None:
    async def scenario(site: Site) -> None:
        async with sdk(site) as client:
            messages = [{"role": "user", "content": "Hi"}]
            with pytest.raises(openai.NotFoundError):
                await client.chat.completions.create(model="nobody/nothing", messages=messages)  # type: ignore[call-overload]
            with pytest.raises(openai.AuthenticationError):
                await client.with_options(api_key="mr_wrong").models.list()
            with pytest.raises(openai.BadRequestError):
                await client.chat.completions.create(model="sim/echo", messages="Hi")  # type: ignore[call-overload]
            with pytest.raises(openai.InternalServerError):
                await client.chat.completions.create(model="sim/down", messages=messages)  # type: ignore[call-overload]

    run(scenario)


def test_a_stream_tells_its_cost_before_its_end(run: Run) -> None:
    async def scenario(site: Site) -> None:
        answer = await site.post("/v1/chat/completions", say("Hi there", stream=True))
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-cache"
        call = answer.headers["x-mooring-call"]
        lines = [line for line in answer.body.decode().split("\n") if line]
        assert lines[-1] == "data: [DONE]"
        assert lines[-2].startswith(f": mooring call={call} cost_usd=0.0000")
        recorded = (await site.get(f"/v1/calls/{call}")).json
        assert recorded["cost_usd"].lstrip("$") == lines[-2].rpartition("=")[2]
        assert [attempt["settlement"] for attempt in recorded["attempts"]] == ["settled"]

    run(scenario)


def test_a_stream_that_breaks_ends_with_an_error_event_and_no_done(run: Run) -> None:
    async def scenario(site: Site) -> None:
        site.sim.faults.add(Fault(kind="close_mid_stream", model="writer", after_events=2))
        answer = await site.post("/v1/chat/completions", say("Tell", "sim/writer", stream=True))
        assert answer.status == 200
        data = [line[6:] for line in answer.body.decode().split("\n") if line.startswith("data: ")]
        assert "[DONE]" not in data
        error = json.loads(data[-1])["error"]
        assert error["code"] == "upstream_disconnected"
        assert error["message"]
        async with sdk(site) as client:
            site.sim.faults.add(Fault(kind="close_mid_stream", model="writer", after_events=2))
            stream = await client.chat.completions.create(**say("Tell", "sim/writer", stream=True))
            with pytest.raises(openai.APIError, match="connection"):
                async for _ in stream:
                    pass

    run(scenario)


def test_a_key_answers_once_and_is_bound_to_its_body(run: Run) -> None:
    async def scenario(site: Site) -> None:
        headers = {"idempotency-key": "one"}
        first, second = await site.say("Hi", headers=headers), await site.say("Hi", headers=headers)
        assert (first.body, second.headers["x-mooring-replayed"]) == (second.body, "true")
        assert len(site.sim.meter.rows) == 1
        answer = await site.say("Other", headers=headers)
        assert (answer.status, answer.error["code"], answer.headers["x-should-retry"]) == (409, "key_reused", "false")

    run(scenario)


def test_a_client_that_hangs_up_frees_its_place(run: Run) -> None:
    async def scenario(site: Site) -> None:
        planted = site.sim.faults.add(Fault(kind="stall_mid_stream", model="writer"))
        body = json.dumps(say("Tell", "sim/writer", stream=True)).encode()
        headers = [(b"authorization", f"Bearer {site.key}".encode())]
        request = Request(method="POST", url=f"{site.url}/v1/chat/completions", headers=headers, body=body)
        response = await site.http.send(request, deadlines=DEADLINES)
        await planted.reached.wait()
        assert (await site.say("Hi")).error["code"] == "rate_limit_exceeded"
        await response.aclose()
        call = ""
        async with asyncio.timeout(120):
            while not call or (await site.get(f"/v1/calls/{call}")).json["state"] == "running":
                call = (await site.get("/v1/calls")).json["data"][0]["id"]
        planted.free()
        async with asyncio.timeout(120):
            while (await site.say("Hi")).status != 200:
                pass

    run(scenario, gateway={"limits": {"concurrent_requests": 1}})
