"""The PII mask: what it finds and leaves alone, and that no spelling and no cut of a stream gets a value through."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mooring.core.messages import ToolCallPart
from mooring.guardrails import GuardContext, Text
from mooring.guardrails.checks.pii_mask import Check, Settings
from mooring.guardrails.panel import Checks, Panel
from mooring.guardrails.pii_shapes import KINDS, LONGEST, finder, luhn, mod_97
from mooring.guardrails.testing import CheckConformance, through

CARD = "4111 1111 1111 1111"
IBAN = "DE89 3704 0044 0532 0130 00"
SSN = "536-90-4399"
ALL = {
    "email": "ada.lovelace+x@mail.example.co.uk",
    "phone": "+44 20 7946 0958",
    "credit_card": CARD,
    "iban": IBAN,
    "us_ssn": SSN,
    "ipv4": "203.0.113.77",
    "ipv6": "2001:db8:85a3::8a2e:370:7334",
}
EVERY = {"ipv4": "mask", "ipv6": "mask"}


def check(**options: object) -> Check:
    return Check(Settings.model_validate({"type": "pii_mask", **options}))


def found(text: str) -> list[tuple[str, str]]:
    return [(text[one.start : one.end], one.kind) for one in finder(KINDS).find(text)]


class TestPiiMask(CheckConformance):
    def check(self) -> Check:
        return check(**EVERY)

    def harmful(self) -> list[str]:
        return [*ALL.values(), "call me at (555) 123 45 67 or a@b.io", "bob\\u0040x.example\u200b.com", f"{CARD} {SSN}"]


class TestPiiBlock(CheckConformance):
    def check(self) -> Check:
        return check(credit_card="block", email="off", restore=False)

    def harmful(self) -> list[str]:
        return [CARD, f"my card is {CARD}."]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_found_and_only_its_own_characters_are_masked(kind: str) -> None:
    value = ALL[kind]
    assert found(f"see {value}, then") == [(value, kind)]
    assert through(check(**EVERY), [f"see {value}, then"]) == f"see [masked:{kind}], then"


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_a_switch_of_its_own(kind: str) -> None:
    others = {other: "off" for other in KINDS if other != kind}
    for other, value in ALL.items():
        assert (through(check(**{kind: "mask", **others}), [value]) != value) == (other == kind)


@pytest.mark.parametrize(
    "text",
    [
        "order 4111111111111112 of 2022-05-12 04:34, call 2022-05-12 at 10",
        "version 10.15.7, build 20221005, 1.234.567,89 EUR, 3.14159265358979",
        "000-12-3456, 666-12-3456, 900-12-3456, 123-00-4567, 123-45-0000",
        "550e8400-e29b-41d4-a716-446655440000 3f786850e387550fdab836ed7e6dc881de23001b",
        "DE89 3704 0044 0532 0130 01 and GB00BUKB20201555555555",
        "a@b, @someone, me@localhost, foo@ bar.com, x = y@z",
        "12:30:45, std::string, a::b, ::, 1:2",
        "1.2.3, 999.1.1.1, 1.2.3.4.5",
        "in 1999 some 1234567 people; pages 100-200; (10) 20-30",
        "0000000000000000 and 1111 1111 1111 1111",
    ],
)
def test_what_only_looks_a_little_like_personal_data_stays(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("write to ada＠example．com", "ada＠example．com"),
        ("write to аda@example.com", "аda@example.com"),  # a Cyrillic first letter
        ("a\u200bd\u2060a@exam\u00adple.com!", "a\u200bd\u2060a@exam\u00adple.com"),
        ('{"to": "ada\\u0040example.com"}', "ada\\u0040example.com"),
        ('{"to": "{\\\\"a\\\\": \\\\"ada\\\\u0040example.com\\\\"}"}', "ada\\\\u0040example.com"),
        ("?user=ada%40example.com&x=1", "ada%40example.com"),
        ("Contact:\\nada@example.com\\n", "ada@example.com"),
        ("zoë@münchen.example", "zoë@münchen.example"),
        ("card ４１１１ 1111 1111 １１１１", "４１１１ 1111 1111 １１１１"),
        ("card 4111\u20111111\u20111111\u20111111", "4111\u20111111\u20111111\u20111111"),
        ("+49\u00a030\u00a0901820", "+49\u00a030\u00a0901820"),
        ("<ada@example.com>,", "ada@example.com"),
        ("mailto:ada@example.com.", "ada@example.com"),
        ("iban de89370400440532013000 bic", "de89370400440532013000"),
    ],
)
def test_no_spelling_hides_a_value(text: str, value: str) -> None:
    assert [one for one, _ in found(text)] == [value]


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("phone: 0496 46 46 70", True),
        ("You can reach me on 020 7946 0958.", True),
        ("(555) 234-5678", True),
        ("555-234-5678 x12", True),
        ("room 0496 46 46 70", False),
        ("ssn 536904399", True),
        ("id 536904399", False),
        ("my card 503867297114", True),
        ("id 503867297114", False),
    ],
)
def test_bare_numbers_need_a_word_in_front_of_them(text: str, is_found: bool) -> None:
    assert bool(found(text)) is is_found


def test_a_word_far_in_front_is_no_word_in_front() -> None:
    assert found("phone " + "and so on " * 5 + "0496 46 46 70") == []


def test_check_digits_are_the_published_ones() -> None:
    assert luhn("79927398713")
    assert not luhn("79927398710")
    assert mod_97("GB82WEST12345698765432")
    assert not mod_97("GB82WEST12345698765433")


def test_the_allowed_place_of_an_allowed_tool_gets_the_value_and_no_other_does() -> None:
    allow = [{"tool": "send_*", "arguments": ["to", "cc"], "kinds": ["email"]}]
    panel = Panel(Checks("output", [check(allow=allow)]), GuardContext("p"))
    arguments = {"to": "a@b.io", "cc": ["c@d.io"], "body": "e@f.io", "x": {"to": "g@h.io"}, "i@j.io": "to"}
    clean = json.loads(panel.call(ToolCallPart("1", "send_mail", json.dumps(arguments))).arguments)
    gone = "[masked:email]"
    assert clean == {"to": "a@b.io", "cc": ["c@d.io"], "body": gone, "x": {"to": gone}, gone: "to"}
    assert "a@b.io" not in panel.call(ToolCallPart("1", "post", json.dumps(arguments))).arguments
    assert panel.call(ToolCallPart("1", "send_mail", f'{{"to":"{CARD}"}}')).arguments == (
        '{"to":"[masked:credit_card]"}'
    )


@pytest.mark.parametrize("escaped", ["a\\u0040b.io", "\\u0061@b.io", "a@b\\u002eio"])
def test_arguments_are_read_as_the_tool_will_read_them(escaped: str) -> None:
    panel = Panel(Checks("output", [check()]), GuardContext("p"))
    call = ToolCallPart("1", "post", f'{{"text":"{escaped}","inner":"{{\\"a\\":\\"{escaped}\\"}}"}}')
    clean = panel.call(call).arguments
    assert "b" not in json.loads(clean)["text"].replace("[masked:email]", "")
    assert "masked:email" in json.loads(clean)["inner"]


def test_a_kind_that_blocks_names_itself_and_not_the_value() -> None:
    verdict = check(us_ssn="block").check(Text(f"mail a@b.io, {SSN}"), GuardContext("p"))
    assert verdict.action == "block"
    assert SSN not in json.dumps(verdict.facts())
    assert verdict.facts()["kinds"] == ["email", "us_ssn"]


def test_a_stream_is_not_blocked_for_what_turns_out_to_be_a_longer_number() -> None:
    text = "mail a@b.io 4111111111111111" + "2345678901 then"
    whole = through(check(credit_card="block"), [text])
    assert whole is not None
    for cut in range(len(text)):
        assert through(check(credit_card="block"), [text[:cut], text[cut:]]) == whole


def test_every_kind_off_is_a_mistake() -> None:
    with pytest.raises(ValidationError, match="every kind is off"):
        check(**dict.fromkeys(KINDS, "off"))


def test_an_address_longer_than_any_real_one_does_not_hold_a_stream_up() -> None:
    text = "a" * (3 * LONGEST)
    assert len(text) - check().open_from(text) <= LONGEST


FRAGMENTS = st.one_of(
    st.sampled_from([*ALL.values(), *[value[: len(value) // 2] for value in ALL.values()]]),
    st.sampled_from(
        ["@", ".", "com", " ", "phone: ", "0496 46 46 70", "555-", "234", "-5678", "+1", "\\u00", "40", "%4"]
    ),
    st.sampled_from(["\\", "\\n", "\u200b", "＠", "é", "card ", "1", "[", "::", ":", "ssn ", "536904399", "x12", ","]),
    st.text(max_size=4),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(FRAGMENTS, max_size=9).map("".join), st.lists(st.integers(1, 12), min_size=1, max_size=12))
def test_for_every_chunking_the_stream_equals_the_whole(text: str, sizes: list[int]) -> None:
    pieces, at, turn = [], 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        pieces.append(text[at : at + size])
        at, turn = at + size, turn + 1
    one = check(**EVERY)
    whole = Panel(Checks("output", [one]), GuardContext("p")).text(text)
    assert through(one, pieces) == through(one, [text]) == whole


@settings(max_examples=300, deadline=None)
@given(st.lists(FRAGMENTS, max_size=8).map("".join), st.text(max_size=8))
def test_what_is_decided_stays_decided_whatever_follows(text: str, more: str) -> None:
    every = finder(KINDS)
    hold = every.open_from(text)
    before = [one for one in every.find(text) if one.start < hold]
    after = [one for one in every.find(text + more) if one.start < hold]
    assert before == after


@settings(max_examples=200, deadline=None)
@given(st.lists(FRAGMENTS, max_size=6).map("".join))
def test_the_short_cuts_promise_nothing_that_is_not_so(text: str) -> None:
    one = check(**EVERY)
    whole = Panel(Checks("output", [one]), GuardContext("p")).text(text)
    if one.is_clear(text):
        assert whole == text
    if not one.may_match(json.dumps({"text": text}, ensure_ascii=False).encode("utf-8", "replace")):
        assert whole == text
