"""A follower waits for a server that drains and comes back, and says so when it does not."""

import asyncio

import pytest
from tests.client.conftest import Answer, Server, sse_answer

from mooring.client import Client
from mooring.client.patience import LONGEST_SECONDS, MOST_SECONDS, Patience
from mooring.core.errors import Unavailable

AWAY = Answer(503, b'{"error": {"code": "unavailable", "message": "It ends."}}')
FIRST = 'data: {"seq": 1, "kind": "run.started", "payload": {}}'
SECOND = 'data: {"seq": 2, "kind": "run.completed", "payload": {}}'
END = "event: end\ndata: {}"


def test_a_run_is_followed_through_a_server_that_drains_and_comes_back(server: Server) -> None:
    server.answers = [sse_answer(FIRST, is_cut=True), *[AWAY] * 5, sse_answer(SECOND, END)]
    with Client(server.url, "key") as client:
        assert [fact.seq for fact in client.runs.events("run_1")] == [1, 2]
    assert server.asked[-1].path.endswith("after=1")


def test_waiting_gets_longer_and_ends_with_the_error() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def scenario() -> None:
        patience = Patience(sleep=sleep, now=lambda: sum(slept))
        while True:
            await patience.wait(Unavailable("It is not there."))

    with pytest.raises(Unavailable, match=r"It is not there\."):
        asyncio.run(scenario())
    assert slept == sorted(slept)
    assert slept[-1] == LONGEST_SECONDS
    assert MOST_SECONDS <= sum(slept) < MOST_SECONDS + LONGEST_SECONDS


def test_a_sign_of_life_begins_it_anew() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def scenario() -> None:
        patience = Patience(sleep=sleep, now=lambda: sum(slept))
        await patience.wait(None)
        await patience.wait(None)
        patience.renew()
        await patience.wait(None)

    asyncio.run(scenario())
    assert slept == [0.02, 0.04, 0.02]
