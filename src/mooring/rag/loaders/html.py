"""HTML: the text that a reader would see, in order, with its headings; no scripts, styles or hidden parts."""

import re
from typing import Any

from selectolax.lexbor import LexborHTMLParser

from mooring.rag.contracts import Heading, Loaded, Loader, Unreadable, decode
from mooring.rag.metadata import MOST_FIELDS

UNSEEN = frozenset({"script", "style", "template", "noscript", "head", "iframe", "object", "svg", "canvas", "datalist"})
BLOCKS = frozenset(
    "address article aside blockquote body dd details dialog div dl dt fieldset figcaption figure footer form h1 h2 h3 "  # noqa: SIM905
    "h4 h5 h6 header hr html legend li main nav ol option p pre section summary table tbody tfoot thead tr ul".split()
)
CELLS = frozenset({"td", "th"})
_TECHNICAL = re.compile(
    r"(?:viewport|robots|referrer|generator|theme-color|color-scheme|format-detection|csrf|google|apple|ms|twitter|og)",
    re.IGNORECASE,
)
_SPACE = re.compile(r"[ \t\r\n\f\v\u00a0]+")
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([a-zA-Z0-9_-]{1,40})", re.IGNORECASE)


class _Writer:
    """Collects text; white space as a browser shows it, blank lines between blocks."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.length = 0
        self.headings: list[tuple[int, int, int]] = []
        self.atoms: list[tuple[int, int]] = []
        self._break = ""

    def text(self, text: str, *, is_preformatted: bool) -> None:
        if is_preformatted:
            self._put(text.replace("\r\n", "\n"))
            return
        words = _SPACE.sub(" ", text)
        if not words.strip(" "):
            self.space()
            return
        if words.startswith(" "):
            self.space()
        self._put(words.strip(" "))
        if words.endswith(" "):
            self.space()

    def space(self) -> None:
        self._break = self._break or " "

    def line(self) -> None:
        self._break = self._break if "\n" in self._break else "\n"

    def block(self) -> None:
        self._break = "\n\n"

    def cell(self) -> None:
        if "\n" not in self._break:
            self._break = " | "

    def here(self) -> int:
        """Where the next character will stand."""
        return self.length + (len(self._break) if self.length else 0)

    def _put(self, text: str) -> None:
        if self.length and self._break:
            self.parts.append(self._break)
            self.length += len(self._break)
        self._break = ""
        self.parts.append(text)
        self.length += len(text)


def load(raw: bytes) -> Loaded:
    """The page's text; a title stands in for a missing heading of the first rank.

    Raises:
        Unreadable: bytes that are no text.
    """
    text = _decoded(raw)
    tree = LexborHTMLParser(text)
    writer = _Writer()
    if tree.body is not None:
        _walk(tree.body, writer)
    content = "".join(writer.parts)
    titles = ((*span, _SPACE.sub(" ", content[span[0] : span[1]]).strip()) for span in writer.headings)
    headings = tuple(Heading(*title) for title in titles if title[-1])
    notes = () if content.strip() or not text.strip() else ("the page shows no text of its own: it may need scripts",)
    return Loaded(content, headings, tuple(writer.atoms), (), notes, _said(tree))


def _said(tree: LexborHTMLParser) -> dict[str, object]:
    """The page's `<meta name content>`, but for those that speak to browsers and robots; keywords as a list."""
    found: dict[str, object] = {}
    for node in tree.css("meta[name][content]")[:MOST_FIELDS]:
        name, content = (node.attributes.get(each) or "" for each in ("name", "content"))
        if content.strip() and not _TECHNICAL.match(name):
            found[name] = content.strip()
    words = found.get("keywords")
    if isinstance(words, str):
        found["keywords"] = [word.strip() for word in words.split(",") if word.strip()]
    return found


def _decoded(raw: bytes) -> str:
    """UTF-8, or what the page itself declares."""
    declared = _CHARSET.search(raw[:4096])
    if declared is not None and declared.group(1).lower() not in (b"utf-8", b"utf8"):
        try:
            return raw.decode(declared.group(1).decode())
        except (LookupError, UnicodeDecodeError) as error:
            raise Unreadable(f"it is not what it declares, {declared.group(1).decode()}: save it as UTF-8") from error
    return decode(raw)


def _walk(root: Any, writer: _Writer) -> None:
    """Without recursion: pages can be nested as deep as their author likes."""
    stack: list[tuple[Any, int]] = []  # open elements with where they began
    preformatted = 0
    node = root
    while node is not None:
        tag = node.tag
        child = None
        if tag == "-text":
            writer.text(node.text(deep=False) or "", is_preformatted=preformatted > 0)
        elif _is_seen(node):
            _begin(tag, writer)
            preformatted += tag == "pre"
            child = node.child
            stack.append((node, writer.here()))
        if child is not None:
            node = child
            continue
        while node is not None:
            if stack and stack[-1][0].mem_id == node.mem_id:
                _, start = stack.pop()
                preformatted -= node.tag == "pre"
                _end(node.tag, start, writer)
            if node.mem_id == root.mem_id:
                return
            if node.next is not None:
                node = node.next
                break
            node = node.parent


def _is_seen(node: Any) -> bool:
    if node.tag.startswith(("-", "_", "!")) or node.tag in UNSEEN:
        return False
    attributes = node.attributes
    return "hidden" not in attributes and attributes.get("aria-hidden") != "true"


def _begin(tag: str, writer: _Writer) -> None:
    if tag == "br" or tag in ("li", "tr", "dt", "dd", "option"):
        writer.line()
    elif tag in BLOCKS:
        writer.block()
    elif tag in CELLS:
        writer.cell()


def _end(tag: str, start: int, writer: _Writer) -> None:
    if tag in ("li", "tr", "dt", "dd", "option"):
        writer.line()
    elif tag in BLOCKS:
        writer.block()
    if start >= writer.length:
        return
    if len(tag) == 2 and tag[0] == "h" and tag[1] in "123456":
        writer.headings.append((start, writer.length, int(tag[1])))
    elif tag in ("pre", "table"):
        writer.atoms.append((start, writer.length))


loader = Loader(
    suffixes=(".html", ".htm", ".xhtml"),
    load=load,
    media_types=("text/html", "application/xhtml+xml"),
    is_isolated=True,
)
