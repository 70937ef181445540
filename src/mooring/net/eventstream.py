"""AWS's binary event stream: frames with a checksum of their own, out of bytes that are cut anywhere.

A frame is its length, the length of its headers, a checksum of both, the headers, the payload, and a checksum of all
that came before it. After the published format (application/vnd.amazon.eventstream).
"""

import struct
import zlib
from collections.abc import Mapping
from typing import NamedTuple

from mooring.core.errors import TooLarge, UpstreamMalformed

_PRELUDE = struct.Struct(">II")
_CRC = struct.Struct(">I")
_LEAST = 16  # a frame without headers and payload
_TEXT = 7
# The sizes of the header values that have one; what texts and bytes take stands before them.
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_BYTES = 6


class StreamFrame(NamedTuple):
    """One frame: those headers that are texts, and the payload."""

    headers: dict[str, str]
    payload: bytes


class EventStreamParser:
    """`feed` bytes, get the frames that they complete; `close` when the stream is over."""

    def __init__(self, *, limit_bytes: int = 16 * 1024 * 1024) -> None:
        self._limit_bytes = limit_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[StreamFrame]:
        """The frames that are whole now, in order.

        Raises:
            UpstreamMalformed: a checksum or a length is wrong; nothing after it can be trusted.
            TooLarge: a frame passes the limit.
        """
        self._buffer += data
        frames: list[StreamFrame] = []
        start = 0
        while len(self._buffer) - start >= 12:
            total = self._length(start)
            if len(self._buffer) - start < total:
                break
            frames.append(_frame(bytes(self._buffer[start : start + total])))
            start += total
        del self._buffer[:start]
        return frames

    def close(self) -> None:
        """The stream has ended.

        Raises:
            UpstreamMalformed: in the middle of a frame.
        """
        if self._buffer:
            raise UpstreamMalformed(
                "The event stream ended in the middle of a frame.",
                is_billable=True,
                hint="The provider or a proxy cut it; ask again.",
            )

    def _length(self, start: int) -> int:
        """The length of the frame that begins here, once its own checksum vouches for it."""
        prelude = bytes(self._buffer[start : start + 12])
        total, headers = _PRELUDE.unpack_from(prelude)
        if _CRC.unpack_from(prelude, 8)[0] != zlib.crc32(prelude[:8]):
            raise _broken("its beginning has a wrong checksum")
        if total < _LEAST + headers:
            raise _broken("its lengths contradict each other")
        if total > self._limit_bytes:
            raise TooLarge(f"One frame of the stream is larger than {self._limit_bytes} bytes.")
        return int(total)


def _frame(data: bytes) -> StreamFrame:
    if _CRC.unpack_from(data, len(data) - 4)[0] != zlib.crc32(data[:-4]):
        raise _broken("it has a wrong checksum")
    end = 12 + _PRELUDE.unpack_from(data)[1]
    try:
        return StreamFrame(_headers(data[12:end]), data[end:-4])
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise _broken("its headers cannot be read") from error


def _headers(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(data):
        name_end = at + 1 + data[at]
        name, kind = data[at + 1 : name_end].decode(), data[name_end]
        at = name_end + 1
        if kind in (_TEXT, _BYTES):
            (size,) = struct.unpack_from(">H", data, at)
            at += 2
        elif kind in _SIZES:
            size = _SIZES[kind]
        else:
            raise IndexError(kind)
        if at + size > len(data):
            raise IndexError(at)
        if kind == _TEXT:
            found[name] = data[at : at + size].decode()
        at += size
    return found


def _broken(why: str) -> UpstreamMalformed:
    return UpstreamMalformed(f"A frame of the event stream is broken: {why}.", is_billable=True)


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """The bytes of one frame."""
    written = b"".join(
        bytes([len(name.encode())]) + name.encode() + b"\x07" + struct.pack(">H", len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    prelude = _PRELUDE.pack(_LEAST + len(written) + len(payload), len(written))
    body = prelude + _CRC.pack(zlib.crc32(prelude)) + written + payload
    return body + _CRC.pack(zlib.crc32(body))
