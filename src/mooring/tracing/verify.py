"""Whether a trace's parts reconcile: amounts, tokens, times, bytes and numbers, each against its whole."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import msgspec

from mooring.core.ids import show
from mooring.core.money import show_usd
from mooring.journal.records import AttemptRecord

from .tracing import Trace, TracedCall

# Wall clocks of two processes on one machine are one clock, but it may be set back a little while it runs.
CLOCK_US = 2_000


class Finding(msgspec.Struct, frozen=True):
    """One thing that does not add up: what it is about, and both numbers."""

    subject: str
    problem: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.problem}"


def verify(trace: Trace) -> list[Finding]:
    """Everything that does not reconcile; empty if all does."""
    found = [finding for rule in TRACE_RULES for finding in rule(trace)]
    for traced in trace.calls:
        found += [finding for rule in CALL_RULES for finding in rule(traced)]
        found += [finding for attempt in traced.attempts for rule in ATTEMPT_RULES for finding in rule(attempt)]
    return found


# a trace


def run_is_the_sum_of_its_calls(trace: Trace) -> Iterator[Finding]:
    if trace.run is None:
        return
    subject = show("run", trace.run.id)
    yield from _differs(subject, "settled", trace.run.settled_nanos, "its calls", trace.settled_nanos)
    yield from _differs(subject, "held", trace.run.held_nanos, "its calls", trace.held_nanos)


def bill_is_the_sum_of_the_calls(trace: Trace) -> Iterator[Finding]:
    if trace.bill is None:
        return
    yield from _differs("bill", "settled", trace.bill.settled_nanos, "the calls", trace.settled_nanos)
    yield from _differs("bill", "held", trace.bill.held_nanos, "the calls", trace.held_nanos)
    for name in ("input_tokens", "output_tokens"):
        billed = sum(getattr(line.usage, name) for line in trace.bill.lines)
        traced = getattr(trace.usage, name)
        if billed != traced:
            yield Finding("bill", f"{billed} {name.replace('_', ' ')}, but the attempts have {traced}")


def events_have_no_gap(trace: Trace) -> Iterator[Finding]:
    if trace.run is None:
        return
    subject = show("run", trace.run.id)
    numbers = [event.seq for event in trace.events]
    if numbers != list(range(1, len(numbers) + 1)):
        yield Finding(subject, f"its {len(numbers)} events are not numbered from 1 without a gap")
    elif len(numbers) != trace.run.next_seq - 1:
        yield Finding(subject, f"it has {len(numbers)} events, but {trace.run.next_seq - 1} were numbered")
    known = {traced.call.id for traced in trace.calls}
    for event in trace.events:
        if event.call_id is not None and event.call_id not in known:
            yield Finding(subject, f"event {event.seq} points to {show('call', event.call_id)}, which is not its call")


def calls_lie_within_their_run(trace: Trace) -> Iterator[Finding]:
    if trace.run is None:
        return
    for traced in trace.calls:
        subject = show("call", traced.call.id)
        yield from _in_order(subject, ("run created", trace.run.created_at_us), ("call", traced.call.started_at_us))


# a call


def call_is_the_sum_of_its_attempts(traced: TracedCall) -> Iterator[Finding]:
    subject = show("call", traced.call.id)
    settled = sum(attempt.settled_nanos for attempt in traced.attempts)
    held = sum(attempt.held_nanos for attempt in traced.attempts)
    yield from _differs(subject, "settled", traced.call.settled_nanos, "its attempts", settled)
    yield from _differs(subject, "held", traced.call.held_nanos, "its attempts", held)


def attempts_lie_within_their_call(traced: TracedCall) -> Iterator[Finding]:
    for attempt in traced.attempts:
        subject = show("att", attempt.id)
        yield from _in_order(subject, ("call started", traced.call.started_at_us), ("intent", attempt.intended_at_us))
        # A result that comes after its call was given up is taken all the same: it ends later, and says so.
        if attempt.outcome in ("completed", "blocked") and traced.call.state in ("completed", "blocked"):
            end = ("call finished", traced.call.finished_at_us)
            yield from _in_order(subject, ("intent", attempt.intended_at_us), end)


def attempts_are_numbered(traced: TracedCall) -> Iterator[Finding]:
    numbers = [attempt.number for attempt in traced.attempts]
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        yield Finding(show("call", traced.call.id), f"its attempts are numbered {numbers}")


def a_completed_call_has_a_completed_attempt(traced: TracedCall) -> Iterator[Finding]:
    outcomes = [attempt.outcome for attempt in traced.attempts]
    # A person may have decided what an uncertain call gave; its attempt stays uncertain.
    if traced.call.state == "completed" and outcomes and not {"completed", "uncertain"} & set(outcomes):
        yield Finding(show("call", traced.call.id), f"it is completed, but its attempts are {', '.join(outcomes)}")


# an attempt


def cost_follows_from_usage(attempt: AttemptRecord) -> Iterator[Finding]:
    subject = show("att", attempt.id)
    if attempt.settlement != "settled":
        return
    if attempt.usage is not None:
        cost = attempt.price.cost_nanos(attempt.usage)
        yield from _differs(subject, "settled", attempt.settled_nanos, "its tokens at its price", cost)
    elif attempt.settled_nanos and attempt.outcome == "completed":
        yield Finding(subject, f"{show_usd(attempt.settled_nanos)} settled without tokens")


def nothing_is_held_and_settled(attempt: AttemptRecord) -> Iterator[Finding]:
    subject = show("att", attempt.id)
    if attempt.settlement == "settled" and attempt.held_nanos:
        yield Finding(subject, f"it is settled and still holds {show_usd(attempt.held_nanos)}")
    if attempt.settlement != "settled" and attempt.settled_nanos:
        yield Finding(subject, f"it is {attempt.settlement} and has {show_usd(attempt.settled_nanos)} settled")


def times_follow_each_other(attempt: AttemptRecord) -> Iterator[Finding]:
    yield from _in_order(
        show("att", attempt.id),
        ("intent", attempt.intended_at_us),
        ("sent", attempt.sent_at_us),
        ("first byte", attempt.first_byte_at_us),
        ("finish", attempt.finished_at_us),
    )


def bytes_are_counted(attempt: AttemptRecord) -> Iterator[Finding]:
    """What was sent has a size, and so has what was answered; tools and local work have no wire."""
    subject = show("att", attempt.id)
    if attempt.sent_at_us is not None and attempt.usage is not None and not attempt.bytes_up:
        yield Finding(subject, "it was sent, but no byte up is counted")
    if attempt.first_byte_at_us is not None and not attempt.bytes_down:
        yield Finding(subject, "it was answered, but no byte down is counted")


TRACE_RULES: tuple[Callable[[Trace], Iterator[Finding]], ...] = (
    run_is_the_sum_of_its_calls,
    bill_is_the_sum_of_the_calls,
    events_have_no_gap,
    calls_lie_within_their_run,
)
CALL_RULES: tuple[Callable[[TracedCall], Iterator[Finding]], ...] = (
    call_is_the_sum_of_its_attempts,
    attempts_lie_within_their_call,
    attempts_are_numbered,
    a_completed_call_has_a_completed_attempt,
)
ATTEMPT_RULES: tuple[Callable[[AttemptRecord], Iterator[Finding]], ...] = (
    cost_follows_from_usage,
    nothing_is_held_and_settled,
    times_follow_each_other,
    bytes_are_counted,
)


def _differs(subject: str, what: str, whole: int, parts: str, total: int) -> Iterator[Finding]:
    if whole != total:
        yield Finding(subject, f"{show_usd(whole)} {what}, but {parts} add up to {show_usd(total)}")


def _in_order(subject: str, *moments: tuple[str, int | None]) -> Iterator[Finding]:
    known: Sequence[tuple[str, int]] = [(name, at_us) for name, at_us in moments if at_us is not None]
    for (earlier, first), (later, second) in pairwise(known):
        if second < first - CLOCK_US:
            yield Finding(subject, f"{later} is {(first - second) / 1000:.1f} ms before {earlier}")
