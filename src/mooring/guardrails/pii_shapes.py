"""What structured personal data looks like, and where it stands: shapes in RE2, then what a shape cannot say.

A shape finds candidates; `_VALID` decides on each by its check digits, by what stands beside it, and for bare numbers
by a word in front of it. So a match depends on at most `LOOK_BEHIND` characters before it and two after it.
"""

import functools
import ipaddress
import re
import string
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import re2

from .pii_text import Plain, plain
from .shapes import Shape, either, many, maybe, run, sequence, times, word, words

Kind = Literal["email", "phone", "credit_card", "iban", "us_ssn", "ipv4", "ipv6"]
KINDS: tuple[Kind, ...] = ("email", "iban", "credit_card", "us_ssn", "phone", "ipv4", "ipv6")

LONGEST = 2_048  # an address of 64 + 255 characters, each of them escaped
LOOK_BEHIND = 96  # the window, and the longest escape that may reach into it
_WINDOW = 40
_ALNUM = rb"0-9A-Za-z\xe4"


class Found(NamedTuple):
    """`[start, end)` of the text as it was written."""

    start: int
    end: int
    kind: Kind


class Candidate(NamedTuple):
    """Where a shape matched, in the plain text."""

    text: Plain
    start: int
    end: int

    @property
    def value(self) -> bytes:
        return self.text.data[self.start : self.end]

    @property
    def digits(self) -> str:
        return "".join(chr(byte) for byte in self.value if 48 <= byte <= 57)

    def before(self) -> bytes:
        """The window in front of it, in lower case."""
        place = self.text.span(self.start, self.end)[0]
        return self.text.data[self.text.byte_at(max(0, place - _WINDOW)) : self.start].lower()


_LOCAL = r"A-Za-z0-9._%+'\-" + "\xe4"
_HOST = r"A-Za-z0-9\-" + "\xe4"
_TOP = "A-Za-z\xe4"
_DIGIT = run("0-9", 1, 1)
_GAP = run(" .()/-", 0, 2)
_DASH = run(" -", 0, 1)
_EXTENSION = sequence(run(" ", 0, 1), words("x", "ext ", "ext. ", "ext"), run("0-9", 1, 5))


def _digits(*groups: int) -> Shape:
    """Groups of digits with a space or a hyphen between any two."""
    shapes = [run("0-9", groups[0], groups[0])]
    for count in groups[1:]:
        shapes += [run(" -", 1, 1), run("0-9", count, count)]
    return sequence(*shapes)


def _nanp() -> Shape:
    area = either(
        sequence(word("("), run("0-9", 3, 3), word(")"), run(" -", 0, 1)), sequence(run("0-9", 3, 3), run(" .-", 1, 1))
    )
    lead = maybe(sequence(word("1"), run(" .-", 1, 1)))
    return sequence(lead, area, run("0-9", 3, 3), run(" .-", 1, 1), run("0-9", 4, 4), maybe(_EXTENSION))


_SHAPES: dict[Kind, Shape] = {
    "email": sequence(
        run(_TOP + "0-9_", 1, 1), run(_LOCAL, 0), word("@"), run(_HOST, 1), word("."),
        many(sequence(run(_HOST, 1), word("."))), run(_TOP, 2),
    ),
    "iban": sequence(run("A-Za-z", 2, 2), run("0-9", 2, 2), times(sequence(_DASH, run("0-9A-Za-z", 1, 1)), 11, 30)),
    "credit_card": either(run("0-9", 12, 19), _digits(4, 4, 4, 4), _digits(4, 6, 5), _digits(4, 6, 4)),
    "us_ssn": either(_digits(3, 2, 4), run("0-9", 9, 9)),
    "phone": either(
        sequence(word("+"), _DIGIT, times(sequence(_GAP, _DIGIT), 6, 14), maybe(_EXTENSION)),
        _nanp(),
        sequence(maybe(word("(")), _DIGIT, times(sequence(_GAP, _DIGIT), 5, 14), maybe(_EXTENSION)),
    ),
    "ipv4": sequence(*[each for _ in range(3) for each in (run("0-9", 1, 3), word("."))], run("0-9", 1, 3)),
    "ipv6": sequence(
        run("0-9A-Fa-f", 0, 4), times(sequence(word(":"), run("0-9A-Fa-f", 0, 4)), 2, 7), maybe(
            times(sequence(word("."), run("0-9", 1, 3)), 3, 3)
        )
    ),
}  # fmt: skip

# ISO 13616's registry: how long an IBAN of each country is.
_IBAN_LENGTHS = {
    length: countries.split()
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FO GL NL SD FK", 19: "MK SI", 20: "AT BA EE KZ LT LU XK MN",
        21: "CH HR LI LV", 22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ TL SO OM", 24:
        "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HU LB NI PL SV", 29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "LC MT SC", 33: "RU",
    }.items()
}  # fmt: skip
_IBAN_LENGTH = {country: length for length, countries in _IBAN_LENGTHS.items() for country in countries}

_PHONE_WORDS = re.compile(
    rb"(?<![a-z_])(?:tele(?:ph|f)on[eo]?|tel|phone|mobile|mobil|handy|cell(?:phone|ular)?|fax|whatsapp|sms|desk|office|"
    rb"hotline|call(?:ing| me| us| him| her| them)?|call back|dial|ring|text(?: me)?|reach|answering|contact|"
    rb"messages? (?:to|on)|registered|m\xe4vil|num\xe4ro)(?![a-z_])[^a-z]{0,6}(?:(?:no|nr|num(?:ber)?|me|us|at|on|is|"
    rb"to|my|under|it|the|by|a)(?![a-z_])[^a-z]{0,4}){0,4}\Z"
)
_CARD_WORDS = re.compile(rb"(?<![a-z_])(?:card|cards|credit|cc|visa|mastercard|amex|maestro|pan)(?![a-z_])")
_SSN_WORDS = re.compile(rb"(?<![a-z_])(?:ssn|social security|soc sec|tin|taxpayer)(?![a-z_])")
_CARD_PREFIX = re.compile(rb"4|5[0-8]|2[2-7]|3[0456789]|6[0-9]|1800|2131")
_DATE = re.compile(rb"\d{4}([-./])\d{1,2}\1\d{1,2}(?: \d{1,2})?|\d{1,2}([-./])\d{1,2}\2\d{2,4}(?: \d{1,2})?")
_NANP = re.compile(rb"(?:1[ .-])?(?:\([2-9]\d\d\)[ -]?|[2-9]\d\d[.-])[2-9]\d\d[ .-]\d{4}(?: ?(?:x|ext\.? ?)\d{1,5})?")
_WORD = bytes(ord(character) for character in "._%+'-(:_\xe4") + (string.ascii_letters + string.digits).encode()
_RUN = re.compile(b"[" + _ALNUM + b"_]+")


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1)."""
    total = 0
    for place, character in enumerate(reversed(digits)):
        value = int(character) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def mod_97(iban: str) -> bool:
    """Whether an IBAN's check digits fit (ISO 7064)."""
    return int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97 == 1


def _stands_alone(found: Candidate, *, after: bytes = b".-") -> bool:
    """No letter, digit or longer number touches it."""
    data, start, end = found.text.data, found.start, found.end
    if start and (_RUN.match(data[start - 1 : start]) or data[start - 1 : start] in (b"@", b"\\")):
        return False
    if start > 1 and data[start - 1] in b".-," and 48 <= data[start - 2] <= 57:
        return False
    if _RUN.match(data[end : end + 1]):
        return False
    return not (data[end : end + 1] in [bytes([byte]) for byte in after] and data[end + 1 : end + 2].isdigit())


def _email(found: Candidate) -> int | None:
    before = found.text.data[found.start - 1 : found.start] if found.start else b""
    return None if _RUN.match(before) else found.end


def _iban(found: Candidate) -> int | None:
    """Counted by its country's length: what stands behind it in capitals is no part of it."""
    length = _IBAN_LENGTH.get(found.value[:2].decode("latin-1").upper())
    letters: list[str] = []
    for place, byte in enumerate(found.value):
        if byte in b" -":
            continue
        letters.append(chr(byte).upper())
        if len(letters) == length:
            end = found.start + place + 1
            is_alone = _stands_alone(found._replace(end=end), after=b"")
            return end if is_alone and mod_97("".join(letters)) else None
    return None


def _credit_card(found: Candidate) -> int | None:
    digits = found.digits
    if not _stands_alone(found) or not luhn(digits) or len(set(digits)) < 2:
        return None
    is_named = _CARD_WORDS.search(found.before()) is not None
    is_known = len(digits) >= 13 and _CARD_PREFIX.match(found.value) is not None
    return found.end if is_named or is_known else None


def _us_ssn(found: Candidate) -> int | None:
    area, group, serial = found.digits[:3], found.digits[3:5], found.digits[5:]
    if area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000" or not _stands_alone(found):
        return None
    is_written_out = found.value.count(b"-") == 2
    return found.end if is_written_out or _SSN_WORDS.search(found.before()) else None


def _phone(found: Candidate) -> int | None:
    """International by its plus, North American by its punctuation, any other by the word in front of it."""
    value = found.value
    if not _stands_alone(found) or _DATE.fullmatch(value) or len(set(found.digits)) < 2:
        return None
    if value.startswith(b"+"):
        return found.end if 7 <= len(found.digits) <= 20 and found.value[1:2] != b"0" else None
    is_named = _PHONE_WORDS.search(found.before()) is not None
    return found.end if is_named or _NANP.fullmatch(value) else None


def _ipv4(found: Candidate) -> int | None:
    return found.end if _is_address(found.value) and _stands_alone(found) else None


def _ipv6(found: Candidate) -> int | None:
    value = found.value
    is_full = sum(bool(group) for group in value.split(b":")) >= 3 or value == b"::1"
    return found.end if is_full and _is_address(value) and _stands_alone(found, after=b".:") else None


def _is_address(value: bytes) -> bool:
    try:
        ipaddress.ip_address(value.decode("latin-1"))
    except ValueError:
        return False
    return True


_VALID: dict[Kind, Callable[[Candidate], int | None]] = {
    "email": _email,
    "iban": _iban,
    "credit_card": _credit_card,
    "us_ssn": _us_ssn,
    "phone": _phone,
    "ipv4": _ipv4,
    "ipv6": _ipv6,
}


def _compile(pattern: str) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.longest_match = True
    options.never_capture = True
    options.max_mem = 64 << 20
    return re2.compile(pattern.encode("latin-1"), options)


class Finder:
    """Some kinds at once."""

    def __init__(self, kinds: tuple[Kind, ...]) -> None:
        shapes = [_SHAPES[kind] for kind in kinds]
        # What follows a number decides whether it stands alone.
        openings = [sequence(shape, run(".:-", 0, 1)).opening for shape in shapes]
        self._any = _compile("|".join(shape.whole for shape in shapes))
        self._opening = _compile("(?:" + "|".join(openings) + r")\z")
        # Without one of these nothing can match, and only a last word or an opening bracket can begin to.
        self._hint = re.compile(b"[0-9@:]" if "ipv6" in kinds else b"[0-9@]")
        self._each = [(kind, _compile(_SHAPES[kind].whole)) for kind in kinds]
        self._last = ("", plain(""))

    def may_hold(self, document: bytes) -> bool:
        """Whether JSON in UTF-8 could hold any of it; what is written in other letters has to be looked at."""
        if not document.isascii() or b"\\" in document or b"%4" in document:
            return True
        return self._hint.search(document) is not None and self._any.search(document) is not None

    def is_clear(self, text: str) -> bool:
        """Nothing in it looks like any of it, and nothing at its end could begin to."""
        read = self._plain(text)
        if self.open_from(text) != len(text):
            return False
        return self._hint.search(read.data) is None or self._any.search(read.data) is None

    def open_from(self, text: str) -> int:
        """Where the longest tail begins that could still become a match, or be decided otherwise by what follows."""
        read = self._plain(text)
        cut = read.byte_at(read.open_at)
        data = read.data[:cut]
        if self._hint.search(data) is None:
            start = len(data.rstrip(_WORD))
        else:
            found = self._opening.search(data, max(0, cut - LONGEST))
            start = found.start() if found is not None else cut
        place = read.open_at
        if start < cut:
            place = min(place, read.span(start, cut)[0])
        return max(place, len(text) - LONGEST + 1, 0)

    def find(self, text: str, at: int = 0) -> tuple[Found, ...]:
        """Everything that begins at `at` or after it, from the left; what is longer than `LONGEST` is not it."""
        read = self._plain(text)
        place, found = read.byte_at(at), []
        if self._hint.search(read.data, place) is None:
            return ()
        while (match := self._any.search(read.data, place)) is not None:
            start = match.start()
            one = self._judge(read, start)
            if one is None:
                run_ = _RUN.match(read.data, start)
                place = run_.end() if run_ else start + 1
                continue
            end, kind = one
            found.append(Found(*read.span(start, end), kind))
            place = end
        return tuple(found)

    def _judge(self, read: Plain, start: int) -> tuple[int, Kind] | None:
        for kind, shape in self._each:
            match = shape.match(read.data, start)
            if match is None:
                continue
            end = _VALID[kind](Candidate(read, start, match.end()))
            if end is not None:
                first, last = read.span(start, end)
                return (end, kind) if last - first <= LONGEST else None
        return None

    def _plain(self, text: str) -> Plain:
        """A stream asks three times about the same text."""
        if self._last[0] != text:
            self._last = (text, plain(text))
        return self._last[1]


@functools.lru_cache(maxsize=16)
def finder(kinds: tuple[Kind, ...]) -> Finder:
    """One for each set of kinds: compiling takes milliseconds."""
    return Finder(kinds)
