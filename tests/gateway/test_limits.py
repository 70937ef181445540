"""Rate limits: a place for each request, or the time to come back."""

import pytest

from mooring.core.clock import ManualClock
from mooring.core.errors import RateLimited
from mooring.gateway.config import LimitsConfig
from mooring.gateway.keys import Caller
from mooring.gateway.limits import Limits

ANN, BEN = (Caller("p", ("call",), api_key_id=name) for name in (b"ann", b"ben"))


def test_a_key_may_start_so_many_in_a_minute_and_is_told_when_to_come_back() -> None:
    clock = ManualClock()
    limits = Limits(LimitsConfig(requests_per_minute=3), clock=clock)
    for _ in range(3):
        limits.take(ANN).release()
    with pytest.raises(RateLimited) as caught:
        limits.take(ANN)
    assert caught.value.retry_after_seconds == pytest.approx(20.0)
    limits.take(BEN)
    clock.advance(20.0)
    limits.take(ANN)
    with pytest.raises(RateLimited):
        limits.take(ANN)


def test_a_key_may_have_so_many_running_and_a_place_is_given_back_once() -> None:
    limits = Limits(LimitsConfig(concurrent_requests=2), clock=ManualClock())
    first, _ = limits.take(ANN), limits.take(ANN)
    with pytest.raises(RateLimited):
        limits.take(ANN)
    first.release()
    first.release()
    limits.take(ANN)
    with pytest.raises(RateLimited):
        limits.take(ANN)


def test_processes_of_the_home_are_not_limited() -> None:
    limits = Limits(LimitsConfig(requests_per_minute=1), clock=ManualClock())
    for _ in range(5):
        limits.take(Caller.service("p"))
