"""Certificates for loopback made at run time, a client that may reach loopback, and both event loops."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from mooring.net import Deadlines, EgressPolicy, HttpClient, PoolLimits
from mooring.net.loop import new_event_loop

sys.path.insert(0, str(Path(__file__).parent))  # for `misbehaving`: pytest's importlib mode adds no folder

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def run_on(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> Run:
    def run(main: Coroutine[Any, Any, Any]) -> Any:
        async def limited() -> Any:
            async with asyncio.timeout(120):
                return await main

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(limited())

    return run


@pytest.fixture(params=[asyncio.new_event_loop, new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on each of the two loops, and never for ever."""
    return run_on(request.param)


@pytest.fixture
def client() -> Callable[..., HttpClient]:
    def make(**limits: Any) -> HttpClient:
        return HttpClient(egress=EgressPolicy(allow=("127.0.0.0/8", "::1")), limits=PoolLimits(**limits))

    return make


@pytest.fixture
def short() -> Callable[..., Deadlines]:
    """Deadlines of which one is short."""

    def make(**seconds: float) -> Deadlines:
        return Deadlines()._replace(**seconds)

    return make
