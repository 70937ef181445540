"""Markdown: the text as it stands, with its headings; fenced blocks and front matter stay whole, without headings."""

import re
from collections.abc import Iterator

from mooring.rag.contracts import Heading, Loaded, Loader, decode
from mooring.rag.front_matter import read_front_matter

LONGEST_HEADING = 500  # characters of a line; longer ones are prose, whatever they begin with

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


class _Line:
    """One line at `[start, end)`, its break included; `text` is without break."""

    __slots__ = ("end", "indent", "start", "text")

    def __init__(self, match: re.Match[str]) -> None:
        self.start, self.end = match.span()
        self.text = match.group().rstrip("\r\n")
        self.indent = len(self.text) - len(self.text.lstrip(" "))


def load(raw: bytes) -> Loaded:
    """The file's text with its headings."""
    text = decode(raw)
    lines = [_Line(match) for match in _LINE.finditer(text)]
    atoms: list[tuple[int, int]] = []
    headings: list[Heading] = []
    for block in _outside_atoms(lines, atoms):
        headings.extend(_headings(block))
    said = read_front_matter([line.text for line in lines[1 : max(_front_matter(lines) - 1, 1)]])
    return Loaded(text, tuple(headings), tuple(atoms), metadata=said)


def _outside_atoms(lines: list[_Line], atoms: list[tuple[int, int]]) -> Iterator[list[_Line]]:
    """Runs of lines outside fenced blocks and front matter, whose spans go to `atoms`."""
    block: list[_Line] = []
    position = _front_matter(lines)
    if position:
        atoms.append((0, lines[position - 1].end))
    while position < len(lines):
        fence = _fence(lines[position])
        if fence is None:
            block.append(lines[position])
            position += 1
            continue
        yield block
        block = []
        last = _closing(lines, position, fence)
        atoms.append((lines[position].start, lines[last].end))
        position = last + 1
    yield block


def _front_matter(lines: list[_Line]) -> int:
    """How many lines the front matter takes: `---` at the very top up to the next `---`."""
    if lines and lines[0].text.rstrip() == "---":
        for index, line in enumerate(lines[1:200], start=1):
            if line.text.rstrip() in ("---", "..."):
                return index + 1
    return 0


def _fence(line: _Line) -> str | None:
    """The fence that a line opens: three or more backticks or tildes, indented by at most three spaces."""
    body = line.text[line.indent :]
    if line.indent > 3 or body[:3] not in ("```", "~~~"):
        return None
    fence = body[: len(body) - len(body.lstrip(body[0]))]
    return None if fence[0] == "`" and "`" in body[len(fence) :] else fence


def _closing(lines: list[_Line], opening: int, fence: str) -> int:
    """The index of the line that closes the fence; the last line where nothing does, as CommonMark says."""
    for index in range(opening + 1, len(lines)):
        body = lines[index].text.strip()
        if body.startswith(fence) and not body.strip(fence[0]) and lines[index].indent <= 3:
            return index
    return len(lines) - 1


def _headings(block: list[_Line]) -> Iterator[Heading]:
    for index, line in enumerate(block):
        if line.indent > 3 or len(line.text) > LONGEST_HEADING:
            continue
        body = line.text.strip()
        if body.startswith("#"):
            level = len(body) - len(body.lstrip("#"))
            if level <= 6 and (len(body) == level or body[level] in " \t"):
                yield Heading(line.start, line.end, level, _title(body[level:]))
        elif body and not body.strip(body[0]) and body[0] in "=-" and _is_title(block, index - 1):
            above = block[index - 1]
            yield Heading(above.start, line.end, 1 if body[0] == "=" else 2, above.text.strip())


def _title(body: str) -> str:
    """Without the closing hashes."""
    body = body.strip()
    bare = body.rstrip("#")
    return bare.rstrip() if not bare or bare[-1] in " \t" else body


def _is_title(block: list[_Line], index: int) -> bool:
    """Whether a line can be underlined into a heading: a paragraph of its own, and no list, quote or table."""
    if index < 0 or (index > 0 and block[index - 1].text.strip()):
        return False
    body = block[index].text.strip()
    return bool(body) and body[0] not in "#>|-*+=" and block[index].indent <= 3 and len(body) <= LONGEST_HEADING


loader = Loader(suffixes=(".md", ".markdown", ".mdown"), load=load, media_types=("text/markdown", "text/x-markdown"))
