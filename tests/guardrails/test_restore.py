"""Marks and what they stand for: back to whoever sent the values, streamed as buffered, and to nobody else."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.core.events import Accumulator, Event, TextDelta, ToolCallDelta, events_of
from mooring.core.messages import (
    ChatRequest,
    ChatResponse,
    Choice,
    Message,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
)
from mooring.guardrails import GuardContext, Guardrails, GuardrailsConfig
from mooring.guardrails.vault import Vault, principal_key

MAIL, OTHER = "ada@example.com", "bob@example.org"
ADA = GuardContext("p", principal="user ada")
ALLOW = {"tool": "send_mail", "arguments": ["to"]}


def guards(**options: Any) -> Guardrails:
    config = GuardrailsConfig(checks=({"type": "pii_mask", "allow": [ALLOW], **options},))
    return Guardrails(config, versions=lambda: (b"s" * 32,))


def request(*texts: str, **more: Any) -> ChatRequest:
    return ChatRequest("m", tuple(Message("user", (TextPart(text),)) for text in texts), **more)


def answer(*parts: Any) -> ChatResponse:
    return ChatResponse("1", "m", (Choice(0, Message("assistant", tuple(parts)), "stop"),))


def masked(house: Guardrails, asked: ChatRequest, context: GuardContext = ADA) -> tuple[ChatRequest, GuardContext]:
    checked = asyncio.run(house.check_input(asked, context))
    assert checked.context is not None
    return checked.value, checked.context


def mark(house: Guardrails, value: str = MAIL, context: GuardContext = ADA) -> str:
    return masked(house, request(value), context)[0].messages[0].text


def test_a_provider_sees_a_mark_and_the_caller_the_value() -> None:
    house = guards()
    sent, context = masked(house, request(f"Write to {MAIL}, again {MAIL}, not {OTHER}."))
    text = sent.messages[0].text
    assert MAIL not in text
    assert text == f"Write to {mark(house)}, again {mark(house)}, not {mark(house, OTHER)}."
    assert house.restore(answer(TextPart(f"Done: {mark(house)}")), context).value.text == f"Done: {MAIL}"


def test_every_string_of_a_request_is_masked() -> None:
    house = guards()
    asked = ChatRequest(
        "m",
        (
            Message("system", (TextPart(f"of {MAIL}"),), name=MAIL),
            Message("assistant", (ToolCallPart("1", "send_mail", f'{{"to":"{MAIL}"}}'),)),
            Message("tool", (ToolResultPart("1", (TextPart('{"from":"ada\\u0040example.com"}'),)),)),
        ),
        tools=(ToolSpec("t", f"asks {MAIL}", {"enum": [MAIL], MAIL: 1}),),
        stop=(MAIL,),
        user=MAIL,
        metadata={"who": MAIL},
        extra={"x": [MAIL]},
    )
    sent, _ = masked(house, asked)
    assert "example" not in repr(sent)


def test_a_mark_is_the_same_in_every_turn_and_wherever_it_stands() -> None:
    house = guards()
    first, _ = masked(house, request(f"I am {MAIL}"))
    second, _ = masked(house, request("Hello", f"{OTHER} and {MAIL}"))
    assert first.messages[0].text.removeprefix("I am ") == second.messages[1].text.rpartition(" ")[2]


def test_another_principal_or_project_has_other_marks_and_gets_nothing_back() -> None:
    house = guards()
    mine = mark(house)
    for other in (GuardContext("p", principal="user bob"), GuardContext("q", principal="user ada")):
        assert mark(house, MAIL, other) != mine
        _, context = masked(house, request(f"my {MAIL}"), other)
        assert house.restore(answer(TextPart(mine)), context).value.text == mine


def test_a_mark_that_the_request_did_not_make_stays() -> None:
    house = guards()
    _, context = masked(house, request(MAIL))
    text = f"[EMAIL-aaaaaa] {mark(house, OTHER)} [masked:email] [EMAIL-"
    assert house.restore(answer(TextPart(text)), context).value.text == text


def test_two_values_never_share_a_mark() -> None:
    vault = Vault([b"k"])
    marks = {vault.mark("email", f"{number}@example.com") for number in range(60_000)}  # two share six letters
    assert len(marks) == 60_000
    assert {vault.kind_and_value(one) for one in marks} == {("email", f"{n}@example.com") for n in range(60_000)}


def test_marks_of_an_older_secret_are_understood_and_the_newest_is_used() -> None:
    old, new = (principal_key(secret, "p", "ada") for secret in (b"old", b"new"))
    before = Vault([old]).mark("email", MAIL)
    both = Vault([new, old])
    assert both.mark("email", MAIL) == Vault([new]).mark("email", MAIL) != before
    assert both.kind_and_value(before) == ("email", MAIL)


def test_what_only_the_answer_holds_is_masked_for_good() -> None:
    house = guards()
    _, context = masked(house, request(MAIL))
    checked = asyncio.run(house.check_output(answer(TextPart(f"{mark(house)} or {OTHER} or {MAIL}")), context))
    assert checked.value.text == f"{mark(house)} or [masked:email] or {mark(house)}"
    assert house.restore(checked.value, context).value.text == f"{MAIL} or [masked:email] or {MAIL}"


def test_a_tool_gets_the_value_only_where_it_is_allowed() -> None:
    house = guards()
    _, context = masked(house, request(MAIL))
    one = mark(house)
    for name, expected in (("send_mail", {"to": MAIL, "note": one}), ("post", {"to": one, "note": one})):
        call = ToolCallPart("1", name, json.dumps({"to": one, "note": one}))
        (part,) = house.restore(answer(call), context).value.choices[0].message.parts
        assert isinstance(part, ToolCallPart)
        assert json.loads(part.arguments) == expected


def test_an_escaped_mark_in_arguments_is_restored_too() -> None:
    house = guards()
    _, context = masked(house, request(MAIL))
    call = ToolCallPart("1", "send_mail", json.dumps({"to": mark(house)}).replace("[", "\\u005b"))
    (part,) = house.restore(answer(call), context).value.choices[0].message.parts
    assert isinstance(part, ToolCallPart)
    assert json.loads(part.arguments) == {"to": MAIL}


def test_verdicts_count_what_was_masked_and_restored_and_never_hold_a_value() -> None:
    house = guards()
    checked = asyncio.run(house.check_input(request(f"{MAIL} {OTHER}", MAIL), ADA))
    assert [verdict.facts() for verdict in checked.verdicts] == [
        {"check": "pii_mask", "action": "mask", "reason": "it holds email", "kinds": ["email"], "counts": {"email": 3}}
    ]
    assert checked.context is not None
    out = asyncio.run(house.check_output(answer(TextPart(mark(house) * 2)), checked.context))
    assert [(one.action, one.facts()["counts"]) for one in out.verdicts] == [("restore", {"email": 2})]
    assert MAIL not in repr([*checked.verdicts, *out.verdicts])


def test_a_check_that_does_not_restore_leaves_nothing_to_restore() -> None:
    house = guards(restore=False)
    checked = asyncio.run(house.check_input(request(MAIL), ADA))
    assert checked.value.messages[0].text == "[masked:email]"
    assert house.restoring(checked.context or ADA) is None


@pytest.mark.parametrize(("options", "is_masked"), [({"models": ["m*"]}, True), ({"models": ["x"]}, False)])
def test_a_check_runs_only_for_the_models_and_routes_that_it_names(options: dict[str, Any], is_masked: bool) -> None:
    context = GuardContext("p", model="m", route="/v1/chat/completions")
    for more in (options, {"routes": ["/v1/chat/*" if is_masked else "/v1/embeddings"]}):
        checked = asyncio.run(guards(**more).check_input(request(MAIL), context))
        assert (MAIL not in checked.value.messages[0].text) is is_masked


def test_what_a_recorded_answer_needs_is_read_from_the_request_again() -> None:
    house = guards()
    again = house.remember(request(MAIL), ADA)
    assert house.restore(answer(TextPart(mark(house))), again).value.text == MAIL


HOUSE = guards()
PIECES = st.sampled_from(
    [mark(HOUSE), mark(HOUSE, OTHER), mark(HOUSE)[:7], "[", "]", "EMAIL-", "é", " text ", MAIL, "@"]
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(PIECES, max_size=7).map("".join),
    st.lists(PIECES, max_size=3).map("".join),
    st.lists(PIECES, max_size=4).map("".join),
    st.lists(st.integers(1, 9), min_size=1, max_size=9),
)
def test_a_restored_stream_is_the_restored_answer_for_every_chunking(
    text: str, thought: str, argument: str, sizes: list[int]
) -> None:
    _, context = masked(HOUSE, request(f"{MAIL} {OTHER}"))
    whole = answer(
        ThinkingPart(thought),
        TextPart(text),
        ToolCallPart("1", "send_mail", json.dumps({"to": argument, "x": argument})),
    )
    checked = asyncio.run(HOUSE.check_output(whole, context))
    expected = HOUSE.restore(checked.value, context).value
    guard, restoring = HOUSE.stream(context), HOUSE.restoring(context)
    assert restoring is not None
    result = Accumulator()
    for event in [*[out for each in cut(whole, sizes) for out in guard.feed(each)], *guard.finish()]:
        for out in restoring.feed(event):
            result.add(out)
    for out in restoring.finish():
        result.add(out)
    assert spoken(result.response()) == spoken(expected)
    assert counts(guard.verdicts) == counts(checked.verdicts)


def cut(whole: ChatResponse, sizes: list[int]) -> list[Event]:
    """The answer's events, their texts cut in pieces."""
    out: list[Event] = []
    for event in events_of(whole):
        if isinstance(event, TextDelta):
            out += [TextDelta(piece) for piece in split(event.text, sizes)]
        elif isinstance(event, ToolCallDelta):
            out += [ToolCallDelta(event.index, piece) for piece in split(event.arguments, sizes)]
        else:
            out.append(event)
    return out


def split(text: str, sizes: list[int]) -> list[str]:
    pieces, at, turn = [], 0, 0
    while at < len(text):
        pieces.append(text[at : at + sizes[turn % len(sizes)]])
        at, turn = at + len(pieces[-1]), turn + 1
    return pieces


def spoken(response: ChatResponse) -> list[tuple[str, str]]:
    """What each kind of part says; parts that say nothing do not come in a stream."""
    parts = response.choices[0].message.parts
    said = [
        (type(part).__name__, part.arguments if isinstance(part, ToolCallPart) else getattr(part, "text", ""))
        for part in parts
    ]
    return [one for one in said if one[1]]


def counts(verdicts: Any) -> list[tuple[str, str]]:
    return sorted((one.action, json.dumps(one.facts()["counts"], sort_keys=True)) for one in verdicts)
