"""Ids: UUIDv7 as 16 bytes, shown as `prefix_` + 26 characters of lower-case base32 (Crockford's alphabet)."""

import os
import threading
from collections.abc import Callable
from typing import Literal

from .clock import Clock, SystemClock
from .errors import InvalidRequest

Prefix = Literal["run", "call", "att", "key", "doc", "chunk", "col", "exp", "proc", "rel", "bud", "job", "resp"]
NewId = Callable[[], bytes]

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}


class IdSource:
    """Makes ids that increase within this process, even within one millisecond and over a clock step back."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._last = 0
        self._random = b""

    def __call__(self) -> bytes:
        """A new UUIDv7: 48 bits of unix milliseconds, 12 bits of counter, 62 random bits."""
        with self._lock:
            moment = (self._clock.now_us() // 1000) << 12
            self._last = moment if moment > self._last else self._last + 1
            high = self._last
            if not self._random:  # asked for in bulk: each look into the kernel gives the interpreter to other threads
                self._random = os.urandom(2048)
            drawn, self._random = self._random[:8], self._random[8:]
        random = int.from_bytes(drawn) & ((1 << 62) - 1)
        return ((high >> 12) << 80 | 0x7 << 76 | (high & 0xFFF) << 64 | 0b10 << 62 | random).to_bytes(16)


new_id: NewId = IdSource()


def show(prefix: Prefix, value: bytes) -> str:
    """`show("run", id)` is `run_01k…`."""
    number = int.from_bytes(value)
    return prefix + "_" + "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])


def read(prefix: Prefix, text: str) -> bytes:
    """The 16 bytes behind a shown id.

    Raises:
        InvalidRequest: another prefix, length or alphabet.
    """
    head, _, body = text.partition("_")
    if head != prefix or len(body) != 26 or not all(character in _VALUES for character in body):
        raise InvalidRequest(f"'{text[:60]}' is not an id of the form {prefix}_….", param="id")
    number = 0
    for character in body:
        number = number << 5 | _VALUES[character]
    if number >> 128:
        raise InvalidRequest(f"'{text[:60]}' is not an id of the form {prefix}_….", param="id")
    return number.to_bytes(16)
