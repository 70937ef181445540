"""Where a run stands is what its events say, in whatever order parallel tools ended."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mooring.agents.fold import AgentState, fold, same_arguments, turns_of
from mooring.client.encoding import canonical
from mooring.journal.records import RunEvent

DEFINITION = {"instructions": "Be brief."}


def apply(state: AgentState, kind: str, **data: Any) -> None:
    state.apply(kind, canonical(data))


def started() -> AgentState:
    state = AgentState()
    apply(state, "run.started", definition=DEFINITION, input="Hi")
    return state


def ask(state: AgentState, count: int) -> None:
    calls = [
        {"id": f"c{index}", "type": "function", "function": {"name": "look", "arguments": f'{{"n":{index}}}'}}
        for index in range(count)
    ]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    apply(state, "model.finished", step="1.model", message=message, finish_reason="tool_calls", cost_nanos=5)


@given(st.integers(1, 6).flatmap(lambda count: st.permutations(range(count))))
def test_tool_results_stand_in_the_models_order_however_they_came(order: list[int]) -> None:
    state = started()
    ask(state, len(order))
    assert len(state.pending) == len(order)
    for index in order:
        assert not state.is_answered
        apply(
            state, "tool.finished", step=f"1.tool.{index}", id=f"c{index}", name="look", text=str(index), is_error=False
        )
    assert [turn["content"] for turn in state.messages if turn["role"] == "tool"] == [str(n) for n in range(len(order))]
    assert state.pending == []


def test_an_answer_without_tool_calls_is_the_end() -> None:
    state = started()
    message = {"role": "assistant", "content": "Done."}
    apply(state, "model.finished", step="1.model", message=message, finish_reason="stop", cost_nanos=7)
    assert (state.is_answered, state.text, state.cost_nanos, state.steps) == (True, "Done.", 7, 1)


def test_events_that_only_tell_change_nothing() -> None:
    events = [
        RunEvent(1, "run.started", canonical({"definition": DEFINITION, "input": "Hi"}), 0),
        RunEvent(2, "code.changed", canonical({"was": "a", "is": "b"}), 0),
        RunEvent(3, "run.parked", canonical({"state": "parked", "reason": "uncertain"}), 0),
    ]
    assert (
        fold(events).messages
        == fold(events[:1]).messages
        == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
        ]
    )


def test_the_same_arguments_in_another_order_count_as_the_same() -> None:
    assert same_arguments('{"a": 1, "b": 2}') == same_arguments('{"b":2,"a":1}')
    assert same_arguments("{broken") == "{broken"


def test_input_may_be_text_turns_or_any_json() -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert turns_of("a") == turns[:1]
    assert turns_of(turns) == turns
    assert turns_of({"order": 81}) == [{"role": "user", "content": '{"order":81}'}]
