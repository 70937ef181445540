"""Anthropic streams: the `data` of each server-sent event to canonical events, and back."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from mooring.core.errors import UpstreamMalformed
from mooring.core.events import (
    ChoiceEnd,
    Event,
    MessageEnd,
    MessageStart,
    RefusalDelta,
    StreamError,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageReport,
)
from mooring.core.usage import Usage

from ..openai_chat.errors import describe
from .errors import error_object
from .message import Block, arguments_of
from .response import STOP_REASONS, WireUsage, encode_usage, finish_of, trusted_usage


class _Delta(msgspec.Struct):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Message(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    usage: WireUsage | None = None


class _Typed(msgspec.Struct):
    type: str = "message"


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    message: _Message | None = None
    content_block: Block | None = None
    delta: _Delta | None = None
    usage: WireUsage | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Event).decode
_encode = msgspec.json.encode
_decode_type = msgspec.json.Decoder(_Typed).decode


class Decoder:
    """One stream's state: the usage so far, and which tool call each block is."""

    def __init__(self) -> None:
        self._usage = WireUsage()
        self._tools: dict[int, int] = {}
        self._handlers: dict[str, Callable[[_Event, bytes], list[Event]]] = {
            "message_start": lambda event, _: self._started(event.message or _Message()),
            "content_block_start": lambda event, _: self._opened(event.index, event.content_block),
            "content_block_delta": lambda event, _: self._more(event.index, event.delta or _Delta()),
            "message_delta": lambda event, _: self._closing(event),
            "message_stop": lambda *_: [MessageEnd()],
            "error": lambda _, data: [_broken(data)],
        }

    def feed(self, data: bytes) -> list[Event]:
        """The canonical events of one event.

        Raises:
            UpstreamMalformed: not JSON, or fields of another type.
        """
        if not data.strip():
            return []
        try:
            event = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamMalformed(
                f"An event of the stream is not in the Anthropic format: {error}.", is_billable=True
            ) from error
        handle = self._handlers.get(event.type)  # none for a ping, the end of a block, or an event of a later day
        return handle(event, data) if handle is not None else []

    def _started(self, message: _Message) -> list[Event]:
        self._count(message.usage)  # of a stream that is cut nobody may settle these: they grow until its end
        return [MessageStart(id=message.id or "", model=message.model or "")]

    def _count(self, usage: WireUsage | None) -> None:
        """The totals so far: what an event leaves out stays as it was."""
        if usage is None:
            return
        for name in WireUsage.__struct_fields__:
            value = getattr(usage, name)
            if value is not None:
                setattr(self._usage, name, value)

    def _opened(self, index: int, block: Block | None) -> list[Event]:
        if block is None:
            return []
        match block.type:
            case "text" if block.text:
                return [TextDelta(block.text)]
            case "thinking" if block.thinking or block.signature:
                return [ThinkingDelta(block.thinking or "", block.signature or None)]
            case "redacted_thinking":
                return [ThinkingDelta(data=block.data or "")]
            case "tool_use":
                place = self._tools[index] = len(self._tools)
                events: list[Event] = [ToolCallStart(place, block.id or "", block.name or "")]
                arguments = arguments_of(block.input)
                return [*events, ToolCallDelta(place, arguments)] if arguments != "{}" else events
        return []

    def _more(self, index: int, delta: _Delta) -> list[Event]:
        match delta.type:
            case "text_delta" if delta.text:
                return [TextDelta(delta.text)]
            case "thinking_delta" if delta.thinking:
                return [ThinkingDelta(delta.thinking)]
            case "signature_delta":
                return [ThinkingDelta(signature=delta.signature)]
            case "input_json_delta" if index in self._tools and delta.partial_json:
                return [ToolCallDelta(self._tools[index], delta.partial_json)]
        return []

    def _closing(self, event: _Event) -> list[Event]:
        events: list[Event] = []
        if event.delta is not None and event.delta.stop_reason is not None:
            events.append(ChoiceEnd(finish_of(event.delta.stop_reason)))
        self._count(event.usage)
        usage = trusted_usage(self._usage) if event.usage is not None else None
        return events if usage is None else [*events, UsageReport(usage)]


def _broken(data: bytes) -> StreamError:
    described = describe(data)
    return StreamError(code=described.type or "upstream_error", message=described.message)


class Encoder:
    """One stream's state on the way out: which block is open, and what the last event but one must tell."""

    def __init__(self) -> None:
        self._open: str | None = None
        self._index = -1
        self._usage: Usage | None = None
        self._end: ChoiceEnd | None = None

    def observe(self, data: bytes, events: Sequence[Event]) -> None:
        """An event that passed as it came: what is written from here on follows it."""
        try:
            event = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if event.type == "content_block_start" and event.content_block is not None:
            self._index, self._open = event.index, event.content_block.type
        elif event.type == "content_block_stop":
            self._open = None

    def encode(self, events: Sequence[Event]) -> bytes:
        """Whole server-sent events, with blocks opened and closed around them."""
        return b"".join([self._one(event) for event in events])

    def _one(self, event: Event) -> bytes:
        match event:
            case MessageStart():
                return self._start(event)
            case TextDelta() | RefusalDelta():
                return self._more("text", {"type": "text", "text": ""}, {"type": "text_delta", "text": event.text})
            case ThinkingDelta():
                return self._think(event)
            case ToolCallStart():
                block = {"type": "tool_use", "id": event.id, "name": event.name, "input": {}}
                return self._opened("tool_use", block)
            case ToolCallDelta():
                return self._delta({"type": "input_json_delta", "partial_json": event.arguments})
            case _:
                return self._closing(event)

    def _closing(self, event: UsageReport | ChoiceEnd | MessageEnd | StreamError) -> bytes:
        match event:
            case UsageReport():
                self._usage = event.usage
                return b""
            case ChoiceEnd():
                self._end = event
                return b""
            case MessageEnd():
                return self._finish()
            case StreamError():
                return sse(_encode(error_object(event.status, event.message, event.code)))

    def _start(self, event: MessageStart) -> bytes:
        message: dict[str, Any] = {
            "id": event.id, "type": "message", "role": "assistant", "model": event.model, "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": encode_usage(self._usage),
        }  # fmt: skip
        return sse(_encode({"type": "message_start", "message": message}))

    def _think(self, event: ThinkingDelta) -> bytes:
        if event.data is not None:
            return self._opened("redacted_thinking", {"type": "redacted_thinking", "data": event.data})
        block = {"type": "thinking", "thinking": "", "signature": ""}
        written = b""
        if event.text:
            written += self._more("thinking", block, {"type": "thinking_delta", "thinking": event.text})
        if event.signature is not None:
            written += self._more("thinking", block, {"type": "signature_delta", "signature": event.signature})
            written += self._closed()
        return written

    def _more(self, kind: str, block: dict[str, Any], delta: dict[str, Any]) -> bytes:
        opened = b"" if self._open == kind else self._opened(kind, block)
        return opened + self._delta(delta)

    def _opened(self, kind: str, block: dict[str, Any]) -> bytes:
        closed = self._closed()
        self._open = kind
        self._index += 1
        return closed + sse(_encode({"type": "content_block_start", "index": self._index, "content_block": block}))

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return sse(_encode({"type": "content_block_delta", "index": self._index, "delta": delta}))

    def _closed(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return sse(_encode({"type": "content_block_stop", "index": self._index}))

    def _finish(self) -> bytes:
        """The end: nothing but the last event where the others passed as they came."""
        last = sse(b'{"type":"message_stop"}')
        if self._end is None:
            return last
        reason = STOP_REASONS[self._end.finish_reason]
        delta = {"stop_reason": reason, "stop_sequence": None}
        event = {"type": "message_delta", "delta": delta, "usage": encode_usage(self._usage)}
        return self._closed() + sse(_encode(event)) + last


def sse(data: bytes) -> bytes:
    """One server-sent event, named by its type."""
    return b"event: " + _decode_type(data).type.encode() + b"\ndata: " + data + b"\n\n"
