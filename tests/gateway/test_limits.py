"""Limits: a place for each request, or the time to come back; one sum over all processes."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mooring.core.clock import ManualClock
from mooring.core.errors import RateLimited
from mooring.gateway import tables  # noqa: F401  # its tables join the schema
from mooring.gateway.config import GatewayConfig
from mooring.gateway.keys import Caller
from mooring.gateway.limit_config import LimitRule, LimitsConfig
from mooring.gateway.limits import Limits, Slot, Who
from mooring.storage import Database

from .house import another_serve, default_config, house, read, say

ANN, BEN = (Caller("p", ("call",), api_key_id=name * 16) for name in (b"a", b"b"))


async def take(limits: Limits, caller: Caller = ANN, **more: Any) -> Slot:
    who = Who(caller, more.get("model", "m"), more.get("user"), more.get("body_bytes", 0), more.get("output_tokens"))
    return await limits.take(who)


def limits(database: Database, clock: ManualClock, *rules: LimitRule, **each: int) -> Limits:
    return Limits(LimitsConfig(rules=rules, **each), clock=clock, database=database)  # type: ignore[arg-type]


def test_a_key_may_start_so_many_in_a_minute_and_is_told_when_to_come_back(database: Database) -> None:
    async def scene() -> None:
        clock = ManualClock()
        of = limits(database, clock, requests_per_minute=3)
        for _ in range(3):
            (await take(of)).release()
        with pytest.raises(RateLimited) as caught:
            await take(of)
        assert caught.value.retry_after_seconds == pytest.approx(20.0)
        assert caught.value.message == "This key is limited to 3 requests a minute."
        await take(of, BEN)
        clock.advance(20.0)
        await take(of)
        with pytest.raises(RateLimited):
            await take(of)

    asyncio.run(scene())


def test_a_key_may_have_so_many_running_and_a_place_is_given_back_once(database: Database) -> None:
    async def scene() -> None:
        of = limits(database, ManualClock(), concurrent_requests=2)
        first, _ = await take(of), await take(of)
        with pytest.raises(RateLimited):
            await take(of)
        first.release()
        first.release()
        await take(of)
        with pytest.raises(RateLimited):
            await take(of)

    asyncio.run(scene())


def test_processes_of_the_home_are_not_limited(database: Database) -> None:
    async def scene() -> None:
        of = limits(database, ManualClock(), requests_per_minute=1)
        for _ in range(5):
            await take(of, Caller.service("p"))

    asyncio.run(scene())


def test_a_rule_counts_by_user_model_or_project_and_for_one_of_them_alone(database: Database) -> None:
    async def scene() -> None:
        clock = ManualClock()
        of = limits(
            database,
            clock,
            LimitRule(per="user", requests_per_minute=1),
            LimitRule(per="model", only="dear", requests_per_minute=2),
            LimitRule(per="project", requests_per_minute=4),
        )
        await take(of, user="u1", model="dear")
        with pytest.raises(RateLimited, match="User 'u1' is limited to 1 requests a minute"):
            await take(of, user="u1", model="cheap")
        await take(of, user="u2", model="dear")
        with pytest.raises(RateLimited, match="Model 'dear'"):
            await take(of, user="u3", model="dear")
        await take(of, user="u3")  # what the refusal had taken was given back
        await take(of, BEN)
        with pytest.raises(RateLimited, match="Project 'p'"):
            await take(of, BEN)

    asyncio.run(scene())


def test_tokens_are_taken_by_an_estimate_and_corrected(database: Database) -> None:
    async def scene() -> None:
        clock = ManualClock()
        of = limits(database, clock, tokens_per_minute=1000)
        slot = await take(of, body_bytes=400, output_tokens=399)  # 500 by estimate
        slot.add_tokens(100)
        slot.release()
        slot = await take(of, body_bytes=3000)
        slot.add_tokens(2900)  # a debt of 2,000
        slot.release()
        with pytest.raises(RateLimited) as caught:
            await take(of)
        assert caught.value.retry_after_seconds == pytest.approx(120.0, abs=1.0)
        clock.advance(121)
        await take(of)

    asyncio.run(scene())


def test_processes_on_one_database_never_pass_the_limit_together(tmp_path: Path) -> None:
    async def scene() -> None:
        clock = ManualClock()
        url = f"sqlite:///{tmp_path / 'shared.db'}"
        databases = [Database.open(url) for _ in range(3)]
        try:
            each = [limits(one, clock, requests_per_minute=100) for one in databases]

            async def try_many(of: Limits) -> int:
                async def one() -> bool:
                    try:
                        await take(of)
                    except RateLimited:
                        return False
                    return True

                return sum(await asyncio.gather(*(one() for _ in range(60))))

            granted = sum(await asyncio.gather(*(try_many(of) for of in each)))
            assert 90 <= granted <= 100  # at most a twentieth is held by each of the others
            clock.advance(61)
            again = sum(await asyncio.gather(*(try_many(of) for of in each)))
            assert 90 <= again <= 100
        finally:
            for one in databases:
                one.close()

    asyncio.run(scene())


def test_a_limit_reaches_the_caller_as_429_with_retry_after_and_tokens_come_from_the_answer(tmp_path: Path) -> None:
    def config(url: str) -> GatewayConfig:
        return default_config(url, limits=LimitsConfig(tokens_per_minute=50))

    async def scene() -> None:
        async with house(tmp_path, config=config) as home:
            body = say(" ".join(["word"] * 200), stream=True)
            assert (await home.ask(body)).data[-1] == "[DONE]"
            answer = await home.ask(say("hi"))
            assert (answer.status, answer.json["error"]["code"]) == (429, "rate_limit_exceeded")
            assert int(answer.headers["retry-after"]) > 60  # the answer was longer than a minute's worth
            assert len(home.sim.requests) == 1

    asyncio.run(scene())


def test_running_requests_are_counted_over_two_serves_and_a_refusal_takes_no_rate(tmp_path: Path) -> None:
    def config(url: str) -> GatewayConfig:
        return default_config(url, limits=LimitsConfig(concurrent_requests=1, requests_per_minute=2))

    async def scene() -> None:
        async with house(tmp_path, config=config) as home, another_serve(home, config(home.sim.url)) as other:
            running = await home.gateway.chat(home.inbound(say("hi there", stream=True)))
            refused = await read(await other.chat(home.inbound(say("hi"))))
            assert refused.status == 429
            assert refused.json["error"]["message"].startswith("This key has 1 requests running; the limit is 1.")
            assert refused.headers["retry-after"] == "1"
            assert (await read(running)).data[-1] == "[DONE]"
            assert (await read(await other.chat(home.inbound(say("hi"))))).status == 200
            assert len(home.sim.requests) == 2

    asyncio.run(scene())


def test_many_clients_of_two_serves_never_have_more_running_than_the_limit(tmp_path: Path) -> None:
    def config(url: str) -> GatewayConfig:
        return default_config(url, limits=LimitsConfig(rules=(LimitRule(per="project", concurrent_requests=3),)))

    async def scene() -> None:
        async with house(tmp_path, config=config) as home, another_serve(home, config(home.sim.url)) as other:
            statuses: list[int] = []

            async def client(number: int) -> None:
                for _ in range(5):
                    gateway = (home.gateway, other)[number % 2]
                    outbound = await gateway.chat(home.inbound(say("a few words", stream=True)))
                    running = await home.journal.read(
                        lambda tx: tx.one("SELECT COUNT(*) FROM calls WHERE state = 'running'")
                    )
                    assert running is not None
                    assert running[0] <= 3
                    statuses.append((await read(outbound)).status)

            await asyncio.gather(*(client(number) for number in range(12)))
            assert set(statuses) == {200, 429}
            assert statuses.count(200) == len(home.sim.requests)

    asyncio.run(scene())
