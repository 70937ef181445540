"""What the marks of one request stand for, so that its own answer can be given back with the values in their places.

Nothing of it is stored. A mark is `[EMAIL-k3x9ab]`: the kind, and a keyed hash of the value for its principal. Whoever
has the request again (a retry with its key, a replay) derives the same marks from it; nobody else can.
"""

import base64
import hmac
from collections.abc import Mapping, Sequence

from .shapes import Shape, run, sequence, word, words

# Capitals, a hyphen, no underscore (models write it as `\_` in Markdown); a closing bracket, so that no mark begins
# another one. Nothing in it has to be escaped in JSON, in a URL's path or in SQL's strings.
NAMES: Mapping[str, str] = {
    "email": "EMAIL",
    "phone": "PHONE",
    "credit_card": "CARD",
    "iban": "IBAN",
    "us_ssn": "SSN",
    "ipv4": "IP",
    "ipv6": "IP",
}
CUSTOM = "VALUE"
_TAG = "a-z2-7"
_TAG_LENGTHS = (6, 10, 16, 26)
SHAPE: Shape = sequence(
    word("["), words(*sorted({*NAMES.values(), CUSTOM})), word("-"), run(_TAG, _TAG_LENGTHS[0], _TAG_LENGTHS[-1]),
    word("]"),
)  # fmt: skip
LONGEST = 40


class Vault:
    """Filled while a request is read, closed before its answer is: an answer's own values get no marks."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)
        self._values: dict[str, tuple[str, str]] = {}
        self._marks: dict[str, str] = {}
        self._is_closed = False

    def __bool__(self) -> bool:
        return bool(self._values)

    def mark(self, kind: str, value: str) -> str:
        """What stands in the value's place: its mark, or `[masked:KIND]` for one that the request did not hold."""
        mark = self._marks.get(value)
        if mark is not None:
            return mark
        if self._is_closed:
            return masked(kind)
        for key in reversed(self._keys):  # the newest key's mark is used, those of the older ones are understood
            mark = self._marks[value] = self._free(key, kind, value)
        return self._marks[value]

    def close(self) -> "Vault":
        """The request has been read."""
        self._is_closed = True
        return self

    def kind_and_value(self, mark: str) -> tuple[str, str] | None:
        """What a mark stands for; None for one that this request did not make."""
        return self._values.get(mark)

    def _free(self, key: bytes, kind: str, value: str) -> str:
        """A mark that stands for nothing else in this request: longer where two values share a beginning."""
        digest = hmac.digest(key, f"{kind}\0{value}".encode("utf-8", "surrogatepass"), "sha256")
        tag = base64.b32encode(digest).decode().lower()
        for length in _TAG_LENGTHS:
            mark = f"[{NAMES.get(kind, CUSTOM)}-{tag[:length]}]"
            if self._values.setdefault(mark, (kind, value)) == (kind, value):
                return mark
        return masked(kind)


def masked(kind: str) -> str:
    """What stands for a value that nobody gets back."""
    return f"[masked:{kind}]"


def principal_key(secret: bytes, project_id: str, principal: str) -> bytes:
    """The key of one principal's marks: the same value has another mark for everyone else."""
    return hmac.digest(secret, f"marks\0{project_id}\0{principal}".encode("utf-8", "surrogatepass"), "sha256")
