"""The last step to the caller: an answer's marks become the values that the caller's own request held.

The journal keeps the answer with its marks. What they stand for is read from the request again each time, so a recorded
answer, one that runs for somebody else and one that is replayed come out the same, and nothing has to be stored.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

from mooring.core.errors import MooringError
from mooring.guardrails.check import GuardContext
from mooring.guardrails.guardrails import Guardrails
from mooring.guardrails.stream import StreamGuard

from .asked import Asked
from .codecs import Codec, Fields
from .inbound import Outbound

_BREAK = re.compile(rb"\r?\n\r?\n")


def restored(guardrails: Guardrails, asked: Asked, outbound: Outbound) -> Outbound:
    """The answer as whoever asked may see it; the very same where nothing was masked."""
    if outbound.status != 200 or asked.codec.kind != "chat":
        return outbound
    context = asked.context = guardrails.remember(asked.request, asked.context)
    guard = guardrails.restoring(context)
    if guard is None:
        return outbound
    body = outbound.body
    if not isinstance(body, bytes):
        outbound.body = _Stream(body, Frames(asked.codec, guard, asked.fields, wants_usage=asked.request.wants_usage))
    else:
        outbound.body = whole(guardrails, asked.codec, body, context, asked.fields)
    return outbound


def whole(guardrails: Guardrails, codec: Codec, body: bytes, context: GuardContext, asked: Fields) -> bytes:
    """A recorded body, be it one answer or the events of a stream."""
    guard = guardrails.restoring(context)
    if guard is None:
        return body
    if not body.lstrip().startswith(b"{"):
        frames = Frames(codec, guard, asked, wants_usage=True)
        return frames.feed(body) + frames.close()
    checked = guardrails.restore(codec.decode_response(body), context)
    return codec.rewrite_response(body, checked.value) if checked.is_changed else body


class Frames:
    """Server-sent events in, the same events out; only one that changes is written again, wherever chunks are cut."""

    def __init__(self, codec: Codec, guard: StreamGuard, asked: Fields, *, wants_usage: bool) -> None:
        self._decoder = codec.decoder()
        self._encoder = codec.encoder(wants_usage=wants_usage, asked=asked)
        self._is_stateful = codec.is_stateful
        self._passes = True
        self._guard = guard
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """What may go out now."""
        return b"".join(self._frame(frame) for frame in self._frames(data))

    def close(self) -> bytes:
        """What is left when the stream is over, whole or not."""
        rest, self._rest = self._rest, b""
        return self._encoder.encode(self._guard.finish()) + rest

    def _frames(self, data: bytes) -> Iterator[bytes]:
        data = self._rest + data
        at = 0
        for match in _BREAK.finditer(data):
            yield data[at : match.end()]
            at = match.end()
        self._rest = data[at:]

    def _frame(self, frame: bytes) -> bytes:
        lines = [line[5:].strip() for line in frame.splitlines() if line.startswith(b"data:")]
        if not lines:
            return frame
        payload = b"\n".join(lines)
        try:
            events = self._decoder.feed(payload)
        except MooringError:
            return frame  # nothing of this wire: it goes as it was recorded
        kept = [out for event in events for out in self._guard.feed(event)]
        ahead = len(kept) - len(events)
        is_same = ahead >= 0 and all(new is old for new, old in zip(kept[ahead:], events, strict=True))
        if self._is_stateful and not (is_same and ahead == 0):
            self._passes = False  # what was held back comes later than what stood after it: from here on, anew
        if not (self._passes and is_same):
            return self._encoder.encode(kept)
        held = self._encoder.encode(kept[:ahead]) if ahead else b""
        self._encoder.observe(payload, events)
        return held + frame


class _Stream:
    """The stream of an answer, restored; closing it closes the one behind it, read or not."""

    def __init__(self, body: AsyncIterator[bytes], frames: Frames) -> None:
        self._body = body
        self._chunks = self._read(frames)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._chunks)

    async def aclose(self) -> None:
        await self._chunks.aclose()
        await self._close_body()

    async def _read(self, frames: Frames) -> AsyncGenerator[bytes, None]:
        async for data in self._body:
            if out := frames.feed(data):
                yield out
        if out := frames.close():
            yield out

    async def _close_body(self) -> None:
        close = getattr(self._body, "aclose", None)
        if close is not None:
            await close()
