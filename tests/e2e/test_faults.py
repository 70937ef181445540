"""The battery of faults: what it judges, and that the gateway passes it."""

import json

import pytest

from mooring.verify.fault_list import CASES
from mooring.verify.fault_wires import INWARD, TEXT, WIRES, fits, judge
from mooring.verify.faults import Outcome, faults

FEW = {
    "429, a sane Retry-After",
    "400, the context is too long",
    "refused",
    "TLS fails",
    "closed between chunks, before the first token",
    "a good end too early, after some tokens",
    "silence in the middle, after some tokens",
    "the end is missing",
    "an error object with status 200",
    "400, a schema that is wrong",
}


def ignore(line: str) -> None:
    """Nobody reads along."""


def test_a_provider_that_fails_loses_no_answer_and_the_ledger_adds_up() -> None:
    few = [case for case in CASES if case.name in FEW]
    report = faults(log=ignore, cases=few)
    assert len(report.outcomes) == 2 * sum(fits(case, wire) for case in few for wire in WIRES.values())
    assert report.holds, report.lines()
    assert report.lines()[-2].startswith("slowest")
    assert json.loads(json.dumps(report.facts()))["silent"] == 0


@pytest.mark.soak
def test_the_whole_battery_holds() -> None:
    report = faults(log=ignore)
    assert report.holds, report.lines()


def test_there_are_more_than_44_faults_and_no_two_have_one_name() -> None:
    assert len(CASES) > 44
    assert len({case.name for case in CASES}) == len(CASES)


def chunk(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": {"content": text}}]}).encode() + b"\n\n"


ERROR = b'data: {"error":{"message":"broke off"}}\n\n'


def test_a_stream_is_whole_only_with_all_of_its_text_and_its_end() -> None:
    done = b"data: [DONE]\n\n"
    assert judge(200, chunk(TEXT) + done, is_stream=True)[0] == "whole"
    assert judge(200, chunk(TEXT), is_stream=True)[0] == "silent"
    assert judge(200, chunk(TEXT[:-3]) + done, is_stream=True)[0] == "silent"
    assert judge(200, chunk(TEXT[:9]) + ERROR, is_stream=True) == ("shown", "broke off")
    assert judge(200, chunk(TEXT[:9]) + ERROR + done, is_stream=True)[0] == "silent"
    assert judge(200, b"", is_stream=True)[0] == "silent"


def test_an_answer_is_whole_only_with_all_of_its_text() -> None:
    assert judge(200, b'{"choices":[{"message":{"content":"short"}}]}', is_stream=False)[0] == "silent"
    assert judge(200, b"<html>", is_stream=False)[0] == "silent"
    assert judge(502, b'{"error":{"message":"gone"}}', is_stream=False) == ("shown", "gone")
    assert judge(502, b"<html>", is_stream=False)[0] == "silent"


def events(*data: dict[str, object]) -> bytes:
    return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in data)


PIECES: dict[str, tuple[dict[str, object], dict[str, object], dict[str, object]]] = {
    "anthropic_messages": (
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": TEXT}},
        {"type": "message_stop"},
        {"type": "error", "error": {"type": "api_error", "message": "broke off"}},
    ),
    "gemini_generate": (
        {"candidates": [{"content": {"parts": [{"text": TEXT}]}}]},
        {"candidates": [{"finishReason": "STOP"}]},
        {"error": {"code": 502, "message": "broke off"}},
    ),
    "openai_responses": (
        {"type": "response.output_text.delta", "delta": TEXT},
        {"type": "response.completed"},
        {"type": "response.failed", "response": {"error": {"message": "broke off"}}},
    ),
}


@pytest.mark.parametrize("inward", sorted(PIECES))
def test_each_wires_stream_is_judged_as_its_sdk_would(inward: str) -> None:
    piece, end, error = PIECES[inward]
    assert judge(200, events(piece, end), is_stream=True, inward=inward)[0] == "whole"
    assert judge(200, events(piece), is_stream=True, inward=inward)[0] == "silent"
    assert judge(200, events(end), is_stream=True, inward=inward)[0] == "silent"
    assert judge(200, events(piece, error), is_stream=True, inward=inward) == ("shown", "broke off")
    assert judge(200, events(piece, error, end), is_stream=True, inward=inward)[0] == "silent"


def test_every_wire_that_callers_speak_is_asked_by() -> None:
    assert {wire.inward for wire in WIRES.values()} == set(INWARD)


def test_what_is_worse_than_expected_or_late_is_not_good() -> None:
    case = CASES[0]
    assert Outcome("openai_chat", case, False, "whole", 0.1, "").is_good
    assert not Outcome("openai_chat", case, False, "shown", 0.1, "").is_good
    assert not Outcome("openai_chat", case, False, "whole", 60.0, "").is_good
