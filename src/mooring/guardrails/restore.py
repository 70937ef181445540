"""Puts values back in the place of their marks: in an answer to whoever sent them, and where a tool may have them.

It is a check like any other, so that streams, tool arguments and their escapes go through the same hold-back.
"""

from collections.abc import Sequence
from typing import Any

import re2

from .check import ALLOW, CheckSettings, GuardContext, GuardrailCheck, Span, Subject, Text, Verdict
from .vault import LONGEST, SHAPE, Vault


def _compile(pattern: str) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.longest_match = True
    options.never_capture = True
    return re2.compile(pattern.encode("latin-1"), options)


_MARK = _compile(SHAPE.whole)
_OPENING = _compile(f"(?:{SHAPE.opening})\\z")


class Restorer(GuardrailCheck[CheckSettings]):
    """For one answer. In a tool's arguments only where one of the `checks` that made the marks allows it."""

    longest_match = LONGEST

    def __init__(self, vault: Vault, checks: Sequence[GuardrailCheck[Any]]) -> None:
        super().__init__(CheckSettings.model_validate({"type": "restore"}))
        self._vault = vault
        self._checks = checks
        self.name = checks[0].name

    def check(self, subject: Subject, context: GuardContext, /) -> Verdict:
        if not isinstance(subject, Text) or "[" not in subject.text:
            return ALLOW
        spans = []
        for match in _MARK.finditer(subject.text.encode("latin-1", "replace")):
            start, end = match.span()
            known = self._vault.kind_and_value(subject.text[start:end])
            if known is not None and self._is_allowed(subject, known[0]):
                spans.append(Span(start, end, *known))
        return Verdict(action="restore", check=self.name, spans=tuple(spans)) if spans else ALLOW

    def may_match(self, document: bytes, /) -> bool:
        return b"[" in document or b"\\" in document

    def is_clear(self, text: str, /) -> bool:
        return "[" not in text

    def open_from(self, text: str, /) -> int:
        tail = text[-LONGEST:]
        found = _OPENING.search(tail.encode("latin-1", "replace"))
        return len(text) - len(tail) + found.start() if found else len(text)

    def _is_allowed(self, subject: Text, kind: str) -> bool:
        if not subject.tool:
            return True
        return any(check.allows(subject.tool, subject.path, kind) for check in self._checks)
