"""Server-sent events out of bytes, cut anywhere: in a line, in a line end, in a character.

After the WHATWG's event stream interpretation, with one difference: an event that the end of the stream cuts off is not
dropped in silence, `close` reports it.
"""

from typing import NamedTuple

from mooring.core.errors import TooLarge, UpstreamMalformed

_BOM = b"\xef\xbb\xbf"
_HEARTBEATS = frozenset({"ping", "heartbeat", "keepalive", "keep-alive"})


class SseEvent(NamedTuple):
    """`event` is "message" where the stream names none; `id` is the last one seen."""

    event: str
    data: str
    id: str


class SseParser:
    """`feed` bytes, get the events they complete. `retry_ms` and `last_id` are what a reconnect would use.

    Events without data are not events; comments are dropped; bytes that are not UTF-8 become U+FFFD. On a wire whose
    every event has data (`is_strict`), one without has lost it, unless its name is that of a heartbeat.
    """

    def __init__(self, *, limit_bytes: int = 16 * 1024 * 1024, is_strict: bool = False) -> None:
        self.last_id = ""
        self.retry_ms: int | None = None
        self._limit_bytes = limit_bytes
        self._is_strict = is_strict
        self._tail: list[bytes] = []  # an unfinished line, in the pieces it came in
        self._tail_bytes = 0
        self._ends_in_cr = False
        self._is_first_line = True
        self._event = ""
        self._data: list[str] = []
        self._has_fields = False
        self._is_torn = False  # a line that is no field: the start of one, where an event was cut
        self._event_bytes = 0

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that these bytes complete, in order.

        Raises:
            TooLarge: an event or a line passes the limit.
            UpstreamMalformed: strict, and an event has lost its data.
        """
        events: list[SseEvent] = []
        if self._ends_in_cr and data:
            self._ends_in_cr = False
            if data[0] == 0x0A:  # the other half of a CRLF, whose CR has already ended the line
                data = data[1:]
        if not data:
            return events
        if b"\r" in data:
            self._ends_in_cr = data[-1] == 0x0D
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = data.split(b"\n")
        rest = lines.pop()
        if lines and self._tail:
            self._tail.append(lines[0])
            lines[0] = b"".join(self._tail)
            self._tail.clear()
            self._tail_bytes = 0
        for line in lines:
            self._take_line(line, events)
        if rest:
            self._tail.append(rest)
            self._tail_bytes += len(rest)
            self._check_size(self._tail_bytes)
        return events

    def close(self) -> None:
        """The stream has ended.

        Raises:
            UpstreamMalformed: in the middle of an event.
        """
        if self._tail or self._has_fields:
            raise UpstreamMalformed(
                "The event stream ended in the middle of an event.",
                is_billable=True,
                hint="The provider or a proxy cut it; ask again.",
            )

    def _take_line(self, line: bytes, events: list[SseEvent]) -> None:
        if self._is_first_line:
            self._is_first_line = False
            line = line.removeprefix(_BOM)
        if not line:
            self._dispatch(events)
            return
        self._check_size(len(line))
        if line[0] == 0x3A:  # ":", a comment
            return
        self._event_bytes += len(line)
        name, _, value = line.partition(b":")
        self._take_field(name, (value[1:] if value[:1] == b" " else value).decode("utf-8", "replace"))

    def _take_field(self, name: bytes, value: str) -> None:
        if name == b"data":
            self._data.append(value)
            self._has_fields = True
        elif name == b"event":
            self._event = value
            self._has_fields = True
        elif name == b"id":
            if "\0" not in value:
                self.last_id = value
        elif name == b"retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value[:9])
        elif name != b"retry":
            self._is_torn = True

    def _dispatch(self, events: list[SseEvent]) -> None:
        if self._data:
            events.append(SseEvent(self._event or "message", "\n".join(self._data), self.last_id))
            self._data = []
        elif self._is_strict and (self._is_torn or (self._has_fields and self._event not in _HEARTBEATS)):
            raise UpstreamMalformed(
                "An event of the stream has no data.",
                is_billable=True,
                hint="The provider or a proxy cut it; ask again.",
            )
        self._event = ""
        self._has_fields = False
        self._is_torn = False
        self._event_bytes = 0

    def _check_size(self, more: int) -> None:
        if self._event_bytes + more > self._limit_bytes:
            raise TooLarge(
                f"One event of the stream is larger than {self._limit_bytes} bytes.", hint="Ask for shorter answers."
            )
