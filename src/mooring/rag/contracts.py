"""What loaders and splitters are: one typed function each, found by name in their folder or by entry point.

All positions are characters of the document's text. A loader decodes; it keeps every word of a file, in order.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from mooring.core.errors import InvalidRequest
from mooring.core.registry import Registry

BYTES_PER_TOKEN = 4


class Unreadable(InvalidRequest):
    """A file has no text that can be cited; the message is the reason that is listed beside its name."""

    code = "unreadable_document"


class Heading(msgspec.Struct, frozen=True):
    """A heading at `[start, end)`, line break included; level 1 is the highest."""

    start: int
    end: int
    level: int
    title: str


class Loaded(msgspec.Struct, frozen=True):
    """A file as text, with what its format says about structure.

    `atoms` are spans that should stay whole where they fit (a fenced block, a front matter). `page_starts` has a
    position for each page, where the format has pages. `notes` say what of the file has no text, each one sentence.
    `metadata` is what the document says of itself, as it says it.
    """

    text: str
    headings: tuple[Heading, ...] = ()
    atoms: tuple[tuple[int, int], ...] = ()
    page_starts: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    metadata: dict[str, object] = {}


class Piece(msgspec.Struct, frozen=True):
    """A span `[start, end)` of a text and the headings above it, joined by ` > `."""

    start: int
    end: int
    section: str


class Loader(msgspec.Struct, frozen=True):
    """Reads the files that end in one of `suffixes` (lower case, with the dot). `load` raises `Unreadable`.

    `media_types` are the content types of the same. `is_isolated`: a large parser reads the bytes, so it works in a
    process of its own with a limit on memory and time (`parsing.py`); the others are bounded by the file's size.
    """

    suffixes: tuple[str, ...]
    load: Callable[[bytes], Loaded]
    media_types: tuple[str, ...] = ()
    is_isolated: bool = False


class Split(Protocol):
    """Cuts a text into pieces: in order, disjoint, each within the budget, and no word left out."""

    def __call__(self, loaded: Loaded, /, *, budget_tokens: int) -> list[Piece]: ...


loaders: Registry[Loader] = Registry("loader", "mooring.loaders", "mooring.rag.loaders", "loader")
splitters: Registry[Split] = Registry("splitter", "mooring.splitters", "mooring.rag.splitters", "split")


def estimate_tokens(text: str) -> int:
    """A stated estimate, the same for every language: one token per four bytes of UTF-8, rounded up."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)


def decode(raw: bytes) -> str:
    """The text of a file: UTF-8, or UTF-16 where a byte order mark says so. The mark is dropped; line ends stay.

    Raises:
        Unreadable: bytes that are no text, with the place of the first.
    """
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        raise Unreadable(f"byte {error.start} is not valid {name}: save the file as UTF-8") from error
    if "\0" in text:
        raise Unreadable(f"character {text.index(chr(0))} is NUL: this is a binary file, not text")
    return text
