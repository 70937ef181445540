"""Streams: hold-back, order, the same result however the stream is cut, and failing closed."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.core.events import (
    Accumulator,
    ChoiceEnd,
    Event,
    MessageEnd,
    MessageStart,
    RefusalDelta,
    StreamError,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageReport,
    events_of,
)
from mooring.core.messages import (
    ChatResponse,
    Choice,
    Message,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)
from mooring.core.usage import Usage
from mooring.guardrails import (
    ALLOW,
    BlockedByCheck,
    CheckSettings,
    GuardContext,
    GuardrailCheck,
    Guardrails,
    GuardrailsConfig,
    Span,
    StreamGuard,
    Text,
    Verdict,
)
from mooring.guardrails.check import Subject
from mooring.guardrails.panel import Checks, Panel
from mooring.guardrails.secret_samples import samples

CONTEXT = GuardContext("p")
KEY = samples()["api_key"]
MASK = "[masked:api_key]"


def guards(*sections: dict[str, Any]) -> Guardrails:
    return Guardrails(GuardrailsConfig(checks=sections or ({"type": "secrets_mask"},)))


def streamed(guard: StreamGuard, events: list[Event]) -> list[Event]:
    out = [passed for event in events for passed in guard.feed(event)]
    return out + guard.finish()


class CustomCheck(GuardrailCheck[CheckSettings]):
    """A check made of a function, with its streaming class."""

    def __init__(self, judge: Any, streaming: Any = "incremental", longest_match: int = 0) -> None:
        super().__init__(CheckSettings(type="custom"))
        self.judge = judge
        self.streaming = streaming  # type: ignore[misc]
        self.longest_match = longest_match  # type: ignore[misc]

    def check(self, subject: Subject, context: GuardContext, /) -> Verdict:
        return self.judge(subject)


def stream_of(*checks: CustomCheck) -> StreamGuard:
    return StreamGuard(Panel(Checks("output", checks), CONTEXT))


def test_an_event_that_nothing_changed_is_the_very_same_object() -> None:
    events: list[Event] = [
        MessageStart("i", "m"),
        TextDelta("this"),
        TextDelta(" is"),
        TextDelta(" fine"),
        TextDelta(""),
    ]
    events += [ToolCallStart(0, "1", "f"), ToolCallDelta(0, '{"a"'), ToolCallDelta(0, ":1}"), ChoiceEnd("stop")]
    events += [UsageReport(Usage()), MessageEnd()]
    out = streamed(guards().stream(CONTEXT), events)
    assert len(out) == len(events)
    assert all(any(passed is event for event in events) for passed in out)
    assert [passed for passed in out if isinstance(passed, TextDelta)] == events[1:5]


def test_harmless_text_is_not_held_back() -> None:
    guard = guards().stream(CONTEXT)
    assert guard.feed(TextDelta("Hello, ")) == [TextDelta("Hello, ")]


def test_a_possible_beginning_waits_and_is_let_go_once_it_is_none() -> None:
    guard = guards().stream(CONTEXT)
    assert guard.feed(TextDelta("the task")) == []
    assert guard.feed(TextDelta(" is done.")) == [TextDelta("the task"), TextDelta(" is done.")]


def test_what_is_held_back_comes_before_the_end_of_its_choice() -> None:
    guard = guards().stream(CONTEXT)
    assert guard.feed(TextDelta("sk-")) == []
    assert guard.feed(TextDelta("sk-", choice=1)) == []
    assert guard.feed(ChoiceEnd("stop", 1)) == [TextDelta("sk-", choice=1), ChoiceEnd("stop", 1)]
    assert guard.feed(MessageEnd()) == [TextDelta("sk-"), MessageEnd()]


def test_a_broken_stream_loses_nothing_before_its_error() -> None:
    guard = guards().stream(CONTEXT)
    guard.feed(TextDelta("sk-"))
    error = StreamError("upstream_disconnected", "cut")
    assert guard.feed(error) == [TextDelta("sk-"), error]
    assert guard.finish() == []


def test_a_stream_that_ends_without_a_terminal_event_is_emptied_by_finish() -> None:
    guard = guards().stream(CONTEXT)
    guard.feed(TextDelta(KEY))
    guard.feed(ToolCallStart(0, "1", "f"))
    assert guard.finish() == [TextDelta(MASK), ToolCallStart(0, "1", "f")]


def test_a_signature_never_overtakes_the_thinking_that_it_signs() -> None:
    guard = guards().stream(CONTEXT)
    assert guard.feed(ThinkingDelta("sk-")) == []
    assert guard.feed(ThinkingDelta(signature="sig")) == [ThinkingDelta("sk-"), ThinkingDelta(signature="sig")]
    assert guard.feed(ThinkingDelta(KEY, signature="two")) == [ThinkingDelta(MASK), ThinkingDelta(signature="two")]


def test_tool_calls_wait_until_they_are_whole_and_come_out_in_their_own_fragments() -> None:
    guard = guards().stream(CONTEXT)
    calls: list[Event] = [ToolCallStart(0, "1", "f"), ToolCallDelta(0, '{"a"'), ToolCallStart(1, "2", "g")]
    late: list[Event] = [ToolCallDelta(1, "{}"), ToolCallDelta(0, ":1}")]
    assert [out for event in calls + late for out in guard.feed(event)] == []
    assert guard.feed(ChoiceEnd("tool_calls")) == [
        calls[0],
        calls[1],
        late[1],
        calls[2],
        late[0],
        ChoiceEnd("tool_calls"),
    ]


def test_with_a_blocking_mask_nothing_of_the_secret_leaves() -> None:
    guard = guards({"type": "secrets_mask", "action": "block"}).stream(CONTEXT)
    out = [passed for event in (TextDelta("Here: "), TextDelta(KEY[:10])) for passed in guard.feed(event)]
    with pytest.raises(BlockedByCheck) as caught:
        guard.feed(TextDelta(KEY[10:] + " done"))
    assert out == [TextDelta("Here: ")]
    assert KEY not in str(caught.value)
    assert [verdict.action for verdict in caught.value.verdicts] == ["block"]
    assert (caught.value.stage, caught.value.status) == ("output", 400)


TEXTS = st.lists(
    st.one_of(st.sampled_from([KEY, KEY[:9], KEY[9:], "Bearer ", samples()["jwt"], " ", "s"]), st.text(max_size=4)),
    max_size=5,
).map("".join)
PARTS = st.one_of(
    TEXTS.map(TextPart),
    TEXTS.map(RefusalPart),
    TEXTS.map(ThinkingPart),
    TEXTS.map(lambda text: ToolCallPart("id", "tool", json.dumps({"a": [text]}))),
    TEXTS.map(lambda text: ToolCallPart("id", "tool", text)),
)
ANSWERS = st.lists(PARTS, max_size=5).map(
    lambda parts: tuple(sorted(parts, key=lambda part: isinstance(part, ToolCallPart)))
)


def cut(events: list[Event], sizes: list[int]) -> list[Event]:
    """The same stream in other pieces."""
    out: list[Event] = []
    for number, event in enumerate(events):
        name = "arguments" if isinstance(event, ToolCallDelta) else "text"
        text = getattr(event, name, None)
        size = sizes[number % len(sizes)]
        if not text:
            out.append(event)
            continue
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        out += [msgspec.structs.replace(event, **{name: piece}) for piece in pieces]
    return out


def totals(events: list[Event]) -> dict[Any, str]:
    """What a client reads, by channel."""
    whole: dict[Any, str] = {}
    for event in events:
        match event:
            case TextDelta() | RefusalDelta() | ThinkingDelta():
                key: Any = (type(event).__name__, event.choice)
                whole[key] = whole.get(key, "") + event.text
            case ToolCallStart():
                whole[(event.choice, event.index)] = event.name + ":"
            case ToolCallDelta():
                whole[(event.choice, event.index)] += event.arguments
    return {key: text for key, text in whole.items() if text}


@settings(max_examples=150, deadline=None)
@given(ANSWERS, ANSWERS, st.lists(st.integers(1, 12), min_size=1, max_size=6))
def test_for_every_chunking_a_stream_equals_the_whole_answer(first: Any, second: Any, sizes: list[int]) -> None:
    choices = (Choice(0, Message("assistant", first), "stop"), Choice(1, Message("assistant", second), "stop"))
    response = ChatResponse("i", "m", choices)
    whole = asyncio.run(guards().check_output(response, CONTEXT)).value
    out = streamed(guards().stream(CONTEXT), cut(list(events_of(response)), sizes))
    assert totals(out) == totals(list(events_of(whole)))
    assert KEY not in repr(out)
    assert isinstance(out[-1], MessageEnd)
    added = Accumulator()
    for event in out:
        added.add(event)
    assert added.is_complete


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(["ab", "a", "b", "abc", "x"]), max_size=12).map("".join), st.integers(1, 5))
def test_two_checks_in_a_row_keep_the_property(text: str, size: int) -> None:
    def swap(old: str, new: str) -> CustomCheck:
        def judge(subject: Subject) -> Verdict:
            assert isinstance(subject, Text)
            spans, at = [], subject.text.find(old)
            while at >= 0:
                spans.append(Span(at, at + len(old), "swap", new))
                at = subject.text.find(old, at + len(old))
            return Verdict("mask", "swap", spans=tuple(spans)) if spans else ALLOW

        return CustomCheck(judge, longest_match=len(old))

    pieces: list[Event] = [TextDelta(text[at : at + size]) for at in range(0, len(text), size)]
    out = streamed(stream_of(swap("ab", "c"), swap("cc", "!")), pieces)
    assert totals(out).get(("TextDelta", 0), "") == text.replace("ab", "c").replace("cc", "!")


# other streaming classes and failures


def test_a_segment_check_sees_the_whole_text_at_the_end_of_its_choice() -> None:
    seen: list[str] = []

    def shout(subject: Subject) -> Verdict:
        assert isinstance(subject, Text)
        seen.append(subject.text)
        return Verdict("rewrite", "shout", rewritten=subject.text.upper())

    guard = stream_of(CustomCheck(shout, "segment"))
    assert guard.feed(TextDelta("he")) == guard.feed(TextDelta("llo")) == []
    assert guard.feed(ChoiceEnd("stop")) == [TextDelta("HELLO"), ChoiceEnd("stop")]
    assert seen == ["hello"]


def test_a_final_check_buffers_the_whole_stream() -> None:
    guard = stream_of(CustomCheck(lambda subject: ALLOW, "final"))
    events: list[Event] = [MessageStart("i", "m"), TextDelta("a"), ChoiceEnd("stop")]
    assert [out for event in events for out in guard.feed(event)] == []
    assert guard.feed(MessageEnd()) == [*events, MessageEnd()]


@pytest.mark.parametrize("action", ["review", "error", "block"])
def test_review_error_and_block_stop_the_call(action: Any) -> None:
    guard = stream_of(CustomCheck(lambda subject: Verdict(action, "because"), "segment"))
    guard.feed(TextDelta("a"))
    with pytest.raises(BlockedByCheck, match="The check 'custom' blocked the answer: because"):
        guard.feed(MessageEnd())


def test_a_check_that_raises_blocks_and_does_not_tell_what_it_saw() -> None:
    def broken(subject: Subject) -> Verdict:
        raise ValueError(f"cannot read {subject}")

    with pytest.raises(BlockedByCheck, match="it failed with ValueError") as caught:
        stream_of(CustomCheck(broken)).feed(TextDelta("private words"))
    assert "private" not in str(caught.value)


def test_an_incremental_check_may_not_rewrite() -> None:
    guard = stream_of(CustomCheck(lambda subject: Verdict("rewrite", "x", rewritten="y")))
    with pytest.raises(BlockedByCheck, match="only segment and final checks may rewrite"):
        guard.feed(TextDelta("a"))
