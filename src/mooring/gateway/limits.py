"""Requests per minute and at once, per caller: a token bucket in this process.

The seam for several replicas is this class: the same two methods over Redis or SQL counters.
"""

from mooring.core.clock import Clock
from mooring.core.errors import RateLimited

from .config import LimitsConfig
from .keys import Caller

MAX_CALLERS = 10_000


class Slot:
    """A running request; `release` may be called more than once."""

    __slots__ = ("_bucket",)

    def __init__(self, bucket: "_Bucket | None") -> None:
        self._bucket = bucket

    def release(self) -> None:
        if self._bucket is not None:
            self._bucket.running -= 1
            self._bucket = None


class Limits:
    """Takes a place for each request, or says when to come back."""

    def __init__(self, config: LimitsConfig, *, clock: Clock) -> None:
        self._rate = config.requests_per_minute
        self._most = config.concurrent_requests
        self._clock = clock
        self._buckets: dict[tuple[str, bytes | None], _Bucket] = {}

    def take(self, caller: Caller) -> Slot:
        """A place for one request; a process of this home is not limited.

        Raises:
            RateLimited: with the seconds until a place is free.
        """
        if caller.is_service or (self._rate is None and self._most is None):
            return Slot(None)
        bucket = self._bucket(caller)
        if self._most is not None and bucket.running >= self._most:
            raise RateLimited(
                f"This key has {bucket.running} requests running; its limit is {self._most}.",
                retry_after_seconds=1.0,
                hint="Wait for one to finish, or raise [gateway.limits] concurrent_requests.",
            )
        if self._rate is not None:
            bucket.refill(self._clock.monotonic(), self._rate)
            if bucket.tokens < 1:
                wait = (1 - bucket.tokens) * 60 / self._rate
                raise RateLimited(
                    f"This key is limited to {self._rate} requests a minute.",
                    retry_after_seconds=wait,
                    hint=f"Come back in {wait:.1f} s, or raise [gateway.limits] requests_per_minute.",
                )
            bucket.tokens -= 1
        bucket.running += 1
        return Slot(bucket)

    def _bucket(self, caller: Caller) -> "_Bucket":
        who = (caller.project_id, caller.api_key_id)
        bucket = self._buckets.get(who)
        if bucket is None:
            if len(self._buckets) >= MAX_CALLERS:
                self._buckets = {known: kept for known, kept in self._buckets.items() if kept.running}
            bucket = self._buckets[who] = _Bucket(float(self._rate or 0), self._clock.monotonic())
        return bucket


class _Bucket:
    __slots__ = ("at", "running", "tokens")

    def __init__(self, tokens: float, at: float) -> None:
        self.tokens = tokens
        self.at = at
        self.running = 0

    def refill(self, now: float, rate: int) -> None:
        self.tokens = min(float(rate), self.tokens + (now - self.at) * rate / 60)
        self.at = now
