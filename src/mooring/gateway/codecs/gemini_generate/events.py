"""Gemini streams: the `data` of each server-sent event to canonical events, and back.

There is no terminal event: the last chunk says why each answer ends, and the body ends.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

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
from mooring.core.messages import ThinkingPart, ToolCallPart
from mooring.core.usage import Usage

from ..openai_chat.errors import describe
from .errors import error_object
from .message import part_of, wire_part
from .response import (
    FINISH_REASONS,
    Candidate,
    encode_usage,
    finish_of,
    made_id,
    malformed,
    read_response,
    trusted_usage,
)

_encode = msgspec.json.encode


class Decoder:
    """One stream's state: what has started, how many calls each choice has made, and whether it is ending."""

    def __init__(self) -> None:
        self._has_started = False
        self._is_ending = False
        self._id = ""
        self._calls: dict[int, int] = {}

    def feed(self, data: bytes) -> list[Event]:
        """The canonical events of one chunk.

        Raises:
            UpstreamMalformed: not JSON, or fields of another type.
        """
        if not data.strip():
            return []
        chunk = read_response(data)
        if chunk.error is not None:
            return [StreamError(code="upstream_error", message=describe(data).message)]
        events: list[Event] = []
        if not self._has_started:
            self._has_started = True
            self._id = chunk.response_id or ""
            events.append(MessageStart(id=self._id, model=chunk.model_version or ""))
        for candidate in chunk.candidates or ():
            self._candidate(candidate, events)
        if chunk.prompt_feedback is not None and chunk.prompt_feedback.block_reason:
            self._is_ending = True
            events.append(ChoiceEnd("content_filter"))
        if self._is_ending:  # before the end its figures grow: of a stream that is cut nobody may settle them
            usage = trusted_usage(chunk.usage_metadata)
            if usage is not None:
                events.append(UsageReport(usage))
        return events

    def _candidate(self, candidate: Candidate, events: list[Event]) -> None:
        choice = candidate.index
        for raw in (candidate.content.parts if candidate.content else None) or ():
            count = self._calls.get(choice, 0)
            try:
                part = part_of(raw, made_id(self._id, count))
            except (msgspec.ValidationError, RecursionError) as error:
                raise malformed(error) from error
            if isinstance(part, ToolCallPart):
                self._calls[choice] = count + 1
                events.append(ToolCallStart(count, part.id, part.name, choice, part.signature))
                events.append(ToolCallDelta(count, part.arguments, choice))
            elif isinstance(part, ThinkingPart):
                events.append(ThinkingDelta(part.text, part.signature, choice=choice))
            elif raw.get("text"):
                events.append(TextDelta(raw["text"], choice))
        if candidate.finish_reason is not None:
            self._is_ending = True
            events.append(ChoiceEnd(finish_of(candidate.finish_reason, has_calls=choice in self._calls), choice))


class Encoder:
    """One stream's state on the way out: calls go whole, all ends and the usage in the last chunk."""

    def __init__(self) -> None:
        self._head = {"modelVersion": "", "responseId": ""}
        self._calls: dict[int, tuple[ToolCallStart, list[str]]] = {}
        self._ends: list[ChoiceEnd] = []
        self._usage: Usage | None = None

    def observe(self, data: bytes, events: Sequence[Event]) -> None:
        """The head of the answer is repeated in every chunk that is written after it."""
        for event in events:
            if isinstance(event, MessageStart):
                self._head = {"modelVersion": event.model, "responseId": event.id}

    def encode(self, events: Sequence[Event]) -> bytes:
        """One chunk per canonical event that this wire can say."""
        return b"".join([self._one(event) for event in events])

    def _one(self, event: Event) -> bytes:
        match event:
            case MessageStart():
                self.observe(b"", [event])
                return b""
            case TextDelta() | RefusalDelta():
                return self._parts(event.choice, [{"text": event.text}])
            case ThinkingDelta():
                part = wire_part(ThinkingPart(event.text, event.signature))
                return self._parts(event.choice, [part or {}])
            case ToolCallStart():
                whole = self._whole(event.choice)
                self._calls[event.choice] = (event, [])
                return whole
            case ToolCallDelta():
                if event.choice in self._calls:
                    self._calls[event.choice][1].append(event.arguments)
                return b""
            case _:
                return self._closing(event)

    def _closing(self, event: ChoiceEnd | UsageReport | MessageEnd | StreamError) -> bytes:
        match event:
            case ChoiceEnd():
                self._ends.append(event)
                return self._whole(event.choice)
            case UsageReport():
                self._usage = event.usage
                return b""
            case MessageEnd():
                return self._last()
            case StreamError():
                return sse(_encode(error_object(event.status, event.message, event.code)))

    def _whole(self, choice: int) -> bytes:
        """The call that is complete now."""
        if choice not in self._calls:
            return b""
        start, texts = self._calls.pop(choice)
        part = wire_part(ToolCallPart(start.id, start.name, "".join(texts), start.signature))
        return self._parts(choice, [part or {}])

    def _parts(self, choice: int, parts: list[dict[str, Any]]) -> bytes:
        candidate = {"content": {"parts": parts, "role": "model"}, "index": choice}
        return sse(_encode({"candidates": [candidate], **self._head}))

    def _last(self) -> bytes:
        """Nothing where the last chunk passed as it came."""
        if not self._ends:
            return b""
        candidates = [
            {
                "content": {"parts": [{"text": ""}], "role": "model"},
                "finishReason": FINISH_REASONS[end.finish_reason],
                "index": end.choice,
            }
            for end in self._ends
        ]
        fields: dict[str, Any] = {"candidates": candidates, **self._head}
        if self._usage is not None:
            fields["usageMetadata"] = encode_usage(self._usage)
        return sse(_encode(fields))


def sse(data: bytes) -> bytes:
    """One server-sent event, with the line ends that Google sends."""
    return b"data: " + data + b"\r\n\r\n"
