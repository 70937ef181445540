"""Streams of the responses wire: numbered events, in which items are added, grow and are done."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from mooring.core.errors import UpstreamMalformed
from mooring.core.events import (
    Accumulator,
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
from mooring.core.messages import ChatResponse, RefusalPart, TextPart, ThinkingPart

from .. import Fields
from .items import Item, call_item, message_item, parts_of, reasoning_item, said
from .response import decode_response, response_object, status_of

_encode = msgspec.json.encode


class _Failure(msgspec.Struct):
    code: str | None = None
    message: str | None = None


class _Failed(msgspec.Struct):
    error: _Failure | None = None


class _Event(msgspec.Struct):
    type: str = ""
    response: msgspec.Raw = msgspec.Raw(b"")
    item: Item | None = None
    item_id: str = ""
    delta: str = ""
    message: str | None = None
    code: str | None = None


class _Started(msgspec.Struct):
    id: str = ""
    model: str = ""
    created_at: float = 0


_decode = msgspec.json.Decoder(_Event).decode
_decode_started = msgspec.json.Decoder(_Started).decode
_decode_failed = msgspec.json.Decoder(_Failed).decode
_CALLS = ("function_call", "custom_tool_call")


class Decoder:
    """One stream's state: which item is which call. What the last event repeats is not said twice."""

    def __init__(self) -> None:
        self._calls: dict[str, int] = {}
        self._handlers: dict[str, Callable[[_Event], list[Event]]] = {
            "response.created": self._started,
            "response.output_item.added": self._added,
            "response.output_item.done": self._done,
            "response.output_text.delta": lambda event: [TextDelta(event.delta)],
            "response.refusal.delta": lambda event: [RefusalDelta(event.delta)],
            "response.reasoning_summary_text.delta": lambda event: [ThinkingDelta(event.delta)],
            "response.reasoning_text.delta": lambda event: [ThinkingDelta(event.delta)],
            "response.function_call_arguments.delta": self._arguments,
            "response.custom_tool_call_input.delta": self._arguments,
            "response.completed": self._ended,
            "response.incomplete": self._ended,
            "response.failed": self._failed,
            "error": self._broken,
        }

    def feed(self, data: bytes) -> list[Event]:
        """The canonical events of one event.

        Raises:
            UpstreamMalformed: not JSON, or fields of another type.
        """
        if data.strip() in (b"", b"[DONE]"):  # what compatible servers end with
            return []
        try:
            event = _decode(data)
            handle = self._handlers.get(event.type)  # none for what only repeats, or for an event of a later day
            return handle(event) if handle is not None else []
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamMalformed(f"An event is not in the responses format: {error}.", is_billable=True) from error

    def _started(self, event: _Event) -> list[Event]:
        found = _decode_started(event.response)
        return [MessageStart(found.id, found.model, int(found.created_at))]

    def _added(self, event: _Event) -> list[Event]:
        item = event.item
        if item is None or item.type not in _CALLS:
            return []
        place = self._calls[item.id or ""] = len(self._calls)
        return [ToolCallStart(place, item.call_id or "", item.name or "")]

    def _done(self, event: _Event) -> list[Event]:
        """A thought's signature stands where it is whole; all else has been said by then."""
        item = event.item
        if item is None or item.type != "reasoning" or not item.encrypted_content:
            return []
        thought = parts_of(item, {})[0]
        assert isinstance(thought, ThinkingPart)
        return [ThinkingDelta("", thought.signature, thought.data)]

    def _arguments(self, event: _Event) -> list[Event]:
        return [ToolCallDelta(self._calls[event.item_id], event.delta)] if event.item_id in self._calls else []

    def _ended(self, event: _Event) -> list[Event]:
        found = decode_response(bytes(event.response))
        usage: list[Event] = [UsageReport(found.usage)] if found.usage is not None else []
        return [ChoiceEnd(found.choices[0].finish_reason), *usage, MessageEnd()]

    def _failed(self, event: _Event) -> list[Event]:
        error = _decode_failed(event.response).error or _Failure()
        return [StreamError(code=error.code or "upstream_error", message=error.message or "It failed.")]

    def _broken(self, event: _Event) -> list[Event]:
        return [StreamError(code=event.code or "upstream_error", message=event.message or "It failed.")]


class Encoder:
    """One stream's state on the way out: the items so far, which one is open, and the next event's number."""

    def __init__(self, asked: Fields) -> None:
        self._asked = asked
        self._number = 0
        self._whole = Accumulator()
        self._start = MessageStart("", "")
        self._items: list[dict[str, Any]] = []
        self._open: str | None = None  # the kind of event that the last item grows by
        self._texts: list[str] = []
        self._signature: ThinkingDelta = ThinkingDelta()

    def observe(self, data: bytes, events: Sequence[Event]) -> None:
        """What was written before is counted as if it were written here."""
        self.encode(events)

    def encode(self, events: Sequence[Event]) -> bytes:
        """Whole server-sent events."""
        return b"".join([self._one(event) for event in events])

    def _one(self, event: Event) -> bytes:
        self._whole.add(event)
        match event:
            case MessageStart():
                self._start = event
                started = self._response("in_progress")
                return self._say("response.created", response=started) + self._say(
                    "response.in_progress", response=started
                )
            case TextDelta() | RefusalDelta():
                return self._said(event)
            case ThinkingDelta():
                return self._thought(event)
            case ToolCallStart():
                return self._add("call", call_item(self._id("fc"), event.id, event.name, "", "in_progress"))
            case ToolCallDelta():
                self._texts.append(event.arguments)
                return self._more("response.function_call_arguments.delta", event.arguments)
            case _:
                return self._closing(event)

    def _closing(self, event: ChoiceEnd | UsageReport | MessageEnd | StreamError) -> bytes:
        match event:
            case ChoiceEnd():
                return self._done()
            case UsageReport():
                return b""
            case MessageEnd():
                found = self._whole.response()
                status = status_of(found.choices[0].finish_reason if found.choices else "stop")
                return self._done() + self._say(f"response.{status}", response=self._response(status))
            case StreamError():
                error = {"code": event.code, "message": event.message, "param": None}
                return self._say("error", **error, error={**error, "type": "server_error"})

    def _response(self, status: str) -> dict[str, Any]:
        found: ChatResponse = self._whole.response()
        return response_object(found, self._asked, list(self._items) if status != "in_progress" else [], status)

    # Items -------------------------------------------------------------------

    def _said(self, event: TextDelta | RefusalDelta) -> bytes:
        kind = "text" if isinstance(event, TextDelta) else "refusal"
        opened = b""
        if self._open != kind:
            opened = self._add(kind, message_item(self._id("msg"), [], "in_progress"))
            empty = said(TextPart("") if kind == "text" else RefusalPart(""))
            opened += self._in_item("response.content_part.added", content_index=0, part=empty)
        self._texts.append(event.text)
        more: dict[str, Any] = {"logprobs": []} if kind == "text" else {}
        name = "output_text" if kind == "text" else "refusal"
        return opened + self._in_item(f"response.{name}.delta", content_index=0, delta=event.text, **more)

    def _thought(self, event: ThinkingDelta) -> bytes:
        opened = b""
        if self._open != "thought":
            opened = self._add("thought", reasoning_item(self._id("rs"), ThinkingPart()))
            self._signature = ThinkingDelta()
        if event.signature is not None or event.data is not None:
            self._signature = event
        if event.text:
            if not self._texts:
                part = {"type": "summary_text", "text": ""}
                opened += self._in_item("response.reasoning_summary_part.added", summary_index=0, part=part)
            self._texts.append(event.text)
            opened += self._in_item("response.reasoning_summary_text.delta", summary_index=0, delta=event.text)
        return opened

    def _add(self, kind: str, item: dict[str, Any]) -> bytes:
        closed = self._done()
        self._open = kind
        self._items.append(item)
        return closed + self._say("response.output_item.added", output_index=len(self._items) - 1, item=item)

    def _done(self) -> bytes:
        """The open item is whole."""
        if self._open is None:
            return b""
        kind, text = self._open, "".join(self._texts)
        self._open = None
        self._texts.clear()
        item = self._items[-1]
        written = b""
        match kind:
            case "text" | "refusal":
                part = said(TextPart(text) if kind == "text" else RefusalPart(text))
                item = message_item(item["id"], [part])
                name, more = ("output_text", {"text": text, "logprobs": []}) if kind == "text" else (
                    "refusal", {"refusal": text}
                )  # fmt: skip
                written += self._in_item(f"response.{name}.done", content_index=0, **more)
                written += self._in_item("response.content_part.done", content_index=0, part=part)
            case "call":
                item = {**item, "arguments": text, "status": "completed"}
                name_of = {"name": item["name"]}
                written += self._in_item("response.function_call_arguments.done", arguments=text, **name_of)
            case "thought":
                thought = ThinkingPart(text, self._signature.signature, self._signature.data)
                item = reasoning_item(item["id"], thought)
                if text:
                    written += self._in_item("response.reasoning_summary_text.done", summary_index=0, text=text)
                    part = item["summary"][0]
                    written += self._in_item("response.reasoning_summary_part.done", summary_index=0, part=part)
        self._items[-1] = item
        return written + self._say("response.output_item.done", output_index=len(self._items) - 1, item=item)

    def _id(self, prefix: str) -> str:
        place = len(self._items)
        return f"{prefix}_{place}_{self._start.id.rpartition('_')[2]}"

    def _more(self, kind: str, delta: str) -> bytes:
        return self._in_item(kind, delta=delta)

    def _in_item(self, kind: str, **fields: Any) -> bytes:
        return self._say(kind, item_id=self._items[-1]["id"], output_index=len(self._items) - 1, **fields)

    def _say(self, kind: str, **fields: Any) -> bytes:
        data = _encode({"type": kind, "sequence_number": self._number, **fields})
        self._number += 1
        return sse(kind, data)


def sse(kind: str, data: bytes) -> bytes:
    """One server-sent event, named by its type."""
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"
