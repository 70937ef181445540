"""Events: streamed and unstreamed answers end in the same response."""

from hypothesis import given
from hypothesis import strategies as st

from mooring.core.events import Accumulator, MessageEnd, StreamError, TextDelta, ToolCallDelta, events_of
from mooring.core.messages import ChatResponse, Choice, Message, RefusalPart, TextPart, ThinkingPart, ToolCallPart
from mooring.core.usage import Usage

texts = st.text(min_size=1, max_size=20)
tool_calls = st.builds(ToolCallPart, id=texts, name=texts, arguments=texts)


@st.composite
def answers(draw: st.DrawFn) -> ChatResponse:
    choices = []
    for index in range(draw(st.integers(1, 3))):
        kinds = draw(st.lists(st.sampled_from(["thinking", "text", "refusal"]), unique=True, max_size=3))
        made = {"thinking": ThinkingPart, "text": TextPart, "refusal": RefusalPart}
        parts = [made[kind](text=draw(texts)) for kind in kinds]
        parts += draw(st.lists(tool_calls, max_size=3))
        finish = draw(st.sampled_from(["stop", "length", "tool_calls"]))
        if not parts:
            parts = [TextPart("x")]
        choices.append(Choice(index, Message("assistant", tuple(parts)), finish))
    return ChatResponse(id="r", model="m", choices=tuple(choices), usage=Usage(input_tokens=3, output_tokens=2))


@given(answers())
def test_a_response_taken_apart_adds_up_to_itself(response: ChatResponse) -> None:
    total = Accumulator()
    for event in events_of(response):
        total.add(event)
    assert total.is_complete
    assert total.response() == response


def test_a_stream_without_its_end_is_not_complete() -> None:
    total = Accumulator()
    total.add(TextDelta("half"))
    assert not total.is_complete
    total.add(StreamError("upstream_disconnected", "cut"))
    assert not total.is_complete
    assert total.error is not None
    assert total.response().text == "half"


def test_arguments_that_come_before_their_start_are_kept() -> None:
    total = Accumulator()
    total.add(ToolCallDelta(0, "{}"))
    total.add(MessageEnd())
    assert total.response().choices[0].message.tool_calls[0].arguments == "{}"
