"""The conformance suite for checks: a plug-in is done when a subclass of `CheckConformance` passes under pytest.

Give it `check`, texts that must pass, texts that must not, and it cuts them every way that a stream could.
"""

import random
from collections.abc import Iterator, Sequence

import msgspec

from .check import BlockedByCheck, GuardContext, Text
from .panel import AnyCheck, Checks, Panel
from .restore import Restorer
from .scanner import Channel, Piece
from .vault import Vault

CONTEXT = GuardContext(project_id="conformance")


class CheckConformance:
    """Subclass it with a name that pytest collects, and override the three methods."""

    def check(self) -> AnyCheck:
        """A fresh check."""
        raise NotImplementedError

    def harmless(self) -> Sequence[str]:
        """Texts that must pass unchanged."""
        return ("", "Hello.", "Zwölf große Bären, 東京, \U0001f600 and \ud800.", '{"a": [1, "b"]}')

    def harmful(self) -> Sequence[str]:
        """Texts that must not pass unchanged; empty for a check that does not look at texts."""
        return ()

    def test_harmless_texts_pass_unchanged(self) -> None:
        for text in self.harmless():
            assert through(self.check(), [text]) == text

    def test_harmful_texts_do_not_pass_unchanged(self) -> None:
        for text in self.harmful():
            assert through(self.check(), [text]) != text

    def test_a_verdict_names_its_reason_and_never_the_match(self) -> None:
        for text in self.harmful():
            verdict = self.check().check(Text(text), CONTEXT)
            assert verdict.reason
            told = msgspec.json.encode(verdict.facts()).decode() + verdict.reason
            for span in verdict.spans:
                assert text[span.start : span.end] not in told
                assert text[span.start : span.end] not in span.replacement

    def test_spans_are_inside_the_text_in_order_and_apart(self) -> None:
        for text in self.harmful():
            at = 0
            for span in self.check().check(Text(text), CONTEXT).spans:
                assert at <= span.start < span.end <= len(text)
                at = span.end

    def test_the_short_cut_never_hides_a_match(self) -> None:
        for text in self.harmful():
            assert self.check().may_match(msgspec.json.encode({"text": text}))

    def test_what_is_masked_once_is_left_alone_the_second_time(self) -> None:
        for text in self.harmful():
            clean = through(self.check(), [text])
            assert clean is None or through(self.check(), [clean]) == clean

    def test_a_stream_comes_out_as_the_whole_text_does_however_it_is_cut(self) -> None:
        texts = [*self.harmless(), *self.harmful()]
        texts += [before + text + after for text in self.harmful() for before, after in (("A ", " b."), ("s", "s"))]
        for text in texts:
            whole = through(self.check(), [text])
            for pieces in cuts(text):
                assert through(self.check(), pieces) == whole, pieces

    def test_what_a_reversible_check_marks_comes_back_however_the_answer_is_cut(self) -> None:
        check = self.check()
        for text in self.harmful() if check.is_reversible else ():
            marked, vault = asked(check, text)
            assert marked != text
            for pieces in cuts(marked):
                assert through(Restorer(vault, [check]), pieces) == text, pieces

    def test_a_mark_is_the_same_each_time_and_means_nothing_to_another_principal(self) -> None:
        check = self.check()
        for text in self.harmful() if check.is_reversible else ():
            marked, _ = asked(check, text)
            assert asked(check, text)[0] == marked
            theirs, vault = asked(check, text, key=b"another")
            assert theirs != marked
            assert through(Restorer(vault, [check]), [marked]) == marked

    def test_memory_of_a_stream_is_bounded(self) -> None:
        check = self.check()
        if check.streaming == "incremental" and "text" in check.sees:
            for text in self.harmful():
                long = text + "a" * (2 * check.longest_match)
                assert len(long) - check.open_from(long) <= max(check.longest_match, 1)


def through(check: AnyCheck, pieces: Sequence[str]) -> str | None:
    """What a stream of these pieces adds up to after the check, or None if it is stopped."""
    checks = Checks("output", [check])
    channel = Channel(checks.text, Panel(checks, CONTEXT))
    try:
        out = [piece for text in pieces for piece in channel.feed([Piece(text)])]
        out += channel.feed([], is_last=True)
    except BlockedByCheck:
        return None
    return "".join(piece.text for piece in out)


def asked(check: AnyCheck, text: str, *, key: bytes = b"key") -> tuple[str, Vault]:
    """The text as a request's check leaves it, and what its marks stand for."""
    vault = Vault([key])
    context = msgspec.structs.replace(CONTEXT, vault=vault)
    return Panel(Checks("input", [check]), context).text(text), vault.close()


def cuts(text: str, seed: int = 0) -> Iterator[list[str]]:
    """In two at every place (or at 200 of them), character by character, and at random."""
    source = random.Random(seed)  # noqa: S311  # the same cuts every time
    places = range(1, len(text)) if len(text) <= 200 else sorted(source.sample(range(1, len(text)), 200))
    for place in places:
        yield [text[:place], text[place:]]
    if len(text) <= 2_000:
        yield list(text)
    for _ in range(5):
        marks = sorted(source.choices(range(len(text) + 1), k=7))
        yield [text[start:end] for start, end in zip([0, *marks], [*marks, len(text)], strict=True)]
