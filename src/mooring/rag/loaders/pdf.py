"""PDF: the text layer page by page; lines set larger than the body are headings. Pages without text are noted.

Sizes are read once per line, from its first visible character, with the page's own scaling.
"""

import ctypes
import math
import re
from collections import Counter
from collections.abc import Iterator

import msgspec
import pypdfium2
import pypdfium2.raw as pdfium

from mooring.rag.contracts import Heading, Loaded, Loader, Unreadable

MOST_PAGES = 5_000
LARGER = 1.15  # times the body's size: below it, differences are those of fonts, not of rank
LONGEST_HEADING = 200  # characters of a line
MOST_LEVELS = 4
PAGE_BREAK = "\n\n"

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_HYPHENATED = re.compile("[\ufffe\u0002\u00ad]\n")  # PDFium's own marks of a hyphen that only breaks a line
_UNUSABLE = re.compile("[\0\ufffe\uffff\u0002\ufeff\ud800-\udfff]")


class _Line(msgspec.Struct):
    """One line of the whole text, its break included; `size` in points, 0 where nothing tells it."""

    start: int
    end: int
    size: float
    title: str


def load(raw: bytes) -> Loaded:
    """The text layer of all pages.

    Raises:
        Unreadable: no PDF, a password, too many pages, or no text at all.
    """
    try:
        document = pypdfium2.PdfDocument(raw)
    except pypdfium2.PdfiumError as error:
        raise Unreadable(_why(error)) from error
    try:
        return _read(document)
    except pypdfium2.PdfiumError as error:
        raise Unreadable(f"the PDF is damaged: {error}") from error
    finally:
        document.close()


def _why(error: pypdfium2.PdfiumError) -> str:
    text = str(error)
    if "assword" in text:
        return "the PDF asks for a password: save it without one"
    return f"it is no PDF that can be opened: {text.rstrip('.')}"


def _read(document: pypdfium2.PdfDocument) -> Loaded:
    if len(document) > MOST_PAGES:
        raise Unreadable(f"more than {MOST_PAGES:,} pages: split it")
    parts: list[str] = []
    starts: list[int] = []
    lines: list[_Line] = []
    without_text: list[int] = []
    position = 0
    for number in range(len(document)):
        text, sizes = _page(document, number)
        starts.append(position)
        if not text.strip():
            without_text.append(number + 1)
        lines.extend(_lines(text, sizes, position))
        parts.append(text + PAGE_BREAK)
        position += len(parts[-1])
    if len(without_text) == len(starts):
        raise Unreadable(
            "it has no pages"
            if not starts
            else "its only page holds no text, it is an image: run it through OCR first"
            if len(starts) == 1
            else f"none of its {len(starts)} pages holds text, they are images: run it through OCR first"
        )
    return Loaded("".join(parts), tuple(_headings(lines)), (), tuple(starts), tuple(_notes(without_text)))


def _page(document: pypdfium2.PdfDocument, number: int) -> tuple[str, list[float]]:
    """A page's text with `\\n` as line end, and the size of each of its lines."""
    page = document[number]
    textpage = page.get_textpage()
    try:
        units = textpage.count_chars()
        raw = textpage.get_text_range(0, units) if units > 0 else ""
        sizes = _sizes(textpage, units)
    finally:
        textpage.close()
        page.close()
    return _clean(raw, sizes)


def _sizes(textpage: pypdfium2.PdfTextPage, count: int) -> list[float]:
    """The size of each line, lines being what line feeds divide."""
    sizes: list[float] = []
    size = 0.0
    for index in range(count):
        code = pdfium.FPDFText_GetUnicode(textpage.raw, index)
        if code == 10:
            sizes.append(size)
            size = 0.0
        elif not size and code > 32:
            size = _size(textpage, index)
    return [*sizes, size]


def _size(textpage: pypdfium2.PdfTextPage, index: int) -> float:
    """In points on the page: the font's size times the scale of its matrix, in half points."""
    matrix = pdfium.FS_MATRIX()
    size = float(pdfium.FPDFText_GetFontSize(textpage.raw, index))
    if pdfium.FPDFText_GetMatrix(textpage.raw, index, ctypes.byref(matrix)):
        size *= math.hypot(matrix.c, matrix.d) or 1.0
    return round(size * 2) / 2


def _clean(raw: str, sizes: list[float]) -> tuple[str, list[float]]:
    """Line ends as `\\n`, words joined where a line's end had cut them; a joined line has the size of its first."""
    lines = raw.replace("\r\n", "\n").replace("\r", "\n")
    kept: list[float] = []
    is_joined = False
    for number, line in enumerate(lines.split("\n")):
        if not is_joined:
            kept.append(sizes[number] if number < len(sizes) else 0.0)
        is_joined = line.endswith(("\ufffe", "\u0002", "\u00ad"))
    return _UNUSABLE.sub("", _HYPHENATED.sub("", lines)), kept


def _lines(text: str, sizes: list[float], offset: int) -> Iterator[_Line]:
    for match, size in zip(_LINE.finditer(text), sizes, strict=False):
        yield _Line(offset + match.start(), offset + match.end(), size, match.group().strip())


def _headings(lines: list[_Line]) -> Iterator[Heading]:
    """Short lines that are larger than the body; the larger, the higher. Neighbours of one size are one heading."""
    weights: Counter[float] = Counter()
    for line in lines:
        weights[line.size] += len(line.title)
    weights.pop(0.0, None)
    body = weights.most_common(1)[0][0] if weights else 0.0
    found = [line for line in lines if line.size > body * LARGER and _is_title(line.title)]
    levels = {size: level for level, size in enumerate(sorted({line.size for line in found}, reverse=True), start=1)}
    open_: _Line | None = None
    for line in found:
        if open_ is not None and open_.end == line.start and open_.size == line.size:
            open_ = _Line(open_.start, line.end, line.size, f"{open_.title} {line.title}")
            continue
        if open_ is not None:
            yield Heading(open_.start, open_.end, min(levels[open_.size], MOST_LEVELS), open_.title)
        open_ = line
    if open_ is not None:
        yield Heading(open_.start, open_.end, min(levels[open_.size], MOST_LEVELS), open_.title)


def _is_title(title: str) -> bool:
    return 1 < len(title) <= LONGEST_HEADING and any(character.isalpha() for character in title)


def _notes(pages: list[int]) -> Iterator[str]:
    """What has no text, said once."""
    if pages:
        shown = ", ".join(map(str, pages[:20])) + (" …" if len(pages) > 20 else "")
        verb = "page holds" if len(pages) == 1 else "pages hold"
        yield f"{len(pages)} {verb} no text, only images or nothing ({shown}): run OCR to make them searchable"


loader = Loader(suffixes=(".pdf",), load=load, media_types=("application/pdf",), is_isolated=True)
