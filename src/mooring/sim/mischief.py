"""How each fault misbehaves: a filter over the frames of an honest answer, down to single bytes.

A filter that stops early leaves the rest ungenerated, and so unbilled, unless the fault says that it is billed.
"""

import asyncio
import gzip
import hashlib
import re
from collections.abc import AsyncGenerator, Callable
from typing import NamedTuple

from .chat import Frame
from .dialect import OPENAI, Dialect
from .errors import Cut
from .faults import KINDS, Planted
from .wire import chunk, response, status_line

Frames = AsyncGenerator[Frame, None]
_JSON = "application/json"
_FLOOD = 64 * 1024


class Exchange(NamedTuple):
    """What a filter knows about the answer that it spoils."""

    planted: Planted
    request_id: str
    is_stream: bool
    head: Callable[..., bytes]  # the honest head of a stream
    answer: Callable[..., bytes]  # the honest unstreamed answer of a body
    dialect: Dialect = OPENAI

    def wire(self, frame: Frame) -> bytes:
        """The honest bytes of a frame."""
        if frame.kind == "raw":
            return frame.data
        if frame.kind == "head":
            return self.head()
        if frame.kind == "answer":
            return self.answer(frame.data)
        if frame.kind == "end":
            return chunk(b"")
        return chunk(frame.data) if frame.data else b""


Filter = Callable[[Frames, Exchange], Frames]
FILTERS: dict[str, Filter] = {}


def _filter(*kinds: str) -> Callable[[Filter], Filter]:
    def register(function: Filter) -> Filter:
        FILTERS.update(dict.fromkeys(kinds, function))
        return function

    return register


def _raw(data: bytes) -> Frame:
    return Frame("raw", data)


async def _generate(frames: Frames, exchange: Exchange) -> None:
    """Let the honest answer be generated and billed, if the fault says so; nobody gets it."""
    if exchange.planted.fault.bills:
        async for _ in frames:
            pass


def _noise(exchange: Exchange, size: int) -> bytes:
    """Bytes that are the same for the same request id and that no format allows."""
    return b"\xff\x00" + hashlib.shake_128(exchange.request_id.encode()).digest(size)


# instead of the answer --------------------------------------------------------


@_filter("status", "html", "error_200", "garbage", "garbage_http")
async def instead(frames: Frames, exchange: Exchange) -> Frames:
    """Another answer altogether."""
    await _generate(frames, exchange)
    fault = exchange.planted.fault
    identity = [("x-request-id", exchange.request_id)]
    error = exchange.dialect.error(fault.message, kind="server_error", status=fault.status)
    if fault.kind == "garbage_http":
        yield _raw(_noise(exchange, 512))
        raise Cut(is_reset=False)
    if fault.kind == "html":
        page = fault.body or "<!DOCTYPE html><html><body><h1>Welcome</h1><p>Please sign in.</p></body></html>"
        yield _raw(response(200, page.encode(), content_type="text/html", headers=identity))
    elif fault.kind == "error_200":
        yield _raw(response(200, error, headers=identity))
    elif fault.kind == "garbage":
        kind = fault.content_type or (exchange.dialect.stream_type if exchange.is_stream else _JSON)
        yield _raw(response(200, _noise(exchange, 512), content_type=kind, headers=identity))
    else:
        more = [*identity, *((name, _one_line(value)) for name, value in fault.headers.items())]
        if fault.retry_after is not None:
            more.append(("retry-after", _one_line(fault.retry_after)))
        body = error if fault.body is None else fault.body.encode()
        yield _raw(response(fault.status, body, content_type=fault.content_type or _JSON, headers=more))


def _one_line(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ")


@_filter("reset_before_headers", "close_before_headers")
async def nothing(frames: Frames, exchange: Exchange) -> Frames:
    """Not one byte."""
    await _generate(frames, exchange)
    yield _raw(b"")
    raise Cut(is_reset=exchange.planted.fault.kind.startswith("reset"))


@_filter("empty_stream")
async def empty(frames: Frames, exchange: Exchange) -> Frames:
    """A good head, no content, a good end."""
    await _generate(frames, exchange)
    yield _raw(exchange.head() + chunk(b"") if exchange.is_stream else exchange.answer(b""))


@_filter("flood")
async def flood(frames: Frames, exchange: Exchange) -> Frames:
    """One event, or one JSON string, of `size_bytes`, then an orderly end."""
    await _generate(frames, exchange)
    yield _raw(exchange.head(content_type=None if exchange.is_stream else _JSON))
    yield _raw(chunk(b'data: {"id":"' if exchange.is_stream else b'{"id":"'))
    left = exchange.planted.fault.size_bytes
    while left > 0:
        yield _raw(chunk(b"x" * min(left, _FLOOD)))
        left -= _FLOOD
    yield _raw(chunk(b'"}\n\n' if exchange.is_stream else b'"}') + chunk(b""))


@_filter("flood_headers")
async def flood_headers(frames: Frames, exchange: Exchange) -> Frames:
    """A head of `size_bytes`."""
    await _generate(frames, exchange)
    yield _raw(status_line(200))
    left = exchange.planted.fault.size_bytes
    line = b"x-padding: " + b"x" * 1000 + b"\r\n"
    while left > 0:
        yield _raw(line)
        left -= len(line)
    yield _raw(b"content-length: 0\r\n\r\n")


# cut short ----------------------------------------------------------------------


async def _until(frames: Frames, exchange: Exchange) -> Frames:
    """The frames before the one that the fault bites, which comes last, as `bite`."""
    events = 0
    after = exchange.planted.fault.after_events
    async for frame in frames:
        is_next = frame.kind in ("event", "finish") and events >= after and bool(frame.data)
        if is_next or frame.kind == "answer":
            yield frame._replace(kind="bite", data=exchange.wire(frame))
            return
        events += frame.kind == "event"
        yield frame


@_filter("reset_after_headers")
async def headers_only(frames: Frames, exchange: Exchange) -> Frames:
    """The head, then a reset."""
    first = await anext(frames)
    await _generate(frames, exchange)
    data = exchange.wire(first) if first.kind == "head" else exchange.answer(b"{}" * 64)
    yield _raw(data[: data.index(b"\r\n\r\n") + 4])
    raise Cut(is_reset=True)


@_filter(
    "reset_mid_chunk", "close_mid_chunk", "close_mid_stream", "early_end", "early_done", "error_event", "bad_chunk"
)
async def cut(frames: Frames, exchange: Exchange) -> Frames:
    """Good so far, then broken; what would have followed is generated only if `is_billed` says so outright."""
    fault = exchange.planted.fault
    async for frame in _until(frames, exchange):
        if frame.kind != "bite":
            yield frame
            continue
        if fault.is_billed:
            await _generate(frames, exchange)
        for part in _broken(exchange, frame.data):
            yield _raw(part)
        if fault.kind not in ("early_end", "early_done", "error_event"):
            raise Cut(is_reset=fault.kind.startswith("reset"))


def _broken(exchange: Exchange, data: bytes) -> list[bytes]:
    """What stands in the place of the frame that the fault bites."""
    kind = exchange.planted.fault.kind
    half = data[: len(data) // 2]
    if kind == "error_event":
        error = exchange.dialect.error(exchange.planted.fault.message, kind="server_error")
        return [chunk(exchange.dialect.event(error)) + chunk(b"")] if exchange.is_stream else [exchange.answer(error)]
    if kind == "bad_chunk":
        return [b"zz\r\nnot a chunk\r\n"] if exchange.is_stream else [half]
    if kind == "early_done":
        dialect = exchange.dialect
        return [chunk(dialect.done) + chunk(b"")] if exchange.is_stream else [exchange.answer(dialect.empty)]
    if kind == "early_end":
        body = data.partition(b"\r\n\r\n")[2]
        return [chunk(b"")] if exchange.is_stream else [exchange.answer(body[: len(body) // 2])]
    if kind == "close_mid_stream" and exchange.is_stream:
        return []
    return [half]


# slow and small -------------------------------------------------------------------


@_filter("stall_first_byte", "stall_mid_stream", "slow")
async def late(frames: Frames, exchange: Exchange) -> Frames:
    """Nothing wrong but the time it takes. A stall before the first byte has begun to bill, if it is billed at all."""
    planted = exchange.planted
    events = 0
    if planted.fault.kind == "stall_first_byte" and not planted.fault.bills:
        await planted.stall()
    async for frame in frames:
        is_due = planted.fault.kind == "stall_first_byte" and planted.fault.bills and events == 0
        is_middle = frame.kind in ("event", "finish", "answer") and events == planted.fault.after_events
        if is_due or (planted.fault.kind == "stall_mid_stream" and (is_middle or frame.kind == "answer")):
            await planted.stall()
        if planted.fault.kind == "slow" and frame.kind in ("tick", "event", "answer"):
            await asyncio.sleep(planted.fault.pace_ms / 1000)
        events += frame.kind == "event" or is_due
        yield frame


@_filter("one_byte")
async def one_byte(frames: Frames, exchange: Exchange) -> Frames:
    """Every byte in a write of its own, heads and chunk sizes too."""
    async for frame in frames:
        data = exchange.wire(frame)
        for position in range(len(data)):
            yield _raw(data[position : position + 1])


@_filter("drip", "drip_head")
async def drip(frames: Frames, exchange: Exchange) -> Frames:
    """One byte every `pace_ms`: of the body, or of the head."""
    fault = exchange.planted.fault
    async for frame in frames:
        data = exchange.wire(frame)
        head, separator, rest = data.partition(b"\r\n\r\n") if data.startswith(b"HTTP/") else (b"", b"", data)
        swift, slow = (head + separator, rest) if fault.kind == "drip" else (b"", head + separator)
        if swift:
            yield _raw(swift)
        for position in range(len(slow)):
            yield _raw(slow[position : position + 1])
            await asyncio.sleep(fault.pace_ms / 1000)
        if fault.kind == "drip_head" and rest:
            yield _raw(rest)


@_filter("crlf", "comments")
async def other_framing(frames: Frames, exchange: Exchange) -> Frames:
    """Server-sent events as other vendors write them: lines that end in CRLF, comments and named events between."""
    is_crlf = exchange.planted.fault.kind == "crlf"
    async for frame in frames:
        if frame.data.startswith(b"data: "):
            data = frame.data.replace(b"\n", b"\r\n") if is_crlf else b": PROCESSING\n\nevent: message\n" + frame.data
            frame = frame._replace(data=data)
        yield frame


@_filter("gzip")
async def packed(frames: Frames, exchange: Exchange) -> Frames:
    """A whole answer, compressed although nobody asked for it."""
    parts = [exchange.wire(frame) async for frame in frames if frame.kind in ("answer", "raw")]
    data = gzip.compress(parts[0].partition(b"\r\n\r\n")[2] if parts else b"data: [DONE]\n\n")
    kind = exchange.dialect.stream_type if exchange.is_stream else _JSON
    headers = [("x-request-id", exchange.request_id), ("content-encoding", "gzip")]
    yield _raw(response(200, data, content_type=kind, headers=headers))


@_filter("split_utf8")
async def split_utf8(frames: Frames, exchange: Exchange) -> Frames:
    """Chunks (unstreamed: writes) that end inside a character wherever one has several bytes."""
    async for frame in frames:
        data = exchange.wire(frame) if frame.kind == "answer" else frame.data
        parts = re.split(rb"(?<=[\xc2-\xf4])", data) if frame.kind in ("event", "answer") else []
        if len(parts) < 2:
            yield frame
            continue
        for part in parts:
            yield _raw(part) if frame.kind == "answer" else Frame("event", part)


# spoilt content -----------------------------------------------------------------------


@_filter("truncated_json", "malformed_sse")
async def spoilt(frames: Frames, exchange: Exchange) -> Frames:
    """One event of the stream is nonsense, the framing is good; an unstreamed body is half of itself."""
    fault = exchange.planted.fault
    nonsense = b"dat{a: nothing\n\nevent\ndata: {not json}\n\n: \xff\xfe\n\ndata: [1, 2\n\n"
    events = 0
    async for frame in frames:
        if frame.kind == "answer":
            yield frame._replace(data=frame.data[: len(frame.data) // 2])
            continue
        if frame.kind == "event":
            if events == fault.after_events:
                half = frame.data[: len(frame.data) // 2] + b"\n\n"
                frame = frame._replace(data=nonsense if fault.kind == "malformed_sse" else half)
            events += 1
        yield frame


@_filter("no_done", "no_usage", "wrong_usage")
async def unsettled(frames: Frames, exchange: Exchange) -> Frames:
    """The stream lacks its end, or the answer its usage, or the usage contradicts itself."""
    fault = exchange.planted.fault
    async for frame in frames:
        if frame.kind == "done" and fault.kind == "no_done":
            continue
        if frame.kind == "usage" and fault.kind == "no_usage" and exchange.dialect.has_usage_alone:
            continue
        if frame.kind in ("usage", "answer") and fault.kind != "no_done":
            frame = frame._replace(data=_other_usage(frame, exchange))
        yield frame


def _other_usage(frame: Frame, exchange: Exchange) -> bytes:
    fault, dialect = exchange.planted.fault, exchange.dialect
    usage = None if fault.kind == "no_usage" else fault.usage or dialect.wrong_usage
    return dialect.other_usage(frame.data, usage, is_event=frame.kind == "usage")


# odd but legal HTTP -----------------------------------------------------------------------


@_filter("wrong_content_type", "informational", "close_after", "close_delimited")
async def odd(frames: Frames, exchange: Exchange) -> Frames:
    """Another label, a 103 first, an end without notice, or a body that only the end of the connection ends."""
    fault = exchange.planted.fault
    is_plain = fault.kind == "close_delimited"
    if fault.kind == "informational":
        yield _raw(b"HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n")
    label = (fault.content_type or "text/plain") if fault.kind == "wrong_content_type" else None
    async for frame in frames:
        if label and frame.kind == "head":
            yield _raw(exchange.head(content_type=label))
        elif label and frame.kind == "answer":
            yield _raw(exchange.answer(frame.data, content_type=label))
        elif is_plain and frame.kind in ("head", "answer"):
            kind = exchange.dialect.stream_type if frame.kind == "head" else _JSON
            yield _raw(exchange.head(content_type=kind, is_chunked=False) + frame.data)
        elif is_plain and frame.kind not in ("tick", "end"):
            yield frame._replace(kind="raw")
        elif not is_plain or frame.kind == "tick":
            yield frame
    if fault.kind in ("close_after", "close_delimited"):
        raise Cut(is_reset=False)


assert set(FILTERS) == set(KINDS), "each kind has a filter"
