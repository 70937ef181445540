"""Bodies of `multipart/form-data`: parts in, parts out, in their order; what is inside of a part is not touched.

A client draws a new boundary for each try. Ours follows from the parts, so that the same form is the same body.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mooring.core.errors import InvalidRequest

MOST_PARTS = 256
MOST_HEAD_BYTES = 8_192
_BOUNDARY = re.compile(r'boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_NAME = re.compile(rb'(?:^|;)\s*name="((?:[^"\\\r\n]|\\.)*)"', re.IGNORECASE)
_FILE = re.compile(rb'(?:^|;)\s*filename="((?:[^"\\\r\n]|\\.)*)"', re.IGNORECASE)


class Part(NamedTuple):
    """One field: the lines of its head as they came, and its bytes."""

    head: bytes
    name: str
    data: bytes
    file_name: str | None = None

    @property
    def text(self) -> str:
        """The value of a field that is no file.

        Raises:
            InvalidRequest: it is not UTF-8.
        """
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            raise InvalidRequest(f"The form's field '{self.name[:60]}' is not UTF-8.", param=self.name[:60]) from None


def is_multipart(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a body with these headers is a form."""
    return headers.get(b"content-type", b"").lower().startswith(b"multipart/form-data")


def parse(body: bytes, content_type: str) -> list[Part]:
    """The parts, in order.

    Raises:
        InvalidRequest: no boundary, no end, a part without a name, or too many of them.
    """
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise _broken("its content type names no boundary")
    mark = b"--" + (found[1] or found[2]).encode("latin-1", "replace")
    if not body.startswith(mark):
        raise _broken("it does not begin with its boundary")
    pieces = (b"\r\n" + body).split(b"\r\n" + mark)
    if not pieces[-1].startswith(b"--"):
        raise _broken("its last boundary is missing")
    if len(pieces) - 2 > MOST_PARTS:
        raise _broken(f"it has more than {MOST_PARTS} fields")
    return [_part(piece) for piece in pieces[1:-1]]


def _part(piece: bytes) -> Part:
    head, separator, data = piece.lstrip(b" \t").removeprefix(b"\r\n").partition(b"\r\n\r\n")
    if not separator or len(head) > MOST_HEAD_BYTES:
        raise _broken("a field has no head, or one that is too large")
    line = next((one for one in head.split(b"\r\n") if one.lower().startswith(b"content-disposition:")), b"")
    name, file_name = _NAME.search(line), _FILE.search(line)
    if name is None:
        raise _broken("a field has no name")
    return Part(head, _shown(name[1]), data, None if file_name is None else _shown(file_name[1]))


def field(name: str, value: str) -> Part:
    """A field of ours."""
    return Part(b'Content-Disposition: form-data; name="%b"' % name.encode(), name, value.encode())


def encode(parts: Sequence[Part]) -> tuple[bytes, str]:
    """The body, and its content type."""
    digest = hashlib.sha256()
    for part in parts:
        for piece in (part.head, part.data):
            digest.update(len(piece).to_bytes(8))
            digest.update(piece)
    boundary = f"mooring-{digest.hexdigest()[:40]}"
    mark = b"--" + boundary.encode()
    pieces: list[bytes] = []
    for part in parts:
        pieces += (mark, b"\r\n", part.head, b"\r\n\r\n", part.data, b"\r\n")
    return b"".join((*pieces, mark, b"--\r\n")), f"multipart/form-data; boundary={boundary}"


def one(parts: Sequence[Part], name: str) -> Part | None:
    """The last part of this name."""
    return next((part for part in reversed(parts) if part.name == name), None)


def _shown(name: bytes) -> str:
    return re.sub(r"\\(.)", r"\1", name.decode("utf-8", "replace"))


def _broken(why: str) -> InvalidRequest:
    return InvalidRequest(f"The body is no form: {why}.", hint="Send multipart/form-data, as an SDK does.")
