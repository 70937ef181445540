"""In which order the targets of a model are tried. Every strategy is an order, so fallback is the rest of it.

Sources: peak-sensitive latency times load is Finagle's `loadBalancer p2c peakEwma`; weighted orders are drawn as in
Efraimidis and Spirakis 2006; sticky is rendezvous hashing, so a target that goes or comes moves only its own share.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

from .health import Health
from .prices import PriceSheet
from .route_config import Strategy
from .task import Choice

EXPECTED_OUTPUT_TOKENS = 500  # of a request without a cap; only the order of prices depends on it


@dataclass(frozen=True, slots=True)
class Candidate:
    """A target that can answer, as the strategies see it: its `place` in the configuration, and what is known now."""

    place: int
    name: str
    weight: float
    health: Health
    sheet: PriceSheet | None


@dataclass(frozen=True, slots=True)
class Moment:
    """What the order may depend on beside the candidates.

    `conversation` is what must stay with one target; `choice` is what was learnt from examples.
    """

    input_tokens: int
    output_tokens: int | None
    conversation: str
    draw: Callable[[], float]
    choice: Choice | None = None


def order(strategy: Strategy, candidates: Sequence[Candidate], moment: Moment) -> list[Candidate]:
    """The candidates, first choice first; ties stay in the order of the configuration."""
    match strategy:
        case "ordered" | "task":
            chosen = moment.choice.target if moment.choice else None
            return sorted(candidates, key=lambda one: one.name != chosen)
        case "weighted":
            return sorted(candidates, key=lambda one: _drawn(one.weight, moment.draw()), reverse=True)
        case "cheapest":
            return sorted(candidates, key=lambda one: _cost(one, moment))
        case "fastest":
            return sorted(candidates, key=_expected_wait)
        case "least_busy":
            return sorted(candidates, key=lambda one: one.health.running / one.weight)
        case "sticky":
            return sorted(candidates, key=lambda one: _share(one, moment.conversation), reverse=True)
    assert_never(strategy)


def reason(strategy: Strategy, candidate: Candidate, moment: Moment) -> str:
    """What the order of this candidate rests on, for `explain`."""
    match strategy:
        case "ordered" | "task":
            return _said_of(candidate, moment.choice)
        case "weighted":
            return f"weight {candidate.weight:g}"
        case "cheapest":
            cost = _cost(candidate, moment)
            return "its price is not known" if math.isinf(cost) else f"about ${cost / 1e9:.9f} for this request"
        case "fastest":
            return (
                f"{candidate.health.latency_seconds * 1000:.0f} ms to the head of an answer,"
                f" {candidate.health.running} running"
            )
        case "least_busy":
            return f"{candidate.health.running} running"
        case "sticky":
            return "the conversation's share" if moment.conversation else "no conversation to hold on to"
    assert_never(strategy)


def _said_of(candidate: Candidate, choice: Choice | None) -> str:
    place = f"number {candidate.place + 1} in the configuration"
    if choice is not None and candidate.name == choice.target:
        return f"most like its examples: {choice.why}"
    return place


def _drawn(weight: float, draw: float) -> float:
    return float(max(draw, 1e-12) ** (1 / weight)) if weight > 0 else -1.0


def _cost(candidate: Candidate, moment: Moment) -> float:
    if candidate.sheet is None:
        return math.inf
    output = moment.output_tokens if moment.output_tokens is not None else EXPECTED_OUTPUT_TOKENS
    return candidate.sheet.at(moment.input_tokens).most_nanos(moment.input_tokens, output)


def _expected_wait(candidate: Candidate) -> float:
    """Latency times load; one that was never measured is tried first, and then it is measured."""
    return candidate.health.latency_seconds * (candidate.health.running + 1)


def _share(candidate: Candidate, conversation: str) -> float:
    digest = hashlib.blake2b(f"{conversation}\0{candidate.name}".encode(), digest_size=8).digest()
    draw = (int.from_bytes(digest) + 1) / (2**64 + 2)
    return _drawn(candidate.weight, draw)
