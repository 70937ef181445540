"""The contract that every guardrail check keeps: what it sees, what it answers, what it holds back of a stream."""

from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Generic, Literal, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from mooring.core.errors import Blocked
from mooring.core.messages import ChatRequest, ChatResponse, ToolCallPart

from .vault import Vault, masked

Action = Literal["allow", "mask", "restore", "rewrite", "review", "block", "error"]
Stage = Literal["input", "output", "tool_call"]
Streaming = Literal["incremental", "segment", "final"]
Sees = Literal["request", "response", "text", "tool_call"]


class Span(msgspec.Struct, frozen=True):
    """Characters `[start, end)` of the text that was checked, what they are, and what stands there instead.

    In a verdict that blocks, a span without `blocks` would only have been masked.
    """

    start: int
    end: int
    kind: str
    replacement: str
    blocks: bool = True


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a check says. Never holds the matched text itself: verdicts go into the journal and into error bodies.

    mask: put each span's replacement in its place. rewrite: `rewritten` takes the place of the whole text.
    review: a person must look first. error: the check could not decide; it counts as block. restore is the pipeline's
    own: values went back in the place of their marks. `counts` says how often each kind was masked or restored.
    """

    action: Action
    reason: str = ""
    check: str = ""
    spans: tuple[Span, ...] = ()
    rewritten: str | None = None
    score: float | None = None
    counts: Mapping[str, int] = {}

    def facts(self) -> dict[str, Any]:
        """JSON for the journal: everything but the rewritten text."""
        counts = self.counted()
        facts: dict[str, Any] = {
            "check": self.check,
            "action": self.action,
            "reason": self.reason,
            "kinds": sorted(counts),
        }
        if counts:
            facts["counts"] = dict(sorted(counts.items()))
        return facts if self.score is None else {**facts, "score": self.score}

    def counted(self) -> Mapping[str, int]:
        """How often each kind was found."""
        return self.counts or Counter(span.kind for span in self.spans)


ALLOW = Verdict(action="allow")


class Text(msgspec.Struct, frozen=True):
    """One string leaf: a message's text, a tool argument's value, a name, a description.

    `start`: what is before it has been decided, and is here for a check that looks behind; no span may begin there.
    In the arguments of a call that a model asks for, `tool` is the tool's name and `path` where the value stands
    (`to`, `items[].email`), or None for a key.
    """

    text: str
    start: int = 0
    tool: str = ""
    path: str | None = None


Subject = ChatRequest | ChatResponse | ToolCallPart | Text


class GuardContext(msgspec.Struct, frozen=True, omit_defaults=True):
    """For whom the check runs. `is_internal` marks Mooring's own calls, so that checks that call models do not recurse.

    `tools_allowed` narrows which tools this call may offer and ask for; None leaves that to the configured checks.
    `route` is the path that was asked, `model` the name. `principal` is who may have masked values back: the user, else
    the API key; `vault` holds those of this request.
    """

    project_id: str
    route: str = ""
    is_internal: bool = False
    tools_allowed: frozenset[str] | None = None
    user: str | None = None
    model: str = ""
    principal: str = ""
    vault: Vault | None = None

    def mark(self, kind: str, value: str, check: "GuardrailCheck[Any]", /) -> str:
        """What a mask puts in a value's place: a mark that the same principal gets back as the value, if it may."""
        if self.vault is None or not check.is_reversible:
            return masked(kind)
        return self.vault.mark(kind, value)


class CheckSettings(BaseModel):
    """What every check's section of `mooring.toml` may say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str = Field(description="The check's registered name.")
    stages: tuple[Stage, ...] = Field(
        ("input", "output", "tool_call"), description="Where it runs: on requests, on answers, on tool calls."
    )
    models: tuple[str, ...] = Field(("*",), description="Only calls of these models; `openai/*` is a pattern.")
    routes: tuple[str, ...] = Field(("*",), description="Only calls of these paths: `/v1/chat/completions`.")

    def concerns(self, context: GuardContext) -> bool:
        """Whether a check with these settings has anything to say about such a call."""
        return _matches(self.models, context.model) and _matches(self.routes, context.route)


def _matches(patterns: Sequence[str], name: str) -> bool:
    return patterns == ("*",) or any(fnmatchcase(name, pattern) for pattern in patterns)


S = TypeVar("S", bound=CheckSettings)


class GuardrailCheck(Generic[S]):
    """One check. A plug-in module exports a subclass named `Check`, and states `Settings`, `sees` and `streaming`.

    streaming, for text: incremental decides while the text comes (it needs `longest_match` or `open_from`; a match may
    depend on at most `look_behind` characters before it, and begins at `Text.start` or later); segment sees a whole
    text or a whole tool call; final sees the whole answer, so a stream is buffered to its end.
    is_reversible: its spans' replacements come from `context.mark`, and go back to whoever sent the values.
    """

    Settings: ClassVar[type[CheckSettings]] = CheckSettings
    sees: ClassVar[frozenset[Sees]] = frozenset({"text"})
    streaming: ClassVar[Streaming] = "incremental"
    longest_match: ClassVar[int] = 0
    look_behind: ClassVar[int] = 0
    is_reversible: bool = False

    def __init__(self, settings: S) -> None:
        self.settings = settings
        self.name = settings.type

    def check(self, subject: Subject, context: GuardContext, /) -> Verdict:
        """The verdict on one subject of a kind that it `sees`. Raising blocks."""
        raise NotImplementedError

    def may_match(self, document: bytes, /) -> bool:
        """False promises `allow` for every text whose JSON encoding stands in `document` (UTF-8). Only a short cut."""
        return True

    def is_clear(self, text: str, /) -> bool:
        """True promises `allow`, and that nothing in it is open: for incremental checks. Only a short cut."""
        return False

    def open_from(self, text: str, /) -> int:
        """Where the part begins that what comes next could still turn into a match (or into a longer one).

        Text before it is decided. `len(text)` says that everything is.
        """
        return max(0, len(text) - self.longest_match + 1) if self.longest_match else len(text)

    def allows(self, tool: str, path: str | None, kind: str, /) -> bool:
        """Whether a tool may have a value of this kind, as it is, at this place of its arguments."""
        return False

    def max_stream_bytes(self) -> int | None:
        """For checks that see the response: stop a stream once its texts and tool arguments pass this."""
        return None


class BlockedByCheck(Blocked):
    """A check refused. `verdicts` is everything that the pipeline said until then, for the journal."""

    def __init__(self, verdict: Verdict, verdicts: Sequence[Verdict], stage: Stage) -> None:
        what = {"input": "request", "output": "answer", "tool_call": "tool call"}[stage]
        reason = f": {verdict.reason}" if verdict.reason else ""
        super().__init__(
            f"The check '{verdict.check}' blocked the {what}{reason}.",
            hint="Change the content, or the check's section under [guardrails] in mooring.toml.",
        )
        self.verdicts = tuple(verdicts)
        self.stage = stage
