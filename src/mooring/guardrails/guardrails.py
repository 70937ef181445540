"""The straight line: what every request, answer, stream and tool call passes before it goes on.

Checks run in the configured order. Whoever blocks, asks for a review or fails, stops the call; whoever masks or
rewrites hands the changed text to the next one.
"""

import contextlib
import functools
import secrets
import typing
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mooring.core.errors import Blocked, ConfigError
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
from mooring.core.registry import Registry, did_you_mean
from mooring.core.text import digest

from . import leaves, rest
from .check import GuardContext, Stage, Verdict
from .config import GuardrailsConfig
from .panel import AnyCheck, Checks, Panel
from .redactor import Redactor
from .rest import Body
from .restore import Restorer
from .scanner import Channel, Piece
from .stream import StreamGuard
from .vault import Vault, principal_key

T = TypeVar("T")

registry: Registry[type[AnyCheck]] = Registry("check", "mooring.checks", "mooring.guardrails.checks", "Check")


class Checked(NamedTuple, Generic[T]):
    """What may go on. `verdicts` is everything that was not a plain allow, for the journal.

    `context` is for the answer to a request: it knows what the request's marks stand for. `body` is the body as it may
    go on, where one was given and what has no canonical form has changed.
    """

    value: T
    is_changed: bool = False
    verdicts: tuple[Verdict, ...] = ()
    context: GuardContext | None = None
    body: Any = None


class Guardrails:
    """The configured checks over canonical requests, answers and events: no endpoint and no stream skips them."""

    def __init__(
        self,
        config: GuardrailsConfig,
        *,
        redactor: Redactor | None = None,
        versions: Callable[[], Sequence[bytes]] | None = None,
    ) -> None:
        """`versions` are the home's secrets, newest first: marks come from them, so that a replay makes the same."""
        once = (secrets.token_bytes(32),)
        self._versions = versions or (lambda: once)
        self._all = tuple(_build(section, number) for number, section in enumerate(config.checks))
        self.redactor = redactor or Redactor()
        self.policy_hash = digest(
            msgspec.json.encode([check.settings.model_dump(mode="json") for check in self._all], order="sorted")
        )
        self._has_marks = any(check.is_reversible for check in self._all)
        self._of = functools.lru_cache(maxsize=256)(self._checks)

    async def check_input(
        self, request: ChatRequest, context: GuardContext, body_of: Callable[[ChatRequest], Body] | None = None
    ) -> Checked[ChatRequest]:
        """Before anything is paid. `body_of` gives the body of the checked request, for what else stands in it.

        Raises:
            BlockedByCheck: a check refused, wants a review, or failed.
        """
        checks = self._at("input", context)
        if not checks.all:
            return Checked(request)
        context = self._with_vault(context)
        panel = Panel(checks, context)
        panel.whole(request, checks.request)
        clean = _request(request, panel)
        body = _rest(clean, panel, body_of)
        if context.vault is not None:
            context.vault.close()
        return Checked(clean, clean is not request, tuple(panel.verdicts), context, body)

    async def check_output(
        self, response: ChatResponse, context: GuardContext, body_of: Callable[[ChatResponse], Body] | None = None
    ) -> Checked[ChatResponse]:
        """A whole answer; a stream of it, however it is cut, comes out the same. Marks stay: see `restore`.

        Raises:
            BlockedByCheck: a check refused, wants a review, or failed. The answer is paid for all the same.
        """
        checks = self._at("output", context)
        if not checks.all:
            return Checked(response, verdicts=self.restore(response, context).verdicts)
        panel = Panel(checks, context)
        panel.whole(response, [check for check in checks.response if check.streaming != "final"])
        clean = response
        with panel.reading():
            if checks.tool_call or _may_change(checks, response):
                clean = _response(response, panel)
        panel.whole(clean, [check for check in checks.response if check.streaming == "final"])
        body = _rest(clean, panel, body_of)
        restored = self.restore(clean, context).verdicts
        return Checked(clean, clean is not response, (*panel.verdicts, *restored), body=body)

    def stream(self, context: GuardContext) -> StreamGuard:
        """A guard for one streamed answer."""
        return StreamGuard(Panel(self._at("output", context), context), self.restoring(context))

    # Marks and what they stand for ------------------------------------------------

    def remember(self, request: ChatRequest, context: GuardContext) -> GuardContext:
        """The context with what the request's marks stand for, for an answer that was recorded before."""
        if context.vault is not None or not self._has_marks:
            return context
        context = self._with_vault(context)
        with contextlib.suppress(Blocked):  # the policy has changed since: what was marked until here comes back
            _request(request, Panel(self._at("input", context), context))
        if context.vault is not None:
            context.vault.close()
        return context

    def restore(self, response: ChatResponse, context: GuardContext) -> Checked[ChatResponse]:
        """A whole answer with the request's own values in the place of their marks; in tool calls where allowed."""
        panel = self._restorer(context)
        if panel is None:
            return Checked(response)
        with panel.reading():
            clean = _response(response, panel)
        return Checked(clean, clean is not response, tuple(panel.verdicts))

    def restoring(self, context: GuardContext) -> StreamGuard | None:
        """The same for one streamed answer; None where nothing was marked."""
        panel = self._restorer(context)
        return None if panel is None else StreamGuard(panel)

    def _restorer(self, context: GuardContext) -> Panel | None:
        if not context.vault:
            return None
        checks = [check for check in self._at("input", context).text if check.is_reversible]
        return Panel(Checks("output", [Restorer(context.vault, checks)]), context) if checks else None

    def _with_vault(self, context: GuardContext) -> GuardContext:
        if not self._has_marks:
            return context
        keys = [principal_key(secret, context.project_id, context.principal) for secret in self._versions()]
        return msgspec.structs.replace(context, vault=Vault(keys))

    def _at(self, stage: Stage, context: GuardContext) -> Checks:
        return self._of(stage, context.model, context.route)

    def _checks(self, stage: Stage, model: str, route: str) -> Checks:
        """The checks of a stage that concern such calls."""
        context = GuardContext(project_id="", model=model, route=route)
        return Checks(stage, [check for check in self._all if check.settings.concerns(context)])

    def check_tool_call(self, call: ToolCallPart, context: GuardContext) -> Checked[ToolCallPart]:
        """A tool call on its way to the tool: asked for by a model, an agent or an MCP client.

        Raises:
            BlockedByCheck: a check refused, wants a review, or failed; the tool was not called.
        """
        checks = self._at("tool_call", context)
        if not checks.all:
            return Checked(call)
        panel = Panel(checks, context)
        clean = panel.call(call)
        return Checked(clean, clean is not call, tuple(panel.verdicts))


def mistakes(sections: Sequence[object]) -> list[str]:
    """What is wrong with the checks' own sections, each with its path; unknown types are told elsewhere."""
    found: list[str] = []
    for number, section in enumerate(sections):
        name = section.get("type") if isinstance(section, dict) else None
        if isinstance(section, dict) and name is None:
            found.append(f"guardrails.checks[{number}]: it has no 'type'. Known: {', '.join(registry.names())}.")
        elif isinstance(section, dict) and name in registry.names():
            found += _faults(registry.get(str(name)), section, f"guardrails.checks[{number}]")
    return found


def _build(section: dict[str, object], number: int) -> AnyCheck:
    """One entry of the configuration as a check, or an error that names the entry."""
    name = section.get("type")
    if not isinstance(name, str):
        raise ConfigError(f"guardrails.checks[{number}] has no 'type'.", hint=f"Known: {', '.join(registry.names())}.")
    kind = registry.get(name)
    if faults := _faults(kind, section, f"guardrails.checks[{number}]"):
        raise ConfigError(f"The check '{name}': {'; '.join(faults)}")
    return kind(kind.Settings.model_validate(section))


def _faults(kind: type[AnyCheck], section: dict[str, object], place: str) -> list[str]:
    try:
        kind.Settings.model_validate(section)
    except ValidationError as error:
        return [_fault(kind.Settings, fault, place) for fault in error.errors()]
    return []


def _fault(settings: type[BaseModel], fault: ErrorDetails, place: str) -> str:
    """One mistake, with what was probably meant."""
    model: Any = settings
    for step in fault["loc"]:
        if isinstance(step, int):
            place += f"[{step}]"
            continue
        place += f".{step}"
        field = getattr(model, "model_fields", {}).get(step)
        if field is not None:
            model = (typing.get_args(field.annotation) or (field.annotation,))[0]
    if fault["type"] != "extra_forbidden":
        return f"{place}: {fault['msg'].removeprefix('Value error, ')}."
    known = sorted(getattr(model, "model_fields", {}))
    return f"{place}: unknown key. {did_you_mean(str(fault['loc'][-1]), known)}"


def _request(request: ChatRequest, panel: Panel) -> ChatRequest:
    """The request after its text checks."""
    with panel.reading():
        if panel.checks.text and panel.checks.may_match(_document(request)):
            return leaves.request(request, panel)
    return request


def _rest(clean: T, panel: Panel, body_of: Callable[[T], Body] | None) -> Any:
    """The body after its text checks, where there is one and they changed it."""
    if body_of is None or not panel.checks.text:
        return None
    with panel.reading():
        body = body_of(clean)
        if body.has_hidden or panel.checks.may_match(body.raw):
            return rest.read(body, clean, panel.text)
    return None


def _document(value: Any) -> bytes:
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
            if kind is not ThinkingPart and ThinkingPart in channels:  # thinking ends where the answer begins
                _finish(parts, last[ThinkingPart], channels.pop(ThinkingPart))
            channel = channels.setdefault(kind, Channel(panel.checks.text, panel))
            last[kind] = len(parts)
            ends = isinstance(part, ThinkingPart) and (part.signature is not None or part.data is not None)
            part = _with_text(part, _joined(channel.feed([Piece(part.text)], is_last=ends)))
        parts.append(part)
    for kind, channel in channels.items():
        _finish(parts, last[kind], channel)
    parts = [_call_or_part(part, panel) for part in parts]
    old = choice.message.parts
    parts = [before if before == after else after for before, after in zip(old, parts, strict=True)]
    if all(before is after for before, after in zip(old, parts, strict=True)):
        return choice
    return msgspec.structs.replace(choice, message=msgspec.structs.replace(choice.message, parts=tuple(parts)))


def _finish(parts: list[Part], place: int, channel: Channel) -> None:
    """What a channel still held belongs to its last part."""
    rest, part = _joined(channel.feed([], is_last=True)), parts[place]
    if rest and isinstance(part, TextPart | RefusalPart | ThinkingPart):
        parts[place] = _with_text(part, part.text + rest)


def _call_or_part(part: Part, panel: Panel) -> Part:
    if isinstance(part, ToolCallPart):
        return panel.call(part)
    return part if isinstance(part, TextPart | RefusalPart | ThinkingPart) else leaves.part_of(part, panel)


def _with_text(part: TextPart | RefusalPart | ThinkingPart, text: str) -> TextPart | RefusalPart | ThinkingPart:
    return msgspec.structs.replace(part, text=text)


def _joined(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)
