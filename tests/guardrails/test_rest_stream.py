"""What vendors add to their events is read as one text, however it is cut."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.guardrails.check import BlockedByCheck, GuardContext
from mooring.guardrails.config import GuardrailsConfig
from mooring.guardrails.guardrails import Guardrails
from mooring.guardrails.rest import Opaque
from mooring.guardrails.rest_stream import RestGuard
from mooring.guardrails.secret_samples import samples

SECRET = samples()["github_token"]
GUARDS = Guardrails(GuardrailsConfig(checks=({"type": "secrets_mask"}, {"type": "pii_mask"})))
TEXT = f"before {SECRET} after, write to ann@example.org now"


def guard() -> RestGuard:
    found = GUARDS.stream(GuardContext(project_id="p")).rest(Opaque(tokens=frozenset({"type", "id"})))
    assert found is not None
    return found


def event(text: str, name: str = "vendor", **more: Any) -> bytes:
    return msgspec.json.encode({"choices": [{"index": 0, "delta": {name: text}}], "id": "i", **more})


def run(events: list[bytes], known: frozenset[str] = frozenset()) -> list[bytes]:
    rest = guard()
    out = [ready.data for data in events for ready in rest.feed(data, known, is_end=False)]
    return out + [ready.data for ready in rest.finish()]


def told(events: list[bytes], name: str = "vendor") -> str:
    deltas = (msgspec.json.decode(data)["choices"][0]["delta"] for data in events)
    return "".join(delta.get(name, "") for delta in deltas)


def cut(text: str, places: set[int]) -> list[str]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in zip(edges, edges[1:], strict=False)]


@given(st.sets(st.integers(0, 200), max_size=12))
def test_however_a_text_is_cut_it_comes_out_masked_and_no_event_is_lost(places: set[int]) -> None:
    pieces = cut(TEXT, places)
    out = run([event(piece) for piece in pieces])
    whole = told(run([event(TEXT)]))
    assert told(out) == whole
    assert SECRET not in whole
    assert "ann@example.org" not in whole
    assert whole.startswith("before ")
    assert len(out) == len(pieces)


@given(st.lists(st.text(max_size=8), max_size=8))
def test_without_a_finding_every_event_passes_byte_for_byte(pieces: list[str]) -> None:
    events = [event(piece, note=[1, {"x": piece}]) for piece in pieces]
    assert run(events) == events


@given(st.sets(st.integers(8, 7 + len(SECRET)), min_size=1, max_size=4))
def test_a_secret_cut_over_events_with_others_between_is_masked_or_stops_the_stream(places: set[int]) -> None:
    events = [one for piece in cut(TEXT, places) for one in (event(piece), event("word ", "other"))]
    try:
        out = run(events)
    except BlockedByCheck:
        return
    assert SECRET not in told(out)


def test_one_choice_is_not_read_into_another() -> None:
    half = len(SECRET) // 2
    events = [
        msgspec.json.encode({"choices": [{"index": index, "delta": {"vendor": text}} for index, text in pair]})
        for pair in ([(0, SECRET[:half]), (1, "good ")], [(0, SECRET[half:] + " "), (1, "day ")])
    ]
    out = [msgspec.json.decode(data)["choices"] for data in run(events)]
    assert "".join(choices[1]["delta"]["vendor"] for choices in out) == "good day "
    assert SECRET not in "".join(choices[0]["delta"]["vendor"] for choices in out)


def test_what_was_read_in_its_canonical_form_is_not_read_again() -> None:
    assert run([event(SECRET)], frozenset({SECRET})) == [event(SECRET)]


def test_a_text_that_has_ended_holds_nobody_up() -> None:
    rest = guard()
    assert rest.feed(event("a word"), frozenset(), is_end=False) == []  # it may go on
    assert len(rest.feed(event("x", "content"), frozenset({"x"}), is_end=False)) == 2


def test_a_check_that_blocks_stops_the_stream() -> None:
    guards = Guardrails(GuardrailsConfig(checks=({"type": "secrets_mask", "action": "block"},)))
    rest = guards.stream(GuardContext(project_id="p")).rest(Opaque())
    assert rest is not None
    with pytest.raises(BlockedByCheck):
        for data in (event(f"it is {SECRET} "), event("more")):
            rest.feed(data, frozenset(), is_end=False)


def test_no_guard_of_text_reads_nothing() -> None:
    guards = Guardrails(GuardrailsConfig())
    assert guards.stream(GuardContext(project_id="p")).rest(Opaque()) is None
