"""Budgets and bounds: what a call can cost at most is held before it is sent."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mooring.core import ids
from mooring.gateway.config import GatewayConfig, ModelConfig, ProviderConfig

from .house import another_journal, default_config, house, say


async def budget(home: Any, nanos: int, **more: Any) -> None:
    settings = {"scope": "project", "subject": "", "window": "total", **more}
    await home.journal.put_budget("default", cap_nanos=nanos, **settings)


def test_a_call_that_could_pass_the_cap_is_402_and_never_sent(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            await budget(home, 1000)
            answer = await home.ask(say("hello"))
            assert (answer.status, answer.json["error"]["code"]) == (402, "budget_exceeded")
            assert not home.sim.requests
            assert await home.bill() == (0, 0)

    asyncio.run(scene())


def test_a_budget_that_another_process_has_just_made_holds_for_the_next_call(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            assert (await home.ask(say("hello"))).status == 200  # from now on this process knows that there is none
            other = another_journal(home, tmp_path)
            await other.put_budget("default", scope="user", subject="u", window="total", cap_nanos=10**12)
            assert (await home.ask(say("hello", user="u"))).status == 200
            await other.put_budget("default", scope="project", subject="", window="total", cap_nanos=1)
            answer = await home.ask(say("hello", user="u"))
            assert (answer.status, answer.json["error"]["code"]) == (402, "budget_exceeded")
            assert len(home.sim.requests) == 2
            spent = [budget.settled_nanos for budget in await home.journal.budgets("default")]
            assert spent[0] > 0
            assert spent[1] == 0

    asyncio.run(scene())


def test_a_budget_that_another_process_has_just_removed_caps_the_next_call_no_more(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            other = another_journal(home, tmp_path)
            await home.journal.put_budget("default", scope="project", subject="", window="day", cap_nanos=1)
            await home.journal.put_budget("default", scope="user", subject="u", window="day", cap_nanos=10**12)
            assert (await home.ask(say("hello", user="u"))).status == 402
            await other.remove_budget("default", scope="project", subject="", window="day")  # not the newest
            assert (await home.ask(say("hello", user="u"))).status == 200
            await other.remove_budget("default", scope="user", subject="u", window="day")  # the newest
            assert (await home.ask(say("hello", user="u"))).status == 200
            await other.put_budget("default", scope="project", subject="", window="day", cap_nanos=1)
            assert (await home.ask(say("hello", user="u"))).status == 402

    asyncio.run(scene())


def test_an_output_cap_is_put_in_where_a_budget_applies_and_only_there(tmp_path: Path) -> None:
    def config(url: str) -> GatewayConfig:
        return default_config(url, models={"short": ModelConfig(targets=("sim/echo",), output_cap_tokens=7)})

    async def scene() -> None:
        async with house(tmp_path, config=config) as home:

            def sent() -> dict[str, Any]:
                fields: dict[str, Any] = msgspec.json.decode(home.sim.requests[-1].body)
                return fields

            await home.ask(say("hello"))
            assert "max_completion_tokens" not in sent()
            await budget(home, 10**12)
            await home.ask(say("hello"))
            assert sent()["max_completion_tokens"] == 4096
            await home.ask(say("hello", model="short"))
            assert sent()["max_completion_tokens"] == 7
            await home.ask(say("hello", max_tokens=3))
            assert "max_completion_tokens" not in sent()
            assert sent()["max_tokens"] == 3
            assert await home.bill() == (await home.meter(), 0)

    asyncio.run(scene())


@pytest.mark.parametrize(
    "more",
    [
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.test/a"}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]},
        {"tools": [{"type": "web_search"}]},
        {"web_search_options": {}},
        {"service_tier": "priority"},
    ],
)
def test_what_cannot_be_bounded_is_refused_under_a_budget_and_passes_without(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            assert (await home.ask({**say("x"), **more})).status != 402
            sent = len(home.sim.requests)
            await budget(home, 10**15)
            answer = await home.ask({**say("x"), **more})
            assert (answer.status, answer.json["error"]["code"]) == (402, "budget_exceeded")
            assert "A budget applies, and " in answer.json["error"]["message"]
            assert len(home.sim.requests) == sent

    asyncio.run(scene())


def test_many_at_once_never_pass_the_cap_and_nobody_is_refused_without_need(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            await home.ask(say("hello", max_tokens=10))
            one = (await home.bill())[0]
            await budget(home, one * 10)
            answers = await asyncio.gather(*[home.ask(say("hello", max_tokens=10)) for _ in range(40)])
            while any(answer.status == 402 for answer in answers[-1:]):
                answers.append(await home.ask(say("hello", max_tokens=10)))
                (state,) = await home.journal.budgets("default")
                assert state.settled_nanos + state.held_nanos <= state.cap_nanos
                if answers[-1].status == 402:
                    break
            (state,) = await home.journal.budgets("default")
            assert state.held_nanos == 0
            assert state.settled_nanos <= state.cap_nanos
            assert (await home.bill()) == (await home.meter(), 0)

    asyncio.run(scene())


def test_budgets_of_key_user_model_and_tag_apply_to_their_own_calls_alone(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            await budget(home, 1, scope="user", subject="u_1")
            await budget(home, 1, scope="tag", subject="batch")
            await budget(home, 1, scope="model", subject="sim/writer")
            await budget(home, 1, scope="key", subject=key_subject(home))
            other = type(home.caller)("default", ("call",), api_key_id=b"b" * 16)
            assert (await home.ask(say("x"), caller=other)).status == 200
            assert (await home.ask(say("x"), caller=other, x_mooring_user="u_1")).status == 402
            assert (await home.ask(say("x"), caller=other, x_mooring_tags="a,batch")).status == 402
            assert (await home.ask(say("x", model="sim/writer"), caller=other)).status == 402
            assert (await home.ask(say("x"))).status == 402

    asyncio.run(scene())


def key_subject(home: Any) -> str:
    return ids.show("key", home.caller.api_key_id)


def test_an_unknown_price_is_refused_or_flagged_and_never_zero(tmp_path: Path) -> None:
    def unpriced(policy: str) -> Any:
        def config(url: str) -> GatewayConfig:
            provider = ProviderConfig(type="openai_compatible", base_url=f"{url}/v1")
            return GatewayConfig.model_validate({"providers": {"p": provider}, "unknown_price": policy})

        return config

    async def refuse() -> None:
        async with house(tmp_path, config=unpriced("refuse")) as home:
            answer = await home.ask(say("x", model="p/echo"))
            assert (answer.status, answer.json["error"]["code"]) == (400, "unknown_price")
            assert not home.sim.requests

    async def flag() -> None:
        async with house(tmp_path, config=unpriced("flag")) as home:
            answer = await home.ask(say("x", model="p/echo"))
            assert answer.status == 200
            assert "x-mooring-cost-usd" not in answer.headers
            (attempt,) = await home.journal.unsettled("default")
            assert (attempt.settlement, attempt.price.source) == ("unknown", "unknown")
            await budget(home, 10**12)
            assert (await home.ask(say("y", model="p/echo"))).status == 400

    asyncio.run(refuse())
    asyncio.run(flag())


def test_cached_and_reasoning_tokens_are_billed_at_their_own_prices(tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(tmp_path) as home:
            messages = [
                {"role": "user", "content": "think about it"},
                {"role": "assistant", "content": "a long answer " * 20},
                {"role": "user", "content": "again"},
            ]
            for is_stream in (True, False):
                await home.ask({"model": "sim/reasoner", "messages": messages, "stream": is_stream})
            row = home.sim.meter.rows[0]
            assert row.cached_input_tokens
            assert row.reasoning_tokens
            assert await home.bill() == (await home.meter(), 0)

    asyncio.run(scene())


def test_the_double_is_told_the_attempt_and_a_plain_server_only_by_option(tmp_path: Path) -> None:
    def config(url: str) -> GatewayConfig:
        plain = {"type": "openai_compatible", "base_url": f"{url}/v1", "prices": {"*": {"input_usd": "1"}}}
        return GatewayConfig.model_validate(
            {"providers": {"quiet": plain, "telling": {**plain, "attempt_header": True}}}
        )

    async def scene() -> None:
        async with house(tmp_path, config=config) as home:
            await home.ask(say("x", model="quiet/echo"))
            await home.ask(say("x", model="telling/echo"))
            quiet, telling = home.sim.meter.rows
            assert quiet.attempt == ""
            assert telling.attempt.startswith("att_")

    asyncio.run(scene())
