"""The size limit: requests, answers, and streams as they come."""

import asyncio

import pytest

from mooring.core.events import MessageEnd, TextDelta, ToolCallDelta
from mooring.core.messages import ChatRequest, ChatResponse, Choice, Message, TextPart
from mooring.guardrails import BlockedByCheck, GuardContext, Guardrails, GuardrailsConfig
from mooring.guardrails.checks.size_limit import Check, Settings
from mooring.guardrails.testing import CheckConformance

CONTEXT = GuardContext("p")


class TestSizeLimit(CheckConformance):
    def check(self) -> Check:
        return Check(Settings(type="size_limit"))


def guards(**limits: int) -> Guardrails:
    return Guardrails(GuardrailsConfig(checks=({"type": "size_limit", **limits},)))


def request(text: str, messages: int = 1) -> ChatRequest:
    return ChatRequest("m", (Message("user", (TextPart(text),)),) * messages)


def test_a_request_over_the_limit_is_refused_with_its_size_and_the_limit() -> None:
    with pytest.raises(BlockedByCheck, match=r"\d+ bytes are over the limit of 100"):
        asyncio.run(guards(max_request_bytes=100).check_input(request("a" * 200), CONTEXT))


def test_too_many_messages_are_refused() -> None:
    with pytest.raises(BlockedByCheck, match="4 messages are over the limit of 3"):
        asyncio.run(guards(max_messages=3).check_input(request("a", 4), CONTEXT))


def test_an_answer_is_counted_in_bytes_and_not_in_characters() -> None:
    answer = ChatResponse("i", "m", (Choice(0, Message("assistant", (TextPart("ä" * 60),)), "stop"),))
    asyncio.run(guards(max_response_bytes=120).check_output(answer, CONTEXT))
    with pytest.raises(BlockedByCheck, match="120 bytes are over the limit of 119"):
        asyncio.run(guards(max_response_bytes=119).check_output(answer, CONTEXT))


def test_a_stream_is_stopped_at_the_event_that_passes_the_limit() -> None:
    guard = guards(max_response_bytes=10).stream(CONTEXT)
    assert guard.feed(TextDelta("12345")) == [TextDelta("12345")]
    assert guard.feed(ToolCallDelta(0, "67890")) == [ToolCallDelta(0, "67890")]
    with pytest.raises(BlockedByCheck, match="over the limit of 10 bytes"):
        guard.feed(TextDelta("!"))


def test_a_stream_under_the_limit_passes_unchanged() -> None:
    guard = guards().stream(CONTEXT)
    events = [TextDelta("a"), MessageEnd()]
    assert [out for event in events for out in guard.feed(event)] == events
