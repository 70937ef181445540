"""Guards a stream event by event.

For every way to cut the same answer into events, what comes out adds up to the same. Each string channel (text,
thinking and refusal of each choice) has its own hold-back; a tool call waits until it is whole. An event that nothing
changed is passed on as the very object that came in, so that the bytes it was decoded from can pass too.
"""

from mooring.core.events import (
    Accumulator,
    ChoiceEnd,
    Event,
    MessageEnd,
    RefusalDelta,
    StreamError,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStart,
)
from mooring.core.messages import ToolCallPart
from mooring.core.text import utf8_bytes

from .check import Verdict
from .panel import Panel
from .rest import Opaque
from .rest_stream import RestGuard
from .scanner import Channel, Piece

TextEvent = TextDelta | ThinkingDelta | RefusalDelta


class StreamGuard:
    """`feed` every event in order, then `finish`; both raise `BlockedByCheck`, and then nothing more may be sent."""

    def __init__(self, panel: Panel, counting: "StreamGuard | None" = None) -> None:
        """`counting` reads what goes out, and only its verdicts count: how many marks the caller will get back."""
        checks = panel.checks
        self._counting = counting
        self._panel = panel
        self._channels: dict[tuple[int, type[TextEvent]], Channel] = {}
        self._calls: dict[tuple[int, int], tuple[ToolCallStart, list[ToolCallDelta], list[Event]]] = {}
        self._guards_text = bool(checks.text)
        self._guards_calls = bool(checks.text or checks.tool_call)
        self._final = [check for check in checks.all if check.streaming == "final"]
        self._held: list[Event] = []
        self._limits = [(limit, check) for check in checks.response if (limit := check.max_stream_bytes()) is not None]
        self._bytes = 0
        # Nothing is configured that could change or stop this stream: events need not be fed at all.
        self.is_idle = not (self._guards_calls or self._final or self._limits or counting)

    def rest(self, opaque: Opaque) -> RestGuard | None:
        """What reads the events' own data beside their canonical form; None where no check reads text."""
        return RestGuard(self._panel, opaque) if self._guards_text else None

    @property
    def verdicts(self) -> list[Verdict]:
        """All that was not allow so far, for the journal."""
        return [*self._panel.verdicts, *(self._counting.verdicts if self._counting else ())]

    def feed(self, event: Event) -> list[Event]:
        """The events that may go out now."""
        if self.is_idle:
            return [event]
        if self._limits:
            self._count(event)
        events = self._guarded(event)
        if self._final:
            self._held += events
            events = self._let_go() if isinstance(event, MessageEnd | StreamError) else []
        return self._read(events)

    def finish(self) -> list[Event]:
        """What is still held when the stream is over, whole or not."""
        self._held += self._close(None)
        events = self._read(self._let_go())
        if self._counting:
            self._counting.finish()
        return events

    def _read(self, events: list[Event]) -> list[Event]:
        if self._counting:
            for event in events:
                self._counting.feed(event)
        return events

    def _guarded(self, event: Event) -> list[Event]:
        match event:
            case TextDelta() | ThinkingDelta() | RefusalDelta() if self._guards_text:
                return self._text(event)
            case ToolCallStart() | ToolCallDelta() if self._guards_calls:
                self._gather(event)
                return []
            case ChoiceEnd():
                return [*self._close(event.choice), event]
            case MessageEnd() | StreamError():
                return [*self._close(None), event]
            case _:
                return [event]

    def _text(self, event: TextEvent) -> list[Event]:
        key = (event.choice, type(event))
        thoughts = (event.choice, ThinkingDelta)
        if key != thoughts and thoughts in self._channels:  # thinking ends where the answer begins
            rest = self._events(thoughts, self._channels.pop(thoughts).feed([], is_last=True))
            return [*rest, *self._text(event)]
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = Channel(self._panel.checks.text, self._panel)
        if not isinstance(event, ThinkingDelta) or (event.signature is None and event.data is None):
            return self._events(key, channel.feed([Piece(event.text, event)]))
        # A signature ends its block of thinking, and must not overtake the text that it signs.
        events = self._events(key, channel.feed([Piece(event.text, event)], is_last=True))
        if not any(out is event for out in events):
            events.append(ThinkingDelta("", event.signature, event.data, event.choice))
        return events

    @staticmethod
    def _events(key: tuple[int, type[TextEvent]], pieces: list[Piece]) -> list[Event]:
        choice, kind = key
        return [piece.event or kind(text=piece.text, choice=choice) for piece in pieces if piece.event or piece.text]

    def _gather(self, event: ToolCallStart | ToolCallDelta) -> None:
        key = (event.choice, event.index)
        if key not in self._calls:
            start = ToolCallStart(index=event.index, id="", name="", choice=event.choice)
            self._calls[key] = (start, [], [])
        start, deltas, originals = self._calls[key]
        originals.append(event)
        if isinstance(event, ToolCallDelta):
            deltas.append(event)
        else:
            self._calls[key] = (event, deltas, originals)

    def _close(self, choice: int | None) -> list[Event]:
        """Everything that one choice (or all of them) still holds: first its texts, then its tool calls."""
        events: list[Event] = []
        for key, channel in self._channels.items():
            if choice is None or key[0] == choice:
                events += self._events(key, channel.feed([], is_last=True))
        for call in [key for key in sorted(self._calls) if choice is None or key[0] == choice]:
            events += self._call(*self._calls.pop(call))
        return events

    def _call(self, start: ToolCallStart, deltas: list[ToolCallDelta], originals: list[Event]) -> list[Event]:
        arguments = "".join(delta.arguments for delta in deltas)
        part = ToolCallPart(id=start.id, name=start.name, arguments=arguments, signature=start.signature)
        clean = self._panel.call(part)
        if clean is part:
            return originals
        return [
            ToolCallStart(start.index, start.id, clean.name, start.choice, start.signature),
            ToolCallDelta(start.index, clean.arguments, start.choice),
        ]

    def _let_go(self) -> list[Event]:
        """The held events, once the checks that need the whole answer have seen it."""
        held, self._held = self._held, []
        checks = [check for check in self._final if "response" in check.sees]
        if checks and held:
            whole = Accumulator()
            for event in held:
                whole.add(event)
            self._panel.whole(whole.response(), checks)
        return held

    def _count(self, event: Event) -> None:
        match event:
            case TextDelta() | ThinkingDelta() | RefusalDelta():
                self._bytes += utf8_bytes(event.text)
            case ToolCallDelta():
                self._bytes += utf8_bytes(event.arguments)
        for limit, check in self._limits:
            if self._bytes > limit:
                reason = f"the answer is over the limit of {limit} bytes"
                self._panel.record(Verdict(action="block", check=check.name, reason=reason))
