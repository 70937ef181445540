"""The checks of one stage at work on one call: runs them in order, applies what they say, and keeps their verdicts."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from mooring.core.messages import ChatRequest, ChatResponse, ToolCallPart

from . import leaves, secret_shapes
from .check import BlockedByCheck, GuardContext, GuardrailCheck, Sees, Stage, Subject, Text, Verdict

AnyCheck = GuardrailCheck[Any]


class Checks:
    """The checks of one stage, sorted once by what they see.

    What a model answers is an answer and, where it asks for tools, tool calls: checks of tool calls see it too.
    """

    def __init__(self, stage: Stage, checks: Sequence[AnyCheck]) -> None:
        self.stage = stage
        own = [check for check in checks if stage in check.settings.stages]
        calls = [check for check in checks if check in own or "tool_call" in check.settings.stages]
        self.text = _seeing("text", own)
        self.request = _seeing("request", own)
        self.response = _seeing("response", own)
        self.tool_call = _seeing("tool_call", own if stage == "input" else calls)
        self.all = tuple(check for check in checks if check in own or check in self.tool_call)

    def may_match(self, document: bytes) -> bool:
        """Whether any text check could find something; JSON inside JSON strings has to be decoded to know."""
        return bool(self.text) and (b"\\\\" in document or any(check.may_match(document) for check in self.text))


def _seeing(what: Sees, checks: Sequence[AnyCheck]) -> tuple[AnyCheck, ...]:
    return tuple(check for check in checks if what in check.sees)


class Panel:
    """One call's pass through a stage. Raises `BlockedByCheck`; `verdicts` holds all that was not allow."""

    def __init__(self, checks: Checks, context: GuardContext) -> None:
        self.checks = checks
        self.context = context
        self.verdicts: list[Verdict] = []

    def judge(self, check: AnyCheck, subject: Subject) -> Verdict:
        """One check's verdict, not yet recorded. A check that raises has not allowed anything."""
        try:
            verdict = check.check(subject, self.context)
        except Exception as error:  # edge: users' code; fail closed, whatever went wrong in it
            return Verdict(action="error", check=check.name, reason=f"it failed with {type(error).__name__}")
        return verdict if verdict.check else msgspec.structs.replace(verdict, check=check.name)

    def record(self, verdict: Verdict) -> None:
        """Keep it; stop if it says so. What one check has masked is one verdict with counts, however many texts."""
        if verdict.action == "allow":
            return
        if verdict.action in ("mask", "restore"):
            self._count(verdict)
            return
        self.verdicts.append(verdict)
        if verdict.action in ("block", "review", "error"):
            raise BlockedByCheck(verdict, self.verdicts, self.checks.stage)

    def _count(self, verdict: Verdict) -> None:
        counts = Counter(verdict.counted())
        for place, before in enumerate(self.verdicts):
            if (before.check, before.action) == (verdict.check, verdict.action):
                counts.update(before.counts)
                del self.verdicts[place]
                break
        reason = f"it holds {', '.join(sorted(counts))}" if counts else verdict.reason
        self.verdicts.append(msgspec.structs.replace(verdict, spans=(), counts=dict(counts), reason=reason))

    def whole(self, subject: ChatRequest | ChatResponse | ToolCallPart, checks: Sequence[AnyCheck]) -> None:
        """Checks that only allow or refuse."""
        for check in checks:
            verdict = self.judge(check, subject)
            if verdict.action in ("mask", "rewrite"):
                verdict = Verdict(action="error", check=check.name, reason="it can change texts only")
            self.record(verdict)

    def text(self, text: str, *, tool: str = "", path: str | None = None) -> str:
        """A whole text through every check."""
        for check in self.checks.text:
            verdict = self.judge(check, Text(text, tool=tool, path=path))
            self.record(verdict)
            text = applied(verdict, text)
        return text

    @contextmanager
    def reading(self) -> Iterator[None]:
        """What cannot be read cannot be allowed: JSON nested more deeply than the decoder goes is refused."""
        try:
            yield
        except RecursionError:
            self.record(Verdict(action="error", check="guardrails", reason="it is nested too deeply to be read"))

    def arguments(self, arguments: str, *, tool: str = "") -> str:
        """The JSON of a tool call's arguments, leaf by leaf; `tool` where they are on their way to it."""
        if not self.checks.text:
            return arguments
        plain = leaves.unescaped(arguments).encode("utf-8", "replace")
        if not any(check.may_match(plain) for check in self.checks.text):
            return arguments
        with self.reading():
            return leaves.arguments(arguments, lambda text, path: self.text(text, tool=tool, path=path))

    def call(self, part: ToolCallPart) -> ToolCallPart:
        """A whole tool call: may it be made, and are its name and arguments clean."""
        self.whole(part, self.checks.tool_call)
        name, arguments = self.text(part.name), self.arguments(part.arguments, tool=part.name)
        if name == part.name and arguments == part.arguments:
            return part
        return msgspec.structs.replace(part, name=name, arguments=arguments)


def applied(verdict: Verdict, text: str) -> str:
    """The text after a verdict that lets it pass."""
    if verdict.action in ("mask", "restore"):
        return secret_shapes.replace(text, verdict.spans)
    if verdict.action == "rewrite":
        return verdict.rewritten if verdict.rewritten is not None else text
    return text
