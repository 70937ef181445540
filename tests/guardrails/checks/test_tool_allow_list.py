"""The tool allow-list: what a request may offer, and what a model may ask for."""

import asyncio

import pytest

from mooring.core.events import ChoiceEnd, ToolCallDelta, ToolCallStart
from mooring.core.messages import ChatRequest, ChatResponse, Choice, Message, ToolCallPart, ToolSpec
from mooring.guardrails import BlockedByCheck, GuardContext, Guardrails, GuardrailsConfig
from mooring.guardrails.checks.tool_allow_list import Check, Settings
from mooring.guardrails.testing import CheckConformance

CONTEXT = GuardContext("p")


class TestToolAllowList(CheckConformance):
    def check(self) -> Check:
        return Check(Settings(type="tool_allow_list"))


def guards(**options: object) -> Guardrails:
    return Guardrails(GuardrailsConfig(checks=({"type": "tool_allow_list", **options},)))


def call(name: str) -> ToolCallPart:
    return ToolCallPart("1", name, "{}")


def test_a_request_may_offer_only_allowed_tools() -> None:
    request = ChatRequest("m", (), tools=(ToolSpec("search_mail"), ToolSpec("refund")))
    with pytest.raises(BlockedByCheck, match="the tool 'refund' is not allowed") as caught:
        asyncio.run(guards(allow=["search_*"]).check_input(request, CONTEXT))
    assert (caught.value.status, caught.value.code, caught.value.stage) == (400, "content_blocked", "input")


def test_what_is_denied_never_passes_even_if_a_pattern_allows_it() -> None:
    with pytest.raises(BlockedByCheck):
        guards(allow=["*"], deny=["exec_*"]).check_tool_call(call("exec_shell"), CONTEXT)


def test_the_callers_own_list_narrows_and_never_widens() -> None:
    mine = GuardContext("p", tools_allowed=frozenset({"search", "refund"}))
    assert guards(allow=["search"]).check_tool_call(call("search"), mine).value == call("search")
    with pytest.raises(BlockedByCheck):
        guards(allow=["search"]).check_tool_call(call("refund"), mine)
    with pytest.raises(BlockedByCheck):
        guards().check_tool_call(call("delete"), mine)


def test_a_model_that_asks_for_another_tool_is_stopped_whole_or_streamed() -> None:
    answer = ChatResponse("i", "m", (Choice(0, Message("assistant", (call("refund"),)), "tool_calls"),))
    with pytest.raises(BlockedByCheck):
        asyncio.run(guards(allow=["search"]).check_output(answer, CONTEXT))
    guard = guards(allow=["search"]).stream(CONTEXT)
    assert guard.feed(ToolCallStart(0, "1", "refund")) == []
    assert guard.feed(ToolCallDelta(0, "{}")) == []
    with pytest.raises(BlockedByCheck):
        guard.feed(ChoiceEnd("tool_calls"))


def test_a_list_for_tool_calls_only_stops_them_in_answers_too() -> None:
    answer = ChatResponse("i", "m", (Choice(0, Message("assistant", (call("refund"),)), "tool_calls"),))
    guard = guards(allow=["search"], stages=["tool_call"])
    asyncio.run(guard.check_input(ChatRequest("m", (), tools=(ToolSpec("refund"),)), CONTEXT))
    with pytest.raises(BlockedByCheck):
        asyncio.run(guard.check_output(answer, CONTEXT))
