"""What comes after a failure: once more, the next target, or the end.

Failures are classified by what they say: a request that no one will accept is not sent again, a crowded provider is
asked once more and then left, one that cannot take this request is left at once, and one that rests is passed over.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from mooring.core.errors import (
    EgressDenied,
    MooringError,
    NoTargetLeft,
    RateLimited,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamRejected,
)
from mooring.core.text import shorten
from mooring.net.deadlines import Deadlines

from .codecs import Failure, FailureKind
from .config import GatewayConfig
from .health import Targets
from .mending import OutputInvalid
from .plan import Plan, Step, Target
from .provider import Vendor

Disposition = Literal["retry", "repair", "next", "stop"]

_BY_KIND: dict[FailureKind, Disposition] = {
    "rate_limited": "retry",
    "overloaded": "retry",
    "broken": "retry",
    "context_length": "next",
    "out_of_money": "next",
    "not_authorised": "next",
    "no_such_model": "next",
    "invalid": "stop",
}


def disposition(error: MooringError, failure: Failure | None) -> Disposition:
    """What an error means for the next step; `failure` is what the provider said, if it said anything."""
    if failure is not None:
        return _BY_KIND[failure.kind]
    if isinstance(error, OutputInvalid):
        return "repair"
    if isinstance(error, UpstreamDisconnected):
        return "retry"
    if isinstance(error, UpstreamRejected):
        return "stop"
    return "next" if isinstance(error, UpstreamError | EgressDenied) else "stop"


class Tries:
    """One call's way through its targets: each at most twice, the second time after a wait; never too late.

    A target that rests is passed over; where nothing else is left, one call at a time finds out whether it is well.
    `left_out` says, in the caller's words, who was passed over.
    """

    def __init__(
        self,
        plan: Plan,
        targets: Sequence[Target],
        config: GatewayConfig,
        *,
        health: Targets,
        draw: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self.health = health
        self.left_out: list[str] = []
        self._plan = plan
        self._left = list(targets)
        self._resting: list[Target] = []
        self._config = config
        self._draw = draw
        self._now = now
        self._until = None if plan.total_seconds is None else now() + plan.total_seconds
        self._has_retried = False
        self._repairs = plan.repairs or 0

    def deadlines(self, vendor: Vendor) -> Deadlines:
        """The provider's, or what is left of the call's time if that is less."""
        if self._until is None:
            return vendor.deadlines
        left = max(self._until - self._now(), 0.001)
        return vendor.deadlines._replace(total_seconds=min(left, vendor.deadlines.total_seconds))

    def first(self) -> Step:
        """The first attempt.

        Raises:
            NoTargetLeft, RateLimited: every target rests.
        """
        step = self._choose("first")
        if step is None:
            raise self._all_rest()
        return step

    def after(self, what: Disposition, retry_after_seconds: float | None, *, is_too_long: bool = False) -> Step | None:
        """The step after a failure, or None where nothing is left. `is_too_long`: only a longer context can help."""
        left = None if self._until is None else self._until - self._now()
        if what == "stop" or self._plan.is_once or (left is not None and left <= 0):
            return None
        wait = self._wait(retry_after_seconds)
        most = self._config.retry_wait_limit_seconds
        if what == "retry" and not self._has_retried and wait <= (most if left is None else min(left, most)):
            self._has_retried = True
            return Step(self._tried, "retry", wait)
        if what == "repair" and self._repairs:
            self._repairs -= 1
            return Step(self._tried, "repair")
        self._has_retried = False
        self._repairs = self._plan.repairs or 0
        context = self._tried.facts.context_tokens
        if is_too_long and context is not None:
            self._left = [one for one in self._left if (one.facts.context_tokens or context + 1) > context]
        return self._choose("fallback")

    def _choose(self, reason: str) -> Step | None:
        """The next target that is well, else one that may be probed."""
        now = self._now()
        while self._left:
            self._tried = self._left.pop(0)
            health = self.health.of(self._tried.name)
            if not health.is_open(now):
                return Step(self._tried, reason)
            self._resting.append(self._tried)
            wait = max(health.rests_until - now, 0.0)
            self.left_out.append(f"{health.name} rests for {wait:.0f} s: {shorten(health.why, 200)}")
        for target in self._resting:
            health = self.health.of(target.name)
            if not health.probes and not (health.is_asked_to_wait and now < health.rests_until):
                self._resting.remove(target)
                self.left_out[:] = [line for line in self.left_out if not line.startswith(f"{health.name} rests ")]
                self._tried = target
                return Step(target, "probe")
        return None

    def _all_rest(self) -> MooringError:
        """Nothing was sent, and nothing will be for so long."""
        resting = [self.health.of(target.name) for target in self._resting]
        wait = max(min(health.rests_until for health in resting) - self._now(), 1.0)
        message = f"Model '{self._plan.model}' has no target left: {'; '.join(self.left_out)}."
        hint = f"Come back in {wait:.0f} s."
        if all(health.is_asked_to_wait for health in resting):
            return RateLimited(message, retry_after_seconds=wait, hint=hint)
        return NoTargetLeft(message, retry_after_seconds=wait, hint=hint)

    def _wait(self, retry_after_seconds: float | None) -> float:
        if retry_after_seconds is not None:
            return retry_after_seconds * (1 + 0.1 * self._draw())  # not all at the same moment, and never early
        return self._config.retry_wait_seconds * (0.5 + self._draw())
