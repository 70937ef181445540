"""ConverseStream: binary frames to canonical events, and back.

A frame's data is told on as one object, named by the frame's type: `{"contentBlockDelta": {...}}`. The stream ends with
`metadata`, which holds the usage; an exception inside the stream is a frame of its own kind.
"""

from collections.abc import Sequence
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
from mooring.net.eventstream import EventStreamParser, StreamFrame, frame

from .errors import name_of
from .message import its_id
from .response import STOP_REASONS, Told, encode_usage, finish_of, trusted_usage

_encode = msgspec.json.encode


class _Use(msgspec.Struct, rename="camel"):
    tool_use_id: str = ""
    name: str = ""
    type: str | None = None


class _Begun(msgspec.Struct, frozen=True, rename="camel"):
    tool_use: _Use | None = None


class _Start(msgspec.Struct, rename="camel"):
    start: _Begun = _Begun()
    content_block_index: int = 0


class _Arguments(msgspec.Struct):
    input: str = ""


class _Reasoning(msgspec.Struct, rename="camel"):
    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class _Grown(msgspec.Struct, frozen=True, rename="camel"):
    text: str | None = None
    tool_use: _Arguments | None = None
    reasoning_content: _Reasoning | None = None


class _Delta(msgspec.Struct, rename="camel"):
    delta: _Grown = _Grown()
    content_block_index: int = 0


class _Stop(msgspec.Struct, rename="camel"):
    content_block_index: int = 0


class _End(msgspec.Struct, rename="camel"):
    stop_reason: str | None = None


class _Broken(msgspec.Struct):
    name: str = ""
    message: str | None = None


class _Event(msgspec.Struct, rename="camel"):
    message_start: Any = None
    content_block_start: _Start | None = None
    content_block_delta: _Delta | None = None
    content_block_stop: _Stop | None = None
    message_stop: _End | None = None
    metadata: Told | None = None
    exception: _Broken | None = None


_decode = msgspec.json.Decoder(_Event).decode


class Framing:
    """Frames in, the data of each out, under its type."""

    def __init__(self, limit_bytes: int) -> None:
        self._parser = EventStreamParser(limit_bytes=limit_bytes)
        self.close = self._parser.close

    def feed(self, data: bytes) -> list[bytes]:
        return [_data_of(one) for one in self._parser.feed(data)]


def _data_of(one: StreamFrame) -> bytes:
    kind = one.headers.get(":message-type", "event")
    if kind == "event":
        return b"{%b:%b}" % (_encode(one.headers.get(":event-type", "")), one.payload or b"{}")
    name = one.headers.get(":exception-type") or one.headers.get(":error-code") or kind
    message = one.headers.get(":error-message")
    try:
        told = msgspec.json.decode(one.payload, type=_Broken)
        message = told.message or message
    except (msgspec.DecodeError, UnicodeDecodeError):
        message = message or one.payload[:300].decode(errors="replace")
    return _encode({"exception": {"name": name, "message": message}})


class Decoder:
    """One stream's state: which tool call each block is, and whether its arguments have begun."""

    def __init__(self) -> None:
        self._tools: dict[int, int] = {}
        self._silent: set[int] = set()

    def feed(self, data: bytes) -> list[Event]:
        """The canonical events of one frame.

        Raises:
            UpstreamMalformed: not JSON, or fields of another type.
        """
        try:
            event = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamMalformed(
                f"A frame of the stream is not in the Converse format: {error}.", is_billable=True
            ) from error
        if event.content_block_delta is not None:
            return self._more(event.content_block_delta)
        if event.content_block_start is not None:
            return self._opened(event.content_block_start)
        if event.content_block_stop is not None:
            return self._closed(event.content_block_stop.content_block_index)
        return self._around(event)

    def _around(self, event: _Event) -> list[Event]:
        """What is said of the message as a whole."""
        if event.message_start is not None:
            return [MessageStart(id="", model="")]
        if event.message_stop is not None:
            return [ChoiceEnd(finish_of(event.message_stop.stop_reason))]
        if event.metadata is not None:
            usage = trusted_usage(event.metadata)
            return [MessageEnd()] if usage is None else [UsageReport(usage), MessageEnd()]
        if event.exception is not None:
            message = event.exception.message or event.exception.name
            return [StreamError(code=event.exception.name, message=f"{event.exception.name}: {message}")]
        return []  # a kind of a later day

    def _opened(self, block: _Start) -> list[Event]:
        use = block.start.tool_use
        if use is None or use.type is not None:
            return []
        place = self._tools[block.content_block_index] = len(self._tools)
        self._silent.add(block.content_block_index)
        return [ToolCallStart(place, use.tool_use_id, use.name)]

    def _more(self, block: _Delta) -> list[Event]:
        index, delta = block.content_block_index, block.delta
        if delta.text:
            return [TextDelta(delta.text)]
        if delta.tool_use is not None and index in self._tools and delta.tool_use.input:
            self._silent.discard(index)
            return [ToolCallDelta(self._tools[index], delta.tool_use.input)]
        thought = delta.reasoning_content
        if thought is not None and (thought.text or thought.signature or thought.redacted_content):
            return [ThinkingDelta(thought.text or "", thought.signature, thought.redacted_content)]
        return []

    def _closed(self, index: int) -> list[Event]:
        """A call without arguments has said nothing; other wires want the empty object."""
        if index not in self._silent:
            return []
        self._silent.discard(index)
        return [ToolCallDelta(self._tools[index], "{}")]


class Encoder:
    """One stream's state on the way out: which block is open, and what the last frames must tell."""

    def __init__(self) -> None:
        self._open: str | None = None
        self._index = -1
        self._usage: Usage | None = None

    def observe(self, data: bytes, events: Sequence[Event]) -> None:
        """What was written before is counted as if it were written here."""
        self.encode(events)

    def encode(self, events: Sequence[Event]) -> bytes:
        """Whole frames, with blocks closed between them."""
        return b"".join([self._one(event) for event in events])

    def _one(self, event: Event) -> bytes:
        match event:
            case MessageStart():
                return _say("messageStart", role="assistant")
            case TextDelta() | RefusalDelta():
                return self._grow("text", {"text": event.text})
            case ThinkingDelta():
                return self._think(event)
            case ToolCallStart():
                use = {"toolUse": {"toolUseId": its_id(event.id), "name": event.name}}
                return self._next("tool") + _say("contentBlockStart", start=use, contentBlockIndex=self._index)
            case ToolCallDelta():
                return self._grow("tool", {"toolUse": {"input": event.arguments}})
            case _:
                return self._closing(event)

    def _closing(self, event: UsageReport | ChoiceEnd | MessageEnd | StreamError) -> bytes:
        match event:
            case UsageReport():
                self._usage = event.usage
                return b""
            case ChoiceEnd():
                return self._close() + _say("messageStop", stopReason=STOP_REASONS[event.finish_reason])
            case MessageEnd():
                return _say("metadata", usage=encode_usage(self._usage), metrics={"latencyMs": 0})
            case StreamError():
                return exception(event.status, event.message)

    def _think(self, event: ThinkingDelta) -> bytes:
        written = b""
        if event.data is not None:
            return self._next("thought") + self._grow("thought", {"reasoningContent": {"redactedContent": event.data}})
        if event.text:
            written += self._grow("thought", {"reasoningContent": {"text": event.text}})
        if event.signature is not None:
            written += self._grow("thought", {"reasoningContent": {"signature": event.signature}})
        return written

    def _grow(self, kind: str, delta: dict[str, Any]) -> bytes:
        opened = b"" if self._open == kind else self._next(kind)
        return opened + _say("contentBlockDelta", delta=delta, contentBlockIndex=self._index)

    def _next(self, kind: str) -> bytes:
        closed = self._close()
        self._open = kind
        self._index += 1
        return closed

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return _say("contentBlockStop", contentBlockIndex=self._index)


def _say(kind: str, **fields: Any) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, _encode(fields))


def framed(data: bytes) -> bytes:
    """An event's data as it is told on, in its frame again."""
    ((kind, payload),) = msgspec.json.decode(data, type=dict[str, msgspec.Raw]).items()
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, bytes(payload))


def exception(status: int, message: str) -> bytes:
    """The frame of an error inside a stream."""
    headers = {":exception-type": name_of(status), ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, _encode({"message": message}))
