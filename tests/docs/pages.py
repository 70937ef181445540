"""The documentation as data: its pages, their fenced blocks, headings and links."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+)$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block: the words behind its fence, its text, and where it stands."""

    page: Path
    line: int
    words: tuple[str, ...]
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


class Program(NamedTuple):
    """A `python NAME.py` block, and what the page says that it prints, if it says so."""

    block: Block
    name: str
    prints: str | None


def pages() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, tuple(found[1].split()), found[2])
        for found in _FENCE.finditer(text)
    ]


def blocks_of(language: str) -> list[Block]:
    return [block for page in pages() for block in blocks(page) if block.words[:1] == (language,)]


def programs() -> list[Program]:
    """Every `python NAME.py` block; a `text` block behind it, or behind the command that runs it, is what it prints."""
    found = []
    for page in pages():
        those = blocks(page)
        for number, block in enumerate(those):
            if block.words[:1] == ("python",) and len(block.words) == 2:
                after = [one for one in those[number + 1 :] if one.text != f"python {block.words[1]}\n"][:1]
                prints = after[0].text if after and after[0].words == ("text",) else None
                found.append(Program(block, block.words[1], prints))
    return found


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """Targets of the page's links, those into the web left out."""
    return [target for target in _LINK.findall(prose(page)) if "://" not in target]


def anchors(page: Path) -> set[str]:
    """What a link may name after `#`: headings as GitHub writes them."""
    plain = (re.sub(r"[`*\[\]]|\(.*?\)", "", heading) for heading in _HEADING.findall(prose(page)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in plain}


def commands(block: Block) -> Iterator[str]:
    """The single commands of a shell block: comments off, continued lines joined, pipes and lists taken apart."""
    for line in block.text.replace("\\\n", " ").splitlines():
        bare = re.sub(r"(^|\s)#.*$", "", line)
        yield from (part.strip() for part in re.split(r"&&|\|\||[|;]", bare) if part.strip())
