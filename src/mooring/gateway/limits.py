"""Rates and running requests by key, user, model and project; exact over every process on one database.

A rate is a bucket in SQL that holds a minute's worth and refills evenly. A process takes slices of it, a twentieth at
a time, and hands them out without SQL; so the sum over all processes never passes the bucket, and a process may refuse
early by what others hold: at most a twentieth of the limit for each of them, given up after a minute. Tokens are
taken by an estimate and corrected when the request is over.

Running requests are the journal's open calls: a call is opened only where there is a place for it, counted over all
processes in its intent's transaction. A process that has too many by itself refuses before that.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Literal, NamedTuple

from mooring.core import ids
from mooring.core.clock import Clock
from mooring.core.errors import RateLimited
from mooring.journal.attempts import too_many
from mooring.journal.records import Place
from mooring.storage import Database

from .keys import Caller
from .limit_config import LimitRule, LimitsConfig
from .repository import Lease, lease

MOST_SUBJECTS = 10_000
SLICES = 20  # of a minute's worth; smaller ones cost more SQL, larger ones strand more in an idle process
SLICE_SECONDS = 60.0
BYTES_PER_TOKEN = 4

Unit = Literal["requests", "tokens"]


class Who(NamedTuple):
    """Whose request it is, and how many tokens it may come to."""

    caller: Caller
    model: str
    user: str | None
    body_bytes: int
    output_tokens: int | None

    def subject(self, rule: LimitRule) -> str | None:
        """By what the rule counts this request; None where it does not apply."""
        caller = self.caller
        key = ids.show("key", caller.api_key_id) if caller.api_key_id else None
        found = {"key": key, "user": self.user, "model": self.model, "project": caller.project_id}[rule.per]
        return found if found is not None and rule.only in (None, found) else None

    @property
    def tokens(self) -> int:
        return self.body_bytes // BYTES_PER_TOKEN + (self.output_tokens or 0) + 1


class Slot:
    """A running request; `release` may be called more than once. `tokens` is what it came to, once that is known.

    `places` are what the journal counts before it opens the call.
    """

    __slots__ = ("_taken", "on_release", "places", "tokens")

    def __init__(self, taken: "list[tuple[_Bucket, int]] | None" = None, places: tuple[Place, ...] = ()) -> None:
        self._taken = taken or []
        self.places = places
        self.tokens: int | None = None
        self.on_release: Callable[[], None] | None = None

    def add_tokens(self, count: int) -> None:
        """One attempt was metered."""
        self.tokens = (self.tokens or 0) + count

    def give_back(self) -> None:
        """Nothing was sent for it: another limit refused, and this one gets back what it gave."""
        for bucket, amount in self._taken:
            bucket.left += amount
        self._taken = [(bucket, 0) for bucket, _ in self._taken]
        self.tokens = None

    def release(self) -> None:
        """It is over: its place is free, and its tokens are corrected; what was never metered keeps its estimate."""
        taken, self._taken = self._taken, []
        for bucket, amount in taken:
            bucket.running -= 1
            if bucket.unit == "tokens" and self.tokens is not None:
                bucket.left += amount - self.tokens
        then, self.on_release = self.on_release, None
        if then is not None:
            then()


class Limits:
    """Takes a place for each request, or says when to come back."""

    def __init__(self, config: LimitsConfig, *, clock: Clock, database: Database | None = None) -> None:
        self._rules = config.all_rules()
        self._clock = clock
        self._database = database
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self._due: dict[tuple[Caller, str, str | None], _Due] = {}  # what applies to whom, found once

    async def take(self, who: Who) -> Slot:
        """A place for one request; a process of this home is not limited.

        Raises:
            RateLimited: with the seconds until a place is free.
        """
        if not self._rules or who.caller.is_service:
            return Slot()
        due = self._due.get((who.caller, who.model, who.user)) or self._find(who)
        taken: list[tuple[_Bucket, int]] = []
        try:
            for bucket in due.buckets:
                amount = 1 if bucket.unit == "requests" else min(who.tokens, bucket.per_minute or 1)
                await self._take_one(bucket, amount)
                bucket.running += 1
                taken.append((bucket, amount))
        except RateLimited:
            for bucket, amount in taken:
                bucket.running -= 1
                bucket.left += amount
            raise
        return Slot(taken, due.places)

    def _find(self, who: Who) -> "_Due":
        """The buckets and the places of every rule that applies; the cheap questions first."""
        if len(self._buckets) >= MOST_SUBJECTS or len(self._due) >= MOST_SUBJECTS:
            self._buckets = dict(_still_needed(self._buckets.items()))
            self._due.clear()
        buckets: list[_Bucket] = []
        places: list[Place] = []
        for rule in self._rules:
            subject = who.subject(rule)
            if subject is None:
                continue
            name = f"{rule.per}:{rule.only or ''}:{subject}"
            if rule.concurrent_requests is not None or rule.requests_per_minute is not None:
                buckets.append(self._bucket(who, rule, name, "requests", rule.requests_per_minute))
            if rule.tokens_per_minute is not None:
                buckets.append(self._bucket(who, rule, name, "tokens", rule.tokens_per_minute))
            if rule.concurrent_requests is not None:
                counted = who.caller.api_key_id if rule.per == "key" else subject
                assert counted is not None  # a key's subject is made of its id
                places.append(Place(rule.per, counted, rule.concurrent_requests, whose(rule, subject)))
        due = self._due[who.caller, who.model, who.user] = _Due(tuple(buckets), tuple(places))
        return due

    async def _take_one(self, bucket: "_Bucket", amount: int) -> None:
        rule = bucket.rule
        most = rule.concurrent_requests if bucket.unit == "requests" else None
        if most is not None and bucket.running >= most:
            raise too_many(bucket.whose, bucket.running, most)
        if bucket.per_minute is None:
            return
        now = self._clock.monotonic()
        if now - bucket.leased_at > SLICE_SECONDS:
            bucket.left = min(bucket.left, 0)  # what was not used in its minute is given up; a debt stays
        if bucket.left < amount:
            async with bucket.refilling:  # one slice at a time, or many at once would strand what they do not need
                if bucket.left < amount:
                    await self._refill(bucket, amount, now)
        bucket.left -= amount

    async def _refill(self, bucket: "_Bucket", amount: int, now: float) -> None:
        """Take a slice, or less if that is all there is."""
        assert bucket.per_minute is not None
        owed, bucket.left = max(-bucket.left, 0), max(bucket.left, 0)
        want = max(amount - bucket.left, bucket.per_minute // SLICES, 1)
        got = await self._lease(bucket, want, owed)
        bucket.left += got.granted
        bucket.leased_at = now
        if bucket.left < amount:
            missing = amount - bucket.left - 1
            wait = got.wait_us / 1e6 + missing * 60 / bucket.per_minute
            raise RateLimited(
                f"{bucket.whose} is limited to {bucket.per_minute} {bucket.unit} a minute.",
                retry_after_seconds=wait,
                hint=f"Come back in {wait:.1f} s, or raise {bucket.unit}_per_minute under [gateway.limits].",
            )

    async def _lease(self, bucket: "_Bucket", want: int, owed: int) -> Lease:
        assert bucket.per_minute is not None
        operation = partial(
            lease,
            project_id=bucket.project_id,
            subject=f"{bucket.unit}:{bucket.name}",
            per_minute=bucket.per_minute,
            want=want,
            owed=owed,
            now_us=self._clock.now_us(),
        )
        assert self._database is not None, "rates need the database that their processes share"
        return await self._database.write_async(operation)

    def _bucket(self, who: Who, rule: LimitRule, name: str, unit: Unit, per_minute: int | None) -> "_Bucket":
        place = (who.caller.project_id, f"{unit}:{name}")
        bucket = self._buckets.get(place)
        if bucket is None:
            bucket = self._buckets[place] = _Bucket(who.caller.project_id, name, rule, unit, per_minute)
        return bucket


class _Due(NamedTuple):
    """What applies to one caller's requests for one model: what they take from, and what the journal counts."""

    buckets: "tuple[_Bucket, ...]"
    places: tuple[Place, ...]


def _still_needed(
    buckets: "Iterable[tuple[tuple[str, str], _Bucket]]",
) -> "Iterator[tuple[tuple[str, str], _Bucket]]":
    """Those with requests running, or with a debt."""
    return ((place, bucket) for place, bucket in buckets if bucket.running or bucket.left < 0)


class _Bucket:
    """This process's slice of one limit for one subject, and what runs on it."""

    __slots__ = ("leased_at", "left", "name", "per_minute", "project_id", "refilling", "rule", "running", "unit")

    def __init__(self, project_id: str, name: str, rule: LimitRule, unit: Unit, per_minute: int | None) -> None:
        self.project_id = project_id
        self.name = name
        self.rule = rule
        self.unit: Unit = unit
        self.per_minute = per_minute
        self.left = 0
        self.leased_at = 0.0
        self.running = 0
        self.refilling = asyncio.Lock()

    @property
    def whose(self) -> str:
        return whose(self.rule, self.name.rpartition(":")[2])


def whose(rule: LimitRule, subject: str) -> str:
    """`This key`, `User 'u_42'`: whom the limit is for, as the caller reads it."""
    return "This key" if rule.per == "key" else f"{rule.per.capitalize()} '{subject}'"
