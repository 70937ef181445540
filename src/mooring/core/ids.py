"""Ids: UUIDv7 as 16 bytes, shown as `prefix_` + 26 characters of lower-case base32 (Crockford's alphabet)."""

import functools
import os
import re
import struct
import threading
from collections.abc import Callable
from typing import Literal

from .clock import Clock, SystemClock
from .errors import InvalidRequest

Prefix = Literal[
    "run", "call", "att", "key", "doc", "chunk", "col", "exp", "proc", "rel", "bud", "job", "resp", "file", "batch"
]
NewId = Callable[[], bytes]

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_HALVES = struct.Struct(">QQ")
_DRAWS = struct.Struct(">256Q")
_BODY = re.compile(f"[{_ALPHABET}]{{26}}")
_TO_BASE_32 = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")  # which `int` reads


class IdSource:
    """Makes ids that increase within this process, even within one millisecond and over a clock step back."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._last = 0
        self._draws: list[int] = []

    def __call__(self) -> bytes:
        """A new UUIDv7: 48 bits of unix milliseconds, 12 bits of counter, 62 random bits."""
        with self._lock:
            high = self._clock.now_us() // 1000 << 12
            if high <= self._last:
                high = self._last + 1
            self._last = high
            if not self._draws:  # asked for in bulk: each look into the kernel gives the interpreter to other threads
                self._draws = list(_DRAWS.unpack(os.urandom(_DRAWS.size)))
            draw = self._draws.pop()
        return _HALVES.pack((high & -4096) << 4 | 0x7000 | high & 0xFFF, draw >> 2 | 1 << 63)


new_id: NewId = IdSource()


def show(prefix: Prefix, value: bytes) -> str:
    """`show("run", id)` is `run_01k…`."""
    return f"{prefix}_{_shown(value)}"


@functools.lru_cache(1024)
def _shown(value: bytes) -> str:
    """A call's id is shown in a few places while it is answered."""
    n, pair = int.from_bytes(value), _PAIRS
    return (  # written out, it takes half the time
        f"{pair[n >> 120]}{pair[n >> 110 & 1023]}{pair[n >> 100 & 1023]}{pair[n >> 90 & 1023]}"
        f"{pair[n >> 80 & 1023]}{pair[n >> 70 & 1023]}{pair[n >> 60 & 1023]}{pair[n >> 50 & 1023]}"
        f"{pair[n >> 40 & 1023]}{pair[n >> 30 & 1023]}{pair[n >> 20 & 1023]}{pair[n >> 10 & 1023]}{pair[n & 1023]}"
    )


def read(prefix: Prefix, text: str) -> bytes:
    """The 16 bytes behind a shown id.

    Raises:
        InvalidRequest: another prefix, length or alphabet.
    """
    head, _, body = text.partition("_")
    number = int(body.translate(_TO_BASE_32), 32) if head == prefix and _BODY.fullmatch(body) else -1
    if not 0 <= number < 1 << 128:
        raise InvalidRequest(f"'{text[:60]}' is not an id of the form {prefix}_….", param="id")
    return number.to_bytes(16)
