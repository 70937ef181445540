"""OpenAI chat streams: the `data` of each server-sent event to canonical events, and back."""

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

from .errors import describe
from .message import WireFunction, WireToolCall
from .response import WireUsage, encode_usage, finish_of, trusted_usage

DONE = b"[DONE]"
_NULL_USAGE = b',"usage":null}'


class _Delta(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[WireToolCall] | None = None
    function_call: WireFunction | None = None


class _ChunkChoice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    created: float | None = None
    choices: list[_ChunkChoice] | None = None
    usage: WireUsage | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.encode


class Decoder:
    """One stream's state: what has started, and which tool call each wire index means."""

    def __init__(self) -> None:
        self._has_started = False
        self._tools: dict[int, _Tools] = {}

    def feed(self, data: bytes) -> list[Event]:
        """The canonical events of one chunk.

        Raises:
            UpstreamMalformed: not JSON, or fields of another type.
        """
        try:
            chunk = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return _without_json(data, error)
        if chunk.error is not None:
            described = describe(data)
            return [StreamError(code=described.code or "upstream_error", message=described.message)]
        events: list[Event] = []
        if not self._has_started:
            self._has_started = True
            events.append(MessageStart(id=chunk.id or "", model=chunk.model or "", created_at=int(chunk.created or 0)))
        for choice in chunk.choices or ():
            if choice.delta is not None:
                self._delta(choice.index, choice.delta, events)
            if choice.finish_reason is not None:
                events.append(ChoiceEnd(finish_of(choice.finish_reason), choice.index))
        if chunk.usage is not None:
            usage = trusted_usage(chunk.usage)
            if usage is not None:
                events.append(UsageReport(usage))
        return events

    def _delta(self, choice: int, delta: _Delta, events: list[Event]) -> None:
        if delta.reasoning_content or delta.reasoning:
            events.append(ThinkingDelta(delta.reasoning_content or delta.reasoning or "", choice=choice))
        if delta.content:
            events.append(TextDelta(delta.content, choice))
        if delta.refusal:
            events.append(RefusalDelta(delta.refusal, choice))
        if delta.tool_calls or delta.function_call is not None:
            calls = delta.tool_calls or []
            if delta.function_call is not None:
                calls = [WireToolCall(index=0, function=delta.function_call)]
            for call in calls:
                self._tools.setdefault(choice, _Tools()).add(choice, call, events)


def _without_json(data: bytes, error: Exception) -> list[Event]:
    """The word that ends a stream, or nothing at all."""
    word = data.strip()
    if word == DONE:
        return [MessageEnd()]
    if word:
        raise UpstreamMalformed(
            f"An event of the stream is not in the OpenAI format: {error}.", is_billable=True
        ) from error
    return []


class _Tools:
    """The tool calls of one choice: vendors leave the index out, or repeat it for another id, so appearance counts."""

    def __init__(self) -> None:
        self._count = 0
        self._at: dict[int, int] = {}
        self._ids: dict[int, str] = {}

    def add(self, choice: int, call: WireToolCall, events: list[Event]) -> None:
        wire = call.index if call.index is not None else self._guess(call)
        index = self._at.get(wire)
        if index is None or (call.id and self._ids[index] and call.id != self._ids[index]):
            index = self._at[wire] = self._count
            self._ids[index] = call.id or ""
            self._count += 1
            events.append(ToolCallStart(index, call.id or "", call.name, choice))
        if call.arguments:
            events.append(ToolCallDelta(index, call.arguments, choice))

    def _guess(self, call: WireToolCall) -> int:
        is_new = bool(call.id) and call.id not in self._ids.values()
        return self._count if is_new or self._count == 0 else self._count - 1


class Encoder:
    """One stream's state on the way out: every chunk repeats the answer's id and model."""

    def __init__(self, *, wants_usage: bool) -> None:
        self._wants_usage = wants_usage
        self._head: dict[str, Any] = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": ""}

    def observe(self, data: bytes, events: Sequence[Event]) -> None:
        """The head of the answer is repeated in every chunk that is written after it."""
        for event in events:
            if isinstance(event, MessageStart):
                self._head.update(id=event.id, created=event.created_at, model=event.model)

    def encode(self, events: Sequence[Event]) -> bytes:
        """One server-sent event per canonical event that this wire can say."""
        return b"".join(self._one(event) for event in events)

    def _one(self, event: Event) -> bytes:
        match event:
            case MessageStart():
                self._head.update(id=event.id, created=event.created_at, model=event.model)
                return self._delta(0, {"role": "assistant", "content": ""})
            case TextDelta():
                return self._delta(event.choice, {"content": event.text})
            case ThinkingDelta():
                return self._delta(event.choice, {"reasoning_content": event.text})
            case RefusalDelta():
                return self._delta(event.choice, {"refusal": event.text})
            case ToolCallStart() | ToolCallDelta():
                return self._delta(event.choice, {"tool_calls": [_wire_tool(event)]})
            case _:
                return self._closing(event)

    def _closing(self, event: ChoiceEnd | UsageReport | MessageEnd | StreamError) -> bytes:
        match event:
            case ChoiceEnd():
                reason = event.finish_reason if event.finish_reason != "error" else "stop"
                return self._delta(event.choice, {}, reason)
            case UsageReport():
                if not self._wants_usage:
                    return b""
                return sse(_encode(self._head | {"choices": [], "usage": encode_usage(event.usage)}))
            case MessageEnd():
                return sse(DONE)
            case StreamError():
                return sse(
                    _encode(
                        {
                            "error": {
                                "message": event.message,
                                "type": "upstream_error",
                                "param": None,
                                "code": event.code,
                            }
                        }
                    )
                )

    def _delta(self, choice: int, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        return sse(
            _encode(self._head | {"choices": [{"index": choice, "delta": delta, "finish_reason": finish_reason}]})
        )


def _wire_tool(event: ToolCallStart | ToolCallDelta) -> dict[str, Any]:
    if isinstance(event, ToolCallDelta):
        return {"index": event.index, "function": {"arguments": event.arguments}}
    return {
        "index": event.index,
        "id": event.id,
        "type": "function",
        "function": {"name": event.name, "arguments": ""},
    }


def sse(data: bytes) -> bytes:
    """One server-sent event."""
    return b"data: " + data + b"\n\n"


def without_usage(data: bytes) -> bytes | None:
    """A chunk for a caller who did not ask for usage; None where it held nothing else."""
    if data.endswith(_NULL_USAGE):
        return data[: -len(_NULL_USAGE)] + b"}"
    if b'"usage"' not in data:
        return data
    fields = _decode_fields(data)
    if "usage" not in fields:
        return data  # the word stands in the text
    usage = bytes(fields.pop("usage"))
    if usage != b"null" and bytes(fields.get("choices", msgspec.Raw(b"[]"))).strip(b"[] \t\r\n") == b"":
        return None
    return _encode(fields)
