"""How the targets are doing, in this process: what runs, how fast they answer, and which of them rest.

A circuit breaker per target: failures in a row open it, a rest later one call at a time may probe it, a success closes
it. A provider that says when to come back is taken at its word; one that refuses our key or our money rests at once
and asks for attention.
"""

import logging
import math
from collections.abc import Callable
from typing import Any, Literal

from mooring.core.errors import Blocked, MooringError, UpstreamError

from .codecs import Failure, FailureKind, ReadsHeaders
from .mending import OutputInvalid
from .route_config import BreakerConfig
from .tokens import NoToken

log = logging.getLogger("mooring.gateway")

Effect = Literal["none", "counts", "rests", "attention"]
# What a failure says about the target: nothing (the request was at fault), something is wrong (so many in a row open
# the breaker), it wants to be left alone until a moment that it names, or a person has to do something.
EFFECTS: dict[FailureKind, Effect] = {
    "rate_limited": "rests",
    "overloaded": "counts",
    "broken": "counts",
    "context_length": "none",
    "out_of_money": "attention",
    "not_authorised": "attention",
    "no_such_model": "none",
    "invalid": "none",
}
DECAY_SECONDS = 10.0  # how fast a slow moment is forgotten; Finagle's peak EWMA has the same default
_RESET_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Health:
    """One target. `latency_seconds` is the peak-sensitive moving average of the time to the head of an answer."""

    __slots__ = (
        "attention",
        "failures",
        "is_asked_to_wait",
        "latency_seconds",
        "measured_at",
        "name",
        "probes",
        "rest_seconds",
        "rests_until",
        "running",
        "why",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.running = 0
        self.failures = 0
        self.probes = 0
        self.rests_until = 0.0
        self.rest_seconds = 0.0
        self.is_asked_to_wait = False
        self.why = ""
        self.attention = ""
        self.latency_seconds = 0.0
        self.measured_at = 0.0

    def state(self, now: float) -> Literal["well", "resting", "probing"]:
        """`probing`: its rest is over, and nobody has seen it well since."""
        if now < self.rests_until:
            return "resting"
        return "probing" if self.rest_seconds else "well"

    def is_open(self, now: float) -> bool:
        """Whether it should be passed over: it rests, or somebody is finding out whether it is well again."""
        return bool(self.rest_seconds) and (now < self.rests_until or self.probes > 0)

    def measure(self, seconds: float, now: float) -> None:
        """A slower answer counts at once, a faster one little by little."""
        if seconds >= self.latency_seconds:
            self.latency_seconds = seconds
        else:
            kept = math.exp(-max(now - self.measured_at, 0.0) / DECAY_SECONDS)
            self.latency_seconds = self.latency_seconds * kept + seconds * (1 - kept)
        self.measured_at = now


class Run:
    """One attempt as its target's health sees it; `end` counts once."""

    __slots__ = ("_health", "_is_over", "_is_probe", "_owner")

    def __init__(self, owner: "Targets", health: Health) -> None:
        self._owner = owner
        self._health = health
        self._is_over = False
        self._is_probe = bool(health.rest_seconds)
        health.running += 1
        health.probes += self._is_probe

    def end(self, error: MooringError | None, failure: Failure | None, seconds: float | None) -> None:
        """What came of it; `seconds` is the time to the head of the answer, where there was one."""
        if self._is_over:
            return
        self._is_over = True
        self._health.running -= 1
        self._health.probes -= self._is_probe
        self._owner.note(self._health, error, failure, seconds)


class Targets:
    """Every target that was asked since the start, by its name `provider/model`."""

    def __init__(self, config: BreakerConfig, now: Callable[[], float]) -> None:
        self._config = config
        self._now = now
        self._known: dict[str, Health] = {}

    def of(self, name: str) -> Health:
        """A target's health; one that was never asked is well."""
        health = self._known.get(name)
        if health is None:
            health = self._known[name] = Health(name)
            if len(self._known) > 10_000:  # names come from callers where a provider serves any model
                self._known = {known: kept for known, kept in self._known.items() if kept.running or kept is health}
        return health

    def begin(self, name: str) -> Run:
        """An attempt is sent now."""
        return Run(self, self.of(name))

    def note(self, health: Health, error: MooringError | None, failure: Failure | None, seconds: float | None) -> None:
        """Draw the conclusion from one outcome."""
        now = self._now()
        if seconds is not None:
            health.measure(seconds, now)
        effect = _effect(error, failure)
        if effect is None:
            return
        if effect == "none":
            self._well(health)
            return
        health.failures += 1
        health.why = str(error)[:800] if error is not None else ""
        if effect == "attention":
            if not health.attention:
                log.error("%s needs attention: %s", health.name, health.why)
            health.attention = health.why
            self._rest(health, now, self._config.attention_seconds)
        elif effect == "rests" and failure is not None and failure.retry_after_seconds is not None:
            health.is_asked_to_wait = True
            self._rest(health, now, failure.retry_after_seconds)
        elif self._config.failures and health.failures >= self._config.failures:
            self._rest(health, now, max(self._config.rest_seconds, 2 * health.rest_seconds))

    def heed(self, name: str, headers: ReadsHeaders) -> None:
        """An answer that says that it was the last for now: rest until the provider's own window begins again."""
        for kind in ("requests", "tokens"):
            if headers.get(f"x-ratelimit-remaining-{kind}") == "0":
                seconds = reset_seconds(headers.get(f"x-ratelimit-reset-{kind}"))
                if seconds:
                    health = self.of(name)
                    health.is_asked_to_wait = True
                    health.why = f"its limit of {kind} is used up"
                    self._rest(health, self._now(), seconds)

    def shown(self) -> list[dict[str, Any]]:
        """Every target, for people and programs."""
        now = self._now()
        return [
            {
                "target": health.name,
                "state": health.state(now),
                "running": health.running,
                "failures_in_a_row": health.failures,
                "rests_for_seconds": round(max(health.rests_until - now, 0.0), 1),
                "latency_seconds": round(health.latency_seconds, 4),
                "why": health.why,
                "attention": health.attention,
            }
            for health in sorted(self._known.values(), key=lambda health: health.name)
        ]

    def _well(self, health: Health) -> None:
        if health.failures or health.rest_seconds:
            if health.attention:
                log.warning("%s answers again", health.name)
            health.failures = 0
            health.rest_seconds = health.rests_until = 0.0
            health.why = health.attention = ""
            health.is_asked_to_wait = False

    def _rest(self, health: Health, now: float, seconds: float) -> None:
        health.rest_seconds = min(seconds, self._config.most_rest_seconds)
        health.rests_until = now + health.rest_seconds


def _effect(error: MooringError | None, failure: Failure | None) -> Effect | None:
    """What an outcome says of the target; None where it says nothing: cancelled, hung up, a mistake of ours."""
    if error is None or isinstance(error, Blocked | OutputInvalid):
        return "none"
    if isinstance(error, NoToken):
        return "attention"
    if failure is not None:
        return EFFECTS[failure.kind]
    return "counts" if isinstance(error, UpstreamError) else None


def reset_seconds(text: str | None) -> float | None:
    """OpenAI's durations (`1s`, `6m0s`, `120ms`), or plain seconds; None for anything else."""
    if not text:
        return None
    try:
        return float(text) if text.replace(".", "", 1).isdigit() else _duration(text)
    except ValueError:
        return None


def _duration(text: str) -> float:
    total, number = 0.0, ""
    position = 0
    while position < len(text):
        if text[position].isdigit() or text[position] == ".":
            number += text[position]
            position += 1
            continue
        unit = text[position : position + 2] if text[position : position + 2] == "ms" else text[position]
        if unit not in _RESET_UNITS or not number:
            raise ValueError(text)
        total += float(number) * _RESET_UNITS[unit]
        number = ""
        position += len(unit)
    if number:
        raise ValueError(text)
    return total
