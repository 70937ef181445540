"""How a wire cuts its stream into events: server-sent events, unless it has frames of its own."""

from typing import Protocol

from mooring.net.sse import SseParser


class Framing(Protocol):
    """Bytes in, the data of each event out."""

    def feed(self, data: bytes) -> list[bytes]:
        """What these bytes complete.

        Raises:
            UpstreamMalformed: they are not of this wire.
            TooLarge: an event passes the limit.
        """
        ...

    def close(self) -> None:
        """The stream is over.

        Raises:
            UpstreamMalformed: in the middle of an event.
        """
        ...


class SseFraming:
    """Server-sent events; strict where every event of the wire has data."""

    def __init__(self, limit_bytes: int, *, is_strict: bool = False) -> None:
        self._parser = SseParser(limit_bytes=limit_bytes, is_strict=is_strict)
        self.close = self._parser.close

    def feed(self, data: bytes) -> list[bytes]:
        return [event.data.encode() for event in self._parser.feed(data)]
