"""Along the document's own structure: sections, then paragraphs, packed up to the budget; no overlap.

Overlap buys nothing under one token budget, and without it every word has exactly one place.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator

from mooring.rag.contracts import BYTES_PER_TOKEN, Heading, Loaded, Piece

_BLANK = re.compile(r"(?:\r\n|\r|\n)[ \t]*(?:\r\n|\r|\n)\s*")
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’)\]]*\s")

Span = tuple[int, int]


def split(loaded: Loaded, /, *, budget_tokens: int) -> list[Piece]:
    """Pieces of at most `budget_tokens` (estimated); each lies within one section and starts and ends with a word."""
    budget_bytes = max(budget_tokens, 1) * BYTES_PER_TOKEN
    pieces: list[Piece] = []
    for start, end, section in _sections(loaded):
        blocks = _blocks(loaded, start, end)
        parts = (part for block in blocks for part in _break(loaded.text, block, budget_bytes))
        for span in _pack(loaded.text, parts, budget_bytes):
            pieces.append(Piece(span[0], span[1], section))
    return pieces


def _sections(loaded: Loaded) -> Iterator[tuple[int, int, str]]:
    """Spans between headings with the path of titles; a heading without text of its own joins its first subsection."""
    path: list[Heading] = []
    start, section, level, body = 0, "", 0, 0
    for heading in loaded.headings:
        is_bare = level > 0 and not loaded.text[body : heading.start].strip()
        if not (is_bare and heading.level > level):
            if heading.start > start:
                yield start, heading.start, section
            start = heading.start
        path = [above for above in path if above.level < heading.level] + [heading]
        section = " > ".join(above.title for above in path if above.title)
        level, body = heading.level, heading.end
    if start < len(loaded.text):
        yield start, len(loaded.text), section


def _blocks(loaded: Loaded, start: int, end: int) -> Iterator[Span]:
    """Paragraphs of a section; blank lines within an atom do not divide."""
    atoms = loaded.atoms
    position, index = start, bisect_right(atoms, start, key=lambda atom: atom[1])
    for gap in _BLANK.finditer(loaded.text, start, end):
        while index < len(atoms) and atoms[index][1] <= gap.start():
            index += 1
        if index < len(atoms) and atoms[index][0] <= gap.start() and gap.end() < atoms[index][1]:
            continue
        yield position, gap.start()
        position = gap.end()
    yield position, end


def _break(text: str, block: Span, budget_bytes: int) -> Iterator[Span]:
    """The block, or parts of it that fit: cut at a line end, else a sentence's, else a space, else anywhere."""
    start, end = block
    while start < end:
        fits = _fitting(text, start, end, budget_bytes)
        if start + fits >= end:
            yield _trim(text, start, end)
            return
        cut = start + _cut(text[start : start + fits + 1], fits)
        yield _trim(text, start, cut)
        start = cut


def _fitting(text: str, start: int, end: int, budget_bytes: int) -> int:
    """How many characters from `start` fit into the budget; at least one."""
    window = text[start : min(end, start + budget_bytes)]
    raw = window.encode()
    return len(window) if len(raw) <= budget_bytes else max(len(raw[:budget_bytes].decode(errors="ignore")), 1)


def _cut(window: str, fits: int) -> int:
    """Where to cut a window that is one character longer than what fits: late, but not within a word if it can be."""
    least = fits // 2
    line = window.rfind("\n", least, fits)
    if line > 0:
        return line + 1
    ends = [match.end() for match in _SENTENCE_END.finditer(window, least, fits)]
    if ends:
        return ends[-1]
    for position in range(fits, least, -1):
        if window[position].isspace():
            return position
    return fits


def _pack(text: str, parts: Iterator[Span], budget_bytes: int) -> Iterator[Span]:
    """Neighbours joined while they fit together."""
    open_: Span | None = None
    size = 0
    for start, end in parts:
        if start == end:
            continue
        if open_ is None:
            open_, size = (start, end), _size(text, start, end)
            continue
        more = _size(text, open_[1], end)
        if size + more <= budget_bytes:
            open_, size = (open_[0], end), size + more
        else:
            yield open_
            open_, size = (start, end), _size(text, start, end)
    if open_ is not None:
        yield open_


def _size(text: str, start: int, end: int) -> int:
    return len(text[start:end].encode())


def _trim(text: str, start: int, end: int) -> Span:
    """Without the white space at both ends."""
    part = text[start:end]
    head = len(part) - len(part.lstrip())
    return (start + head, start + len(part.rstrip())) if head < len(part) else (start, start)
