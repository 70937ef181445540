"""BERT's tokenizer: text to the ids of an uncased WordPiece vocabulary, as the reference does it, rune by rune.

Clean, put spaces around Chinese characters, lower, strip accents, split at spaces and punctuation, then the longest
pieces of the vocabulary. Source: Devlin et al., 2018, and its published behaviour; the vocabulary comes with the model.
"""

import unicodedata
from collections.abc import Mapping
from pathlib import Path

from mooring.core.errors import ConfigError

MOST_TOKENS = 256  # what the model was trained for, the two marks included
LONGEST_WORD = 100  # characters; longer ones are unknown
_MOST_WORDS_KEPT = 50_000
# CJK ideographs only: Hangul and kana are written in words, or taken apart by the vocabulary.
_CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class WordPiece:
    """One vocabulary. Words that were met are remembered, because most come again."""

    def __init__(self, vocabulary: Mapping[str, int]) -> None:
        try:
            self.start, self.end = vocabulary["[CLS]"], vocabulary["[SEP]"]
            self.unknown, self.padding = vocabulary["[UNK]"], vocabulary["[PAD]"]
        except KeyError as error:
            raise ConfigError(
                f"The vocabulary has no {error}.", hint="Take the file that came with the model."
            ) from error
        self._vocabulary = vocabulary
        self._known: dict[str, tuple[int, ...]] = {}

    @classmethod
    def load(cls, path: Path) -> "WordPiece":
        """One token a line; its number is its id."""
        return cls({line: place for place, line in enumerate(path.read_text(encoding="utf-8").split("\n")) if line})

    def encode(self, text: str, *, most_tokens: int = MOST_TOKENS) -> list[int]:
        """The ids between the two marks; what is over `most_tokens` is left out."""
        ids = [self.start]
        for word in text.translate(_PLAIN).split():
            ids.extend(self._pieces(word))
            if len(ids) >= most_tokens:
                break
        del ids[most_tokens - 1 :]
        ids.append(self.end)
        return ids

    def _pieces(self, word: str) -> tuple[int, ...]:
        pieces = self._known.get(word)
        if pieces is None:
            pieces = self._cut(word)
            if len(self._known) >= _MOST_WORDS_KEPT:
                self._known.clear()
            self._known[word] = pieces
        return pieces

    def _cut(self, word: str) -> tuple[int, ...]:
        """The longest piece from the left, again and again; one place without a piece makes the word unknown."""
        if len(word) > LONGEST_WORD:
            return (self.unknown,)
        pieces: list[int] = []
        start = 0
        while start < len(word):
            mark = "##" if start else ""
            for end in range(len(word), start, -1):
                piece = self._vocabulary.get(mark + word[start:end])
                if piece is not None:
                    break
            else:
                return (self.unknown,)
            pieces.append(piece)
            start = end
        return tuple(pieces)


class _Plain(dict[int, str]):
    """What becomes of a character, wherever it stands: worked out once, when it is first met."""

    def __missing__(self, code: int) -> str:
        plain = self[code] = _plain(chr(code))
        return plain


_PLAIN = _Plain()


def _plain(rune: str) -> str:
    """Lower and without accents; spaces around what stands alone; nothing of a control."""
    category = unicodedata.category(rune)
    if rune in "\t\n\r" or category[0] == "Z":
        return " "
    if rune in "\0\ufffd" or category in ("Cc", "Cf", "Co", "Cs"):
        return ""
    if _is_chinese(ord(rune)):
        return f" {_folded(rune)} "
    return "".join(f" {each} " if _is_punctuation(each) else each for each in _folded(rune))


def _folded(rune: str) -> str:
    bare = "".join(each for each in unicodedata.normalize("NFD", rune) if unicodedata.category(each) != "Mn")
    return bare.lower()


def _is_chinese(code: int) -> bool:
    return any(first <= code <= last for first, last in _CHINESE)


def _is_punctuation(rune: str) -> bool:
    """Unicode's, and every mark of ASCII that is neither letter nor digit."""
    return unicodedata.category(rune)[0] == "P" or ("!" <= rune <= "~" and not rune.isalnum())
