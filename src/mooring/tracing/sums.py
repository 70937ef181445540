"""What spans add to the sums by trace and by time. Pure: a span that is written anew is taken away as it was first."""

from collections.abc import Iterable, Iterator

from .histogram import bucket_of, merged
from .records import CALLS, WIDTH_US, Dimension, Span
from .repository.rollups import Amount, Place
from .repository.spans import Total


def changes(before: Iterable[Span], after: Iterable[Span]) -> tuple[list[Total], dict[Place, Amount]]:
    """By how much every sum changes when these spans take the place of those."""
    totals: dict[tuple[str, bytes], Total] = {}
    amounts: dict[Place, Amount] = {}
    for sign, some in ((-1, before), (1, after)):
        for span in some:
            _count(totals, span, sign)
            for place in _places(span):
                _add(amounts, place, span, sign)
    return (
        [total for total in totals.values() if any(total.counts)],
        {place: one for place, one in amounts.items() if any(one.sums) or any(one.latencies.values())},
    )


def _count(totals: dict[tuple[str, bytes], Total], span: Span, sign: int) -> None:
    is_call, is_attempt = span.kind in CALLS, span.kind == "attempt"
    counts = (
        1,
        int(is_call),
        int(is_call and span.is_failed),
        int(is_attempt),
        *(
            (
                span.input_tokens,
                span.output_tokens,
                span.settled_nanos,
                span.held_nanos,
                span.bytes_up,
                span.bytes_down,
            )
            if is_attempt
            else (0,) * 6
        ),
    )
    key = (span.project_id, span.trace_id)
    ends = span.finished_at_us or span.started_at_us
    signed = tuple(sign * count for count in counts)
    known = totals.get(key)
    if known is None:
        totals[key] = Total(*key, span.id, span.started_at_us, ends, signed)
    else:
        totals[key] = Total(
            *key,
            min(known.first_id, span.id),
            min(known.started_at_us, span.started_at_us),
            max(known.finished_at_us, ends),
            tuple(one + other for one, other in zip(known.counts, signed, strict=True)),
        )


def _places(span: Span) -> Iterator[Place]:
    at_us = span.finished_at_us or span.started_at_us
    for width, step in WIDTH_US.items():
        start = at_us - at_us % step if step else 0
        for dimension, value in _values(span):
            if width != "total" or dimension not in ("user", "tag"):  # those grow without a limit
                yield Place(span.project_id, width, dimension, start, value)


def _values(span: Span) -> Iterator[tuple[Dimension, str]]:
    if span.kind == "attempt":
        yield "target", span.name
    elif span.kind in CALLS:
        yield "all", ""
        yield "kind", span.kind
        if span.kind in ("chat", "embedding"):
            yield "model", span.name
        if span.user:
            yield "user", span.user
        for tag in span.tag_names:
            yield "tag", tag


def _add(amounts: dict[Place, Amount], place: Place, span: Span, sign: int) -> None:
    duration = span.duration_us or 0
    sums = (
        1,
        int(span.is_failed),
        int(span.state == "blocked"),
        span.input_tokens,
        span.output_tokens,
        span.cached_input_tokens,
        span.settled_nanos,
        duration,
    )
    signed = tuple(sign * one for one in sums)
    latencies = {bucket_of(duration): sign}
    known = amounts.get(place)
    if known is not None:
        signed = tuple(one + other for one, other in zip(known.sums, signed, strict=True))
        latencies = merged((known.latencies, latencies))
    amounts[place] = Amount(signed, latencies)
