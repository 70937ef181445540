"""Canonical stream events, and how they add up to a response.

Every stream is `MessageStart`, then deltas, one `ChoiceEnd` per choice, at most one `UsageReport`, then `MessageEnd`,
or a `StreamError` in the place of whatever was missing. A stream without `MessageEnd` or `StreamError` is broken.
"""

from collections.abc import Iterable

import msgspec

from .messages import (
    ChatResponse,
    Choice,
    FinishReason,
    Message,
    Part,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)
from .usage import Usage


class MessageStart(msgspec.Struct, frozen=True, tag="start"):
    id: str
    model: str
    created_at: int = 0


class TextDelta(msgspec.Struct, frozen=True, tag="text"):
    text: str
    choice: int = 0


class ThinkingDelta(msgspec.Struct, frozen=True, tag="thinking", omit_defaults=True):
    text: str = ""
    signature: str | None = None
    data: str | None = None
    choice: int = 0


class RefusalDelta(msgspec.Struct, frozen=True, tag="refusal"):
    text: str
    choice: int = 0


class ToolCallStart(msgspec.Struct, frozen=True, tag="tool_start", omit_defaults=True):
    """`index` counts the tool calls of one choice from 0."""

    index: int
    id: str
    name: str
    choice: int = 0
    signature: str | None = None


class ToolCallDelta(msgspec.Struct, frozen=True, tag="tool_delta"):
    """More of the arguments' JSON of the tool call `index`."""

    index: int
    arguments: str
    choice: int = 0


class ChoiceEnd(msgspec.Struct, frozen=True, tag="choice_end"):
    finish_reason: FinishReason
    choice: int = 0


class UsageReport(msgspec.Struct, frozen=True, tag="usage"):
    """Totals so far; the last one counts."""

    usage: Usage


class MessageEnd(msgspec.Struct, frozen=True, tag="end"):
    """The terminal event of a whole stream."""


class StreamError(msgspec.Struct, frozen=True, tag="error", omit_defaults=True):
    """The terminal event of a broken one: code and message as the client will see them."""

    code: str
    message: str
    status: int = 502


Event = (
    MessageStart
    | TextDelta
    | ThinkingDelta
    | RefusalDelta
    | ToolCallStart
    | ToolCallDelta
    | ChoiceEnd
    | UsageReport
    | MessageEnd
    | StreamError
)


class Accumulator:
    """Adds events up; streamed and unstreamed answers end in the same response."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.is_complete = False
        self.error: StreamError | None = None
        self._start = MessageStart(id="", model="")
        self._choices: dict[int, _Open] = {}

    def add(self, event: Event) -> None:
        match event:
            case MessageStart():
                self._start = event
            case UsageReport():
                self.usage = event.usage
            case MessageEnd():
                self.is_complete = True
            case StreamError():
                self.error = event
            case _:
                self._choices.setdefault(event.choice, _Open()).add(event)

    def response(self) -> ChatResponse:
        """What has come so far, as a response."""
        choices = tuple(open_.choice(index) for index, open_ in sorted(self._choices.items()))
        return ChatResponse(
            id=self._start.id,
            model=self._start.model,
            choices=choices,
            usage=self.usage,
            created_at=self._start.created_at,
        )


class _Open:
    """One choice in the making; text and tool fragments are joined once, at the end."""

    def __init__(self) -> None:
        self._runs: list[tuple[type, list[str]]] = []
        self._thinking: ThinkingDelta = ThinkingDelta()
        self._tools: dict[int, tuple[ToolCallStart, list[str]]] = {}
        self._finish: FinishReason = "error"

    def add(self, event: TextDelta | ThinkingDelta | RefusalDelta | ToolCallStart | ToolCallDelta | ChoiceEnd) -> None:
        match event:
            case ToolCallStart():
                self._tools[event.index] = (event, [])
            case ToolCallDelta():
                start = ToolCallStart(index=event.index, id="", name="")
                self._tools.setdefault(event.index, (start, []))[1].append(event.arguments)
            case ChoiceEnd():
                self._finish = event.finish_reason
            case _:
                if isinstance(event, ThinkingDelta):
                    self._thinking = ThinkingDelta(
                        signature=event.signature or self._thinking.signature, data=event.data or self._thinking.data
                    )
                if not self._runs or self._runs[-1][0] is not type(event):
                    self._runs.append((type(event), []))
                self._runs[-1][1].append(event.text)

    def choice(self, index: int) -> Choice:
        parts: list[Part] = [self._part(kind, "".join(texts)) for kind, texts in self._runs]
        for _, (start, texts) in sorted(self._tools.items()):
            parts.append(
                ToolCallPart(id=start.id, name=start.name, arguments="".join(texts), signature=start.signature)
            )
        return Choice(index=index, message=Message(role="assistant", parts=tuple(parts)), finish_reason=self._finish)

    def _part(self, kind: type, text: str) -> Part:
        if kind is TextDelta:
            return TextPart(text)
        if kind is RefusalDelta:
            return RefusalPart(text)
        return ThinkingPart(text=text, signature=self._thinking.signature, data=self._thinking.data)


def events_of(response: ChatResponse) -> Iterable[Event]:
    """A whole answer as the events that add up to it: how a recorded answer becomes a stream."""
    yield MessageStart(id=response.id, model=response.model, created_at=response.created_at)
    for choice in response.choices:
        index = 0
        for part in choice.message.parts:
            match part:
                case TextPart():
                    yield TextDelta(part.text, choice.index)
                case ThinkingPart():
                    yield ThinkingDelta(part.text, part.signature, part.data, choice.index)
                case RefusalPart():
                    yield RefusalDelta(part.text, choice.index)
                case ToolCallPart():
                    yield ToolCallStart(index, part.id, part.name, choice.index, part.signature)
                    yield ToolCallDelta(index, part.arguments, choice.index)
                    index += 1
                case _:
                    raise TypeError(f"An answer cannot hold a {type(part).__name__}.")
        yield ChoiceEnd(choice.finish_reason, choice.index)
    if response.usage is not None:
        yield UsageReport(response.usage)
    yield MessageEnd()
