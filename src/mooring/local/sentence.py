"""Sentences of a passage as spans of it, and the stems by which they are compared."""

import re
from collections.abc import Iterator

from mooring.core.words import WORD

Span = tuple[int, int]

# A paragraph, list item, table row or heading each begins a block of its own.
_BLOCK_BREAK = re.compile(
    r"(?:\r\n|\r|\n)(?:[ \t]*(?:\r\n|\r|\n))+|(?:\r\n|\r|\n)(?=[ \t]*(?:[-*+>|#]|\d{1,3}[.)][ \t]))"
)
_ENDING = re.compile(r"[.!?…][\"'”’)\]]*\s+(?=[\"'“‘(\[]*[^\W_a-z])|[。！？]")
_MARKER = re.compile(r"[ \t]*(?:[-*+>][ \t]+|\d{1,3}[.)][ \t]+)")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'“‘])(?:[A-Z]|Mr|Mrs|Ms|Dr|St|Jr|Sr|vs|No|Inc|Ltd|Co|Corp|Prof|Gen|Lt|Col|Capt|Gov|Sen|Rep|Rev|Fig"
    r"|e\.g|i\.e|cf|approx|ca|al|U\.S|etc)\.$"
)

_ENDINGS = (
    ("ies", "y"), ("sses", "ss"), ("ements", ""), ("ement", ""), ("ments", ""), ("ment", ""), ("ations", "at"),
    ("ation", "at"), ("ions", ""), ("ion", ""), ("ings", ""), ("ing", ""), ("edly", ""), ("ed", ""), ("ities", ""),
    ("ity", ""), ("ness", ""), ("ally", "al"), ("ly", ""), ("ers", ""), ("er", ""), ("es", ""), ("s", ""),
)  # fmt: skip


def stem(word: str) -> str:
    """A word without its English endings: crude, but the same for question and passage."""
    word = word.lower()
    if len(word) <= 3:
        return word
    for ending, rest in _ENDINGS:
        if (
            word.endswith(ending)
            and len(word) - len(ending) >= (4 if ending == "ly" else 3)
            and not (ending == "s" and word[-2] == "s")
        ):
            word = word[: len(word) - len(ending)] + rest
            break
    if len(word) > 3 and word.endswith("e"):
        word = word[:-1]
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "sl":
        word = word[:-1]
    return word[:-1] + "i" if len(word) > 3 and word.endswith("y") else word


def stems(text: str) -> list[str]:
    """The stems of a text's words, in order."""
    return [stem(word) for word in WORD.findall(text)]


def is_heading(text: str) -> bool:
    """A Markdown heading, or a line of nothing but marks: no statement."""
    return text.startswith("#") or not any(character.isalnum() for character in text)


def sentence_spans(passage: str) -> list[Span]:
    """Where the sentences stand, headings among them; list markers are left out."""
    spans: list[Span] = []
    for start, end in _blocks(passage):
        marker = _MARKER.match(passage, start, end)
        start = marker.end() if marker else start
        for match in _ENDING.finditer(passage, start, end):
            if _ABBREVIATION.search(passage, max(start, match.start() - 12), match.start() + 1):
                continue
            spans.append((start, match.end()))
            start = match.end()
        spans.append((start, end))
    return [trimmed for span in spans if (trimmed := _trim(passage, span))[0] < trimmed[1]]


def _blocks(passage: str) -> Iterator[Span]:
    position = 0
    for gap in _BLOCK_BREAK.finditer(passage):
        yield position, gap.start()
        position = gap.end()
    yield position, len(passage)


def _trim(text: str, span: Span) -> Span:
    part = text[span[0] : span[1]]
    head = len(part) - len(part.lstrip())
    return span[0] + head, span[0] + max(len(part.rstrip()), head)
