r"""Text as the PII shapes read it: one byte for each character that counts, and where each of them stood.

People and programs write the same address in many ways. Full-width and look-alike letters become the ASCII ones they
look like, characters without a width are left out, and `\u0040` or `%40` count as the one character they mean. What is
found keeps its place in the text as it was written.
"""

import bisect
import codecs
import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

LETTER = 0xE4  # any letter that has no ASCII look-alike
OTHER = 0xBF  # anything else: never part of a value
_NOTHING = b"\x9d"  # what has no width, and is left out
WIDTHLESS = "\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff"

_ODD = re.compile(rf"\\+u([0-9a-fA-F]{{4}})|\\+([nrtbf])|%40|[{WIDTHLESS}]+")
_CUT_SHORT = re.compile(r"(?:\\+(?:u[0-9a-fA-F]{0,3})?|%4?)\Z")
_WIDTHLESS = re.compile(f"[{WIDTHLESS}]")
_LOOK_ALIKE = dict(
    zip(
        "АВЕЅІЈКМНОРСТУХаеѕіјорсухΑΒΕΖΗΙΚΜΝΟΡΤΥΧο﹫。｡․‐‑‒–—―−﹘﹣",
        "ABESIJKMHOPCTYXaesijopcyxABEZHIKMNOPTYXo@...---------",
        strict=True,
    )
)


class Segment(NamedTuple):
    """Bytes that stood together: `width` 0 for one that each is a character, else how long the one byte was written."""

    byte: int
    place: int
    width: int = 0


class Plain(NamedTuple):
    """`segments` say where the bytes of `data` stood; none: each at its own index.

    `open_at` is where an escape begins that the text's end cuts short, else the text's length.
    """

    data: bytes
    segments: Sequence[Segment]
    open_at: int

    def span(self, start: int, end: int) -> tuple[int, int]:
        """`[start, end)` of the data as a part of the text."""
        if not self.segments or end <= start:
            return start, end
        return self._place(start)[0], self._place(end - 1)[1]

    def byte_at(self, place: int) -> int:
        """The first byte of the data that stood at `place` of the text or after it."""
        if not self.segments:
            return place
        number = bisect.bisect_right(self.segments, place, key=lambda segment: segment.place) - 1
        if number < 0:
            return 0
        byte, start, width = self.segments[number]
        after = self.segments[number + 1].byte if number + 1 < len(self.segments) else len(self.data)
        return min(after, byte + (min(1, place - start) if width else place - start))

    def _place(self, byte: int) -> tuple[int, int]:
        number = bisect.bisect_right(self.segments, byte, key=lambda segment: segment.byte) - 1
        segment = self.segments[number]
        place = segment.place + byte - segment.byte
        return place, place + (segment.width or 1)


class _Letters(dict[int, str]):
    """What a character is read as, worked out once for each."""

    def __missing__(self, code: int) -> str:
        self[code] = read = _read(chr(code))
        return read


def _read(character: str) -> str:
    if character.isascii() or character in _LOOK_ALIKE:
        return _LOOK_ALIKE.get(character, character)
    if "\uff01" <= character <= "\uff5e":
        return chr(ord(character) - 0xFEE0)
    if _WIDTHLESS.match(character):
        return "\x9d"
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    category = unicodedata.category(character)
    if category == "Zs":
        return " "
    return chr(LETTER) if category[0] in "LM" else chr(OTHER)


_LETTERS = _Letters()


def plain(text: str) -> Plain:
    """The text as the shapes read it."""
    if "\\" in text or "%4" in text or text.endswith("%"):
        return _mapped(text)
    if text.isascii():
        return Plain(text.encode(), (), len(text))
    data = text.encode("ascii", _BY_LETTERS)
    return _mapped(text) if _NOTHING in data else Plain(data, (), len(text))


def _foreign(error: UnicodeError) -> tuple[bytes, int]:
    """For the encoder, which finds what is not ASCII at C speed."""
    assert isinstance(error, UnicodeEncodeError)
    foreign = error.object[error.start : error.end]
    return foreign.translate(_LETTERS).encode("latin-1"), error.end


_BY_LETTERS = "mooring_look_alike"
codecs.register_error(_BY_LETTERS, _foreign)


def _mapped(text: str) -> Plain:
    pieces: list[str] = []
    segments: list[Segment] = []
    at = size = 0

    def add(piece: str, place: int, width: int = 0) -> None:
        nonlocal size
        if piece:
            pieces.append(piece)
            segments.append(Segment(size, place, width))
            size += len(piece)

    for match in _ODD.finditer(text):
        start, end = match.span()
        add(text[at:start], at)
        add(_meant(match), start, end - start)
        at = end
    add(text[at:], at)
    cut = _CUT_SHORT.search(text)
    return Plain("".join(pieces).encode("ascii", _BY_LETTERS), segments, cut.start() if cut else len(text))


def _meant(match: re.Match[str]) -> str:
    """The one character that was written so; none for what has no width."""
    code, short = match.groups()
    if code:
        character = chr(int(code, 16))
        return "" if _WIDTHLESS.match(character) else character
    if short:
        return "\n"
    return "@" if match[0] == "%40" else ""
