"""How much one process takes on: places, waiting by priority, and the refusal of the rest."""

import asyncio
from pathlib import Path

import pytest

from mooring.core.errors import InvalidRequest, RateLimited
from mooring.gateway.admission import PRIORITIES, Admission, priority_of
from mooring.gateway.config import GatewayConfig
from mooring.gateway.limit_config import LimitsConfig

from .house import default_config, house, say

LOW, NORMAL, HIGH = PRIORITIES.values()


def admission(running: int = 1, waiting: int = 2, seconds: float = 30.0) -> Admission:
    return Admission(LimitsConfig(running_requests=running, waiting_requests=waiting, wait_seconds=seconds))


async def until_waiting(places: Admission, count: int) -> None:
    while places.waiting < count:
        await asyncio.sleep(0)


def test_the_most_urgent_goes_first_then_who_came_first() -> None:
    async def scene() -> None:
        places = admission(waiting=4)
        await places.enter(NORMAL)
        order: list[str] = []

        async def one(name: str, priority: int) -> None:
            await places.enter(priority)
            order.append(name)
            places.leave()

        tasks = []
        for name, priority in (("low", LOW), ("first", NORMAL), ("second", NORMAL), ("high", HIGH)):
            tasks.append(asyncio.create_task(one(name, priority)))
            await until_waiting(places, len(tasks))
        places.leave()
        await asyncio.gather(*tasks)
        assert order == ["high", "first", "second", "low"]
        assert (places.running, places.waiting) == (0, 0)

    asyncio.run(scene())


def test_when_nobody_more_may_wait_the_least_urgent_gives_way() -> None:
    async def scene() -> None:
        places = admission(waiting=1)
        await places.enter(NORMAL)
        low = asyncio.create_task(places.enter(LOW))
        await until_waiting(places, 1)
        with pytest.raises(RateLimited) as caught:
            await places.enter(LOW)
        assert caught.value.message == "This server is full: 1 requests run and 1 wait."
        assert caught.value.retry_after_seconds
        high = asyncio.create_task(places.enter(HIGH))
        with pytest.raises(RateLimited):
            await low
        places.leave()
        await high
        places.leave()
        assert (places.running, places.waiting) == (0, 0)

    asyncio.run(scene())


def test_who_waits_too_long_or_leaves_takes_no_place() -> None:
    async def scene() -> None:
        places = admission(seconds=0.01)
        await places.enter(NORMAL)
        with pytest.raises(RateLimited):
            await places.enter(NORMAL)
        gone = asyncio.create_task(admission_of(places))
        await until_waiting(places, 1)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        places.leave()
        assert (places.running, places.waiting) == (0, 0)

    async def admission_of(places: Admission) -> None:
        await places.enter(NORMAL)

    asyncio.run(scene())


def test_who_is_cancelled_with_its_place_already_given_hands_it_on() -> None:
    async def scene() -> None:
        places = admission()
        await places.enter(NORMAL)
        gone = asyncio.create_task(places.enter(NORMAL))
        await until_waiting(places, 1)
        places.leave()
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert (places.running, places.waiting) == (0, 0)

    asyncio.run(scene())


def test_a_priority_is_one_of_three_words() -> None:
    assert [priority_of(text) for text in ("low", " Normal", "high", None)] == [LOW, NORMAL, HIGH, NORMAL]
    with pytest.raises(InvalidRequest, match="There is no priority 'urgent'"):
        priority_of("urgent")


def test_a_full_server_answers_429_and_takes_the_next_when_one_is_over(tmp_path: Path) -> None:
    def config(url: str) -> GatewayConfig:
        return default_config(url, limits=LimitsConfig(running_requests=1, waiting_requests=0))

    async def scene() -> None:
        async with house(tmp_path, config=config) as home:
            stalled = home.sim.fault("stall_first_byte")
            first = asyncio.create_task(home.ask(say("one")))
            await stalled.reached.wait()
            answer = await home.ask(say("two"))
            assert (answer.status, answer.json["error"]["code"]) == (429, "rate_limit_exceeded")
            assert int(answer.headers["retry-after"]) >= 1
            stalled.free()
            assert (await first).status == 200
            for stream in (False, True):
                assert (await home.ask(say("three", stream=stream))).status == 200
            assert (await home.ask(say("four", model="sim/none"))).status == 400
            assert (await home.ask(say("five"))).status == 200

    asyncio.run(scene())
