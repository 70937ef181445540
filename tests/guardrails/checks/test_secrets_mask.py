"""The secrets mask: what it finds, what it leaves alone, and that no way to cut a stream gets a secret through."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.guardrails import secret_shapes
from mooring.guardrails.checks.secrets_mask import Check, Settings
from mooring.guardrails.secret_samples import samples
from mooring.guardrails.testing import CheckConformance, through

ALL = samples()


class TestSecretsMask(CheckConformance):
    def check(self) -> Check:
        return Check(Settings(type="secrets_mask"))

    def harmful(self) -> list[str]:
        return list(ALL.values())


class TestSecretsBlock(CheckConformance):
    def check(self) -> Check:
        return Check(Settings(type="secrets_mask", action="block"))

    def harmful(self) -> list[str]:
        return [ALL[kind] for kind in ("api_key", "jwt", "url_password", "bearer_token")]


@pytest.mark.parametrize("kind", sorted(ALL))
def test_each_kind_is_found_by_its_name_and_nothing_of_it_stays(kind: str) -> None:
    assert [span.kind for span in secret_shapes.find(f"see {ALL[kind]} there")] == [kind]
    masked = secret_shapes.mask(f"see {ALL[kind]} there")
    assert f"[masked:{kind}]" in masked
    assert masked.startswith("see ")
    assert masked.endswith("there")


def test_every_kind_has_a_sample() -> None:
    assert {kind.name for kind in secret_shapes.KINDS} == set(ALL)


@pytest.mark.parametrize(
    "text",
    [
        "task-management-for-risk-averse-desk-workers-in-large-organisations",
        "sk-learn, hf_hub and gsk_ are only prefixes",
        "bearer authentication/authorization-of-services",
        "Bearer token-based-authentication-explained",
        "basic responsibilities of the team",
        "https://example.com:8080/path@2x and http://[::1]:80/",
        "mailto:someone@example.com, 10:30@noon",
        "-----BEGIN PRIVATE KEY----- is how such a file begins",
        "-----BEGIN PUBLIC KEY-----\n" + "Zx9+" * 16 + "\n-----END PUBLIC KEY-----",
        "eyJwYWdlIjoyLCJzaXplIjo1MH0",  # a page cursor
        "3f786850e387550fdab836ed7e6dc881de23001b",
        "550e8400-e29b-41d4-a716-446655440000",
    ],
)
def test_what_only_looks_a_little_like_a_secret_stays(text: str) -> None:
    assert secret_shapes.mask(text) == text


def test_names_in_front_of_a_secret_stay_readable() -> None:
    assert secret_shapes.mask(ALL["url_password"]) == "postgresql://app:[masked:url_password]@db.internal/shop"
    assert secret_shapes.mask(ALL["bearer_token"]) == "Authorization: Bearer [masked:bearer_token]"


def test_a_key_file_inside_a_json_string_is_found() -> None:
    text = ALL["private_key"].replace("\n", "\\n")
    assert secret_shapes.mask(f'{{"private_key": "{text}"}}') == '{"private_key": "[masked:private_key]"}'


def test_a_key_file_that_breaks_off_is_masked_as_far_as_it_came() -> None:
    assert secret_shapes.mask(ALL["private_key"][:300]).startswith("[masked:private_key]")


def test_a_secret_behind_an_escaped_line_break_is_found() -> None:
    assert "[masked:api_key]" in secret_shapes.mask("key:\\n" + ALL["api_key"])


def test_secrets_longer_than_the_longest_match_are_cut_the_same_in_every_stream() -> None:
    text = "x " + ALL["api_key"] + "a" * (secret_shapes.LONGEST + 500) + " y"
    whole = through(TestSecretsMask().check(), [text])
    for size in (1_000, 7_777, secret_shapes.LONGEST):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert through(TestSecretsMask().check(), pieces) == whole


FRAGMENTS = st.one_of(
    st.sampled_from([*ALL.values(), *[value[: len(value) // 2] for value in ALL.values()]]),
    st.sampled_from(["sk-", "Bearer ", "://a:b", "@", "eyJhbGci", ".", "-----BEGIN ", "\\n", "AKIA", " ", "é"]),
    st.text(max_size=6),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(FRAGMENTS, max_size=6).map("".join), st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_for_every_chunking_the_stream_equals_the_whole(text: str, sizes: list[int]) -> None:
    pieces, at, turn = [], 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        pieces.append(text[at : at + size])
        at, turn = at + size, turn + 1
    check = TestSecretsMask().check()
    assert through(check, pieces) == through(check, [text]) == secret_shapes.mask(text)


@settings(max_examples=200, deadline=None)
@given(st.lists(FRAGMENTS, max_size=6).map("".join), st.text(max_size=8))
def test_what_is_decided_stays_decided_whatever_follows(text: str, more: str) -> None:
    hold = secret_shapes.open_from(text)
    before = [span for span in secret_shapes.find(text) if span.start < hold]
    after = [span for span in secret_shapes.find(text + more) if span.start < hold]
    assert before == after


@settings(max_examples=200, deadline=None)
@given(st.lists(FRAGMENTS, max_size=4).map("".join))
def test_the_one_pass_short_cut_says_what_the_two_searches_say(text: str) -> None:
    is_clear = not secret_shapes.may_hold(text.encode("latin-1", "replace")) and secret_shapes.open_from(text) == len(
        text
    )
    assert secret_shapes.is_clear(text) == is_clear


@pytest.mark.parametrize("text", ["eyJhbGci" * 40_000, "://a:b" * 40_000, "-----BEGIN " * 20_000, "sk-ghp_" * 40_000])
def test_a_text_made_of_beginnings_hides_no_secret_behind_it(text: str) -> None:
    assert not secret_shapes.is_clear(text + " " + ALL["github_token"])
    assert secret_shapes.mask(text + " " + ALL["github_token"]).endswith(" [masked:github_token]")
