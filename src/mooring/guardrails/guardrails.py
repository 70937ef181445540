"""The straight line: what every request, answer, stream and tool call passes before it goes on.

Checks run in the configured order. Whoever blocks, asks for a review or fails, stops the call; whoever masks or
rewrites hands the changed text to the next one.
"""

from typing import Generic, NamedTuple, TypeVar

import msgspec
from pydantic import ValidationError

from mooring.core.errors import ConfigError
from mooring.core.messages import (
    ChatRequest,
    ChatResponse,
    Choice,
    Part,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)
from mooring.core.registry import Registry
from mooring.core.text import digest

from . import leaves
from .check import GuardContext, Verdict
from .config import GuardrailsConfig
from .panel import AnyCheck, Checks, Panel
from .redactor import Redactor
from .scanner import Channel, Piece
from .stream import StreamGuard

T = TypeVar("T")

registry: Registry[type[AnyCheck]] = Registry("check", "mooring.checks", "mooring.guardrails.checks", "Check")


class Checked(NamedTuple, Generic[T]):
    """What may go on. `verdicts` is everything that was not a plain allow, for the journal."""

    value: T
    is_changed: bool = False
    verdicts: tuple[Verdict, ...] = ()


class Guardrails:
    """The configured checks over canonical requests, answers and events: no endpoint and no stream skips them."""

    def __init__(self, config: GuardrailsConfig, *, redactor: Redactor | None = None) -> None:
        checks = [_build(section, number) for number, section in enumerate(config.checks)]
        self.redactor = redactor or Redactor()
        self.policy_hash = digest(
            msgspec.json.encode([check.settings.model_dump(mode="json") for check in checks], order="sorted")
        )
        self._input = Checks("input", checks)
        self._output = Checks("output", checks)
        self._tool_call = Checks("tool_call", checks)

    async def check_input(self, request: ChatRequest, context: GuardContext) -> Checked[ChatRequest]:
        """Before anything is paid.

        Raises:
            BlockedByCheck: a check refused, wants a review, or failed.
        """
        if not self._input.all:
            return Checked(request)
        panel = Panel(self._input, context)
        panel.whole(request, self._input.request)
        clean = request
        with panel.reading():
            if self._input.text and self._input.may_match(_document(request)):
                clean = leaves.request(request, panel)
        return Checked(clean, clean is not request, tuple(panel.verdicts))

    async def check_output(self, response: ChatResponse, context: GuardContext) -> Checked[ChatResponse]:
        """A whole answer; a stream of it, however it is cut, comes out the same.

        Raises:
            BlockedByCheck: a check refused, wants a review, or failed. The answer is paid for all the same.
        """
        checks = self._output
        if not checks.all:
            return Checked(response)
        panel = Panel(checks, context)
        panel.whole(response, [check for check in checks.response if check.streaming != "final"])
        clean = response
        with panel.reading():
            if checks.tool_call or _may_change(checks, response):
                clean = _response(response, panel)
        panel.whole(clean, [check for check in checks.response if check.streaming == "final"])
        return Checked(clean, clean is not response, tuple(panel.verdicts))

    def stream(self, context: GuardContext) -> StreamGuard:
        """A guard for one streamed answer."""
        return StreamGuard(Panel(self._output, context))

    def check_tool_call(self, call: ToolCallPart, context: GuardContext) -> Checked[ToolCallPart]:
        """A tool call on its way to the tool: asked for by a model, an agent or an MCP client.

        Raises:
            BlockedByCheck: a check refused, wants a review, or failed; the tool was not called.
        """
        if not self._tool_call.all:
            return Checked(call)
        panel = Panel(self._tool_call, context)
        clean = panel.call(call)
        return Checked(clean, clean is not call, tuple(panel.verdicts))


def _build(section: dict[str, object], number: int) -> AnyCheck:
    """One entry of the configuration as a check, or an error that names the entry."""
    name = section.get("type")
    if not isinstance(name, str):
        raise ConfigError(f"guardrails.checks[{number}] has no 'type'.", hint=f"Known: {', '.join(registry.names())}.")
    kind = registry.get(name)
    try:
        return kind(kind.Settings.model_validate(section))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        known = ", ".join(kind.Settings.model_fields)
        raise ConfigError(f"guardrails.checks[{number}] ({name}): {faults}.", hint=f"It knows: {known}.") from error


def _document(value: ChatRequest | ChatResponse) -> bytes:
    """Every string of it, once, at C speed. Strings that UTF-8 cannot carry are looked at one by one."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return b"\\\\"


def _has_split_texts(response: ChatResponse) -> bool:
    """A match could begin in one part and end in the next."""
    return any(
        sum(not isinstance(part, ToolCallPart) for part in choice.message.parts) > 1 for choice in response.choices
    )


def _may_change(checks: Checks, response: ChatResponse) -> bool:
    return bool(checks.text) and (_has_split_texts(response) or checks.may_match(_document(response)))


def _response(response: ChatResponse, panel: Panel) -> ChatResponse:
    choices = tuple(_choice(choice, panel) for choice in response.choices)
    extra = leaves.tree(response.extra, panel.text)
    is_same = extra is response.extra and all(new is old for new, old in zip(choices, response.choices, strict=True))
    return response if is_same else msgspec.structs.replace(response, choices=choices, extra=extra)


def _choice(choice: Choice, panel: Panel) -> Choice:
    """The parts of one answer; texts of one kind are one channel, exactly as in a stream."""
    channels: dict[type, Channel] = {}
    last: dict[type, int] = {}
    parts: list[Part] = []
    for part in choice.message.parts:
        if isinstance(part, TextPart | RefusalPart | ThinkingPart):
            kind = type(part)
            channel = channels.setdefault(kind, Channel(panel.checks.text, panel))
            last[kind] = len(parts)
            ends = isinstance(part, ThinkingPart) and (part.signature is not None or part.data is not None)
            part = _with_text(part, _joined(channel.feed([Piece(part.text)], is_last=ends)))
        parts.append(part)
    for kind, channel in channels.items():
        rest = _joined(channel.feed([], is_last=True))
        part = parts[last[kind]]
        if rest and isinstance(part, TextPart | RefusalPart | ThinkingPart):
            parts[last[kind]] = _with_text(part, part.text + rest)
    parts = [_call_or_part(part, panel) for part in parts]
    old = choice.message.parts
    parts = [before if before == after else after for before, after in zip(old, parts, strict=True)]
    if all(before is after for before, after in zip(old, parts, strict=True)):
        return choice
    return msgspec.structs.replace(choice, message=msgspec.structs.replace(choice.message, parts=tuple(parts)))


def _call_or_part(part: Part, panel: Panel) -> Part:
    if isinstance(part, ToolCallPart):
        return panel.call(part)
    return part if isinstance(part, TextPart | RefusalPart | ThinkingPart) else leaves.part_of(part, panel)


def _with_text(part: TextPart | RefusalPart | ThinkingPart, text: str) -> TextPart | RefusalPart | ThinkingPart:
    return msgspec.structs.replace(part, text=text)


def _joined(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)
