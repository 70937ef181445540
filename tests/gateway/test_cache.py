"""The exact cache: the same request is answered from the journal, for nothing, within its project and its policy."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mooring.core import ids
from mooring.gateway.config import GatewayConfig, ModelConfig
from mooring.gateway.keys import Caller

from .house import Answer, House, default_config, house, say


def config(url: str) -> GatewayConfig:
    model = ModelConfig(targets=("sim/writer",), cache_seconds=60)
    return default_config(url, models={"cached": model, "plain": ModelConfig(targets=("sim/writer",))})


def ask(home: House, text: str = "write", *, model: str = "cached", stream: bool = False, **more: Any) -> Any:
    return home.ask(say(text, model=model, stream=stream), **more)


async def call_of(home: House, answer: Answer) -> Any:
    return await home.journal.get_call("default", ids.read("call", answer.headers["x-mooring-call"]))


@pytest.mark.parametrize("stream", [False, True])
def test_the_same_request_is_answered_again_for_nothing_and_journalled(tmp_path: Path, stream: bool) -> None:
    async def scene() -> None:
        async with house(tmp_path, config=config) as home:
            first = await ask(home, stream=stream)
            bill = await home.bill()
            again = await ask(home, stream=stream)
            assert len(home.sim.requests) == 1
            assert await home.bill() == bill == (await home.meter(), 0)
            assert (again.headers["x-mooring-cache"], again.content_type) == ("hit", first.content_type)
            assert "x-mooring-cache" not in first.headers
            one, two = await call_of(home, first), await call_of(home, again)
            assert one.id != two.id
            assert (two.state, two.settled_nanos, two.held_nanos) == ("completed", 0, 0)
            saved = {"call": first.headers["x-mooring-call"], "saved_nanos": one.settled_nanos}
            assert two.attributes["cache"] == saved
            assert await home.journal.get_body("default", two.id) == again.body
            if stream:
                assert (again.stream_text, again.data) == (first.stream_text, first.data)
                assert f"call={again.headers['x-mooring-call']} cost_usd=0.000000000".encode() in again.body
                assert first.headers["x-mooring-call"].encode() not in again.body
            else:
                assert (again.body, again.headers["x-mooring-cost-usd"]) == (first.body, "0.000000000")

    asyncio.run(scene())


def test_another_request_route_wire_or_project_is_no_hit_and_neither_is_one_that_refuses_it(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path, config=config) as home:
            await ask(home)
            for number, another in enumerate(
                [
                    ask(home, "write more"),
                    ask(home, stream=True),
                    ask(home, model="plain"),
                    ask(home, caller=Caller("other", ("call",), api_key_id=b"b" * 16)),
                    ask(home, cache_control="no-cache"),
                ]
            ):
                assert "x-mooring-cache" not in (await another).headers
                assert len(home.sim.requests) == 2 + number

    asyncio.run(scene())


def test_an_answer_under_another_policy_is_no_hit(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path, config=config) as home:
            await ask(home)
        checks = ({"type": "secrets_mask"},)
        async with house(tmp_path, config=config, checks=checks) as home:
            assert "x-mooring-cache" not in (await ask(home)).headers
            assert "x-mooring-cache" in (await ask(home)).headers

    asyncio.run(scene())


def test_a_failure_is_not_remembered_and_two_at_once_both_get_their_answer(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path, config=config) as home:
            home.sim.fault("status", model="writer", status=400)
            assert (await ask(home)).status == 400
            answers = await asyncio.gather(*(ask(home) for _ in range(4)))
            assert [answer.status for answer in answers] == [200] * 4
            assert (await ask(home)).headers["x-mooring-cache"] == "hit"
            assert await home.bill() == (await home.meter(), 0)

    asyncio.run(scene())


def test_a_call_with_a_key_of_its_own_is_given_a_hit_and_then_its_own_answer(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path, config=config) as home:
            await ask(home)
            hit = await ask(home, idempotency_key="k")
            again = await ask(home, idempotency_key="k")
            assert (hit.headers["x-mooring-cache"], again.headers["x-mooring-replayed"]) == ("hit", "true")
            assert hit.headers["x-mooring-call"] == again.headers["x-mooring-call"]
            assert (await ask(home, idempotency_key="cache/x")).status == 403

    asyncio.run(scene())
