"""Masks e-mail addresses, phone, card, bank and social security numbers, and puts them back for whoever sent them."""

import functools
import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mooring.guardrails.check import ALLOW, CheckSettings, GuardContext, GuardrailCheck, Span, Subject, Text, Verdict
from mooring.guardrails.pii_shapes import KINDS, LONGEST, LOOK_BEHIND, Finder, Found, Kind, finder
from mooring.guardrails.vault import masked

Action = Literal["mask", "block", "off"]


class Allowance(BaseModel):
    """`[[guardrails.checks.allow]]`: what a tool gets as it is, and where."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool: str = Field(min_length=1, description="The tool's name; `*` stands for any characters.")
    arguments: tuple[str, ...] = Field(
        min_length=1, description="Paths in its arguments, with all that is below them: `to`, `message.cc`, `*`."
    )
    kinds: tuple[Kind, ...] = Field(KINDS, min_length=1, description="Which kinds.")

    def covers(self, tool: str, path: str, kind: str) -> bool:
        """Whether a value of this kind may stand there."""
        return kind in self.kinds and _fits(self.tool, tool) and any(_covers(each, path) for each in self.arguments)


class Settings(CheckSettings):
    """`[[guardrails.checks]]` with `type = "pii_mask"`."""

    email: Action = Field("mask", description="E-mail addresses.")
    phone: Action = Field("mask", description="Phone numbers: with a plus, in North American form, or named as such.")
    credit_card: Action = Field("mask", description="Card numbers whose check digit fits.")
    iban: Action = Field("mask", description="Bank account numbers whose check digits fit.")
    us_ssn: Action = Field("mask", description="US social security numbers.")
    ipv4: Action = Field("off", description="IPv4 addresses.")
    ipv6: Action = Field("off", description="IPv6 addresses.")
    restore: bool = Field(True, description="Put the values back in answers to whoever sent them.")
    allow: tuple[Allowance, ...] = Field((), description="Where tools get values as they are.")

    @model_validator(mode="after")
    def _looks_for_something(self) -> "Settings":
        if not self.kinds:
            raise ValueError("every kind is off: leave the check out")
        return self

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Those that are not off."""
        return tuple(kind for kind in KINDS if getattr(self, kind) != "off")


class Check(GuardrailCheck[Settings]):
    """Structured data only, no names or streets. A request's values are marked; what only an answer holds is gone."""

    Settings = Settings
    longest_match = LONGEST
    look_behind = LOOK_BEHIND

    @functools.cached_property
    def _finder(self) -> Finder:
        return finder(self.settings.kinds)

    @property
    def is_reversible(self) -> bool:  # type: ignore[override]  # a plain attribute for checks without the choice
        return self.settings.restore

    def check(self, subject: Subject, context: GuardContext, /) -> Verdict:
        if not isinstance(subject, Text):
            return ALLOW
        text = subject.text
        found = [
            each
            for each in self._finder.find(text, subject.start)
            if not (subject.tool and self.allows(subject.tool, subject.path, each.kind))
        ]
        if not found:
            return ALLOW
        spans = tuple(self._span(each, text[each.start : each.end], context) for each in found)
        kinds = ", ".join(sorted({each.kind for each in found}))
        action: Literal["mask", "block"] = "block" if any(span.blocks for span in spans) else "mask"
        return Verdict(action=action, reason=f"it holds {kinds}", check=self.name, spans=spans)

    def _span(self, found: Found, value: str, context: GuardContext) -> Span:
        is_blocked = getattr(self.settings, found.kind) == "block"
        mark = masked(found.kind) if is_blocked else context.mark(found.kind, value, self)
        return Span(found.start, found.end, found.kind, mark, blocks=is_blocked)

    def may_match(self, document: bytes, /) -> bool:
        return self._finder.may_hold(document)

    def is_clear(self, text: str, /) -> bool:
        return self._finder.is_clear(text)

    def open_from(self, text: str, /) -> int:
        return self._finder.open_from(text)

    def allows(self, tool: str, path: str | None, kind: str, /) -> bool:
        return path is not None and any(each.covers(tool, path, kind) for each in self.settings.allow)


def _fits(pattern: str, text: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text, re.DOTALL) is not None


def _covers(pattern: str, path: str) -> bool:
    """The path itself or anything below it."""
    return _fits(pattern, path) or _fits(f"{pattern}.*", path) or _fits(f"{pattern}[*", path)
