"""The tokenizer against the reference's own answers, which were written down once."""

from pathlib import Path

import pytest

from mooring.core.errors import ConfigError
from mooring.local.wordpiece import WordPiece

SMALL = {
    word: place
    for place, word in enumerate(
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##afford", "##able", "naive", "!", "中", "文", "a", "##b", "e", "-"]
    )
}


def words(text: str, **options: int) -> list[str]:
    """The tokens of a text in the small vocabulary, without the marks at both ends."""
    names = list(SMALL)
    ids = WordPiece(SMALL).encode(text, **options)
    assert (names[ids[0]], names[ids[-1]]) == ("[CLS]", "[SEP]")
    return [names[each] for each in ids[1:-1]]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        (" \t\n", []),
        ("Unaffordable", ["un", "##afford", "##able"]),
        ("unaffordably", ["[UNK]"]),
        ("NAÏVE!", ["naive", "!"]),
        ("naïve", ["naive"]),  # the accent as a mark of its own
        ("中文a", ["中", "文", "a"]),
        ("a\u200bb a\x00b a\x1cb", ["a", "##b", "a", "##b", "a", "##b"]),  # controls join, they do not part
        ("a\u00a0a\u3000a\u2028a", ["a", "a", "a", "a"]),
        ("a-a", ["a", "-", "a"]),
        ("é" * 3, ["[UNK]"]),
        ("x" * 101, ["[UNK]"]),
        ("[SEP]", ["[UNK]", "[UNK]", "[UNK]"]),  # a mark in a text is text
        ("\ud800a", ["a"]),
    ],
)
def test_words_become_the_longest_pieces(text: str, tokens: list[str]) -> None:
    assert words(text) == tokens


def test_what_is_over_the_limit_is_left_out_and_the_end_mark_stays() -> None:
    assert words("a " * 500, most_tokens=10) == ["a"] * 8
    assert words("unaffordable", most_tokens=4) == ["un", "##afford"]


def test_a_vocabulary_without_the_marks_says_so() -> None:
    with pytest.raises(ConfigError, match=r"has no '\[CLS\]'"):
        WordPiece({"a": 0})


# By tokenizers 0.23.3 from the model's own tokenizer.json.
REFERENCE: dict[str, list[int]] = {
    "Hello, world!": [101, 7592, 1010, 2088, 999, 102],
    "Über naïve façade — Łódź, İstanbul, ẞ": [101, 19169, 15743, 8508, 1517, 17814, 1010, 9960, 1010, 1096, 102],
    "中文和日本語のテキスト": [101, 1746, 1861, 1796, 1864, 1876, 1950, 1671, 30239, 30227, 30233, 30240, 102],
    "한국어 문장": [
        101,
        1469,
        30006,
        30021,
        29991,
        30014,
        30020,
        29999,
        30008,
        1459,
        30014,
        30021,
        30000,
        30006,
        30025,
        102,
    ],
    "Привет, как дела?": [
        101,
        1194,
        16856,
        10325,
        25529,
        15290,
        22919,
        1010,
        1189,
        10260,
        23925,
        1184,
        15290,
        29436,
        10260,
        1029,
        102,
    ],
    "مرحبا بالعالم": [101, 1295, 17149, 29820, 29816, 25573, 1271, 25573, 23673, 29830, 25573, 23673, 22192, 102],
    "हिन्दी": [101, 1339, 29877, 29863, 29861, 29878, 102],
    "emoji 🙂👩\u200d👩\u200d👧 end": [101, 7861, 29147, 2072, 100, 2203, 102],
    "def snake_case(x: int) -> str: return f'{x!r}'": [
        101,
        13366,
        7488,
        1035,
        2553,
        1006,
        1060,
        1024,
        20014,
        1007,
        1011,
        1028,
        2358,
        2099,
        1024,
        2709,
        1042,
        1005,
        1063,
        1060,
        999,
        1054,
        1065,
        1005,
        102,
    ],
    "https://example.com/a?b=c&d=%20": [
        101,
        16770,
        1024,
        1013,
        1013,
        2742,
        1012,
        4012,
        1013,
        1037,
        1029,
        1038,
        1027,
        1039,
        1004,
        1040,
        1027,
        1003,
        2322,
        102,
    ],
    "ﬁligree ½ ² ①": [101, 1984, 3669, 28637, 1092, 1082, 100, 102],
    "áë café café": [101, 29347, 7668, 7668, 102],
    "tab\tnew\nline\r\nzero\u200bwidth\ufeff": [101, 21628, 2047, 2240, 5717, 9148, 11927, 2232, 102],
    "antidisestablishmentarianism antidisestablishmentarianism ": [
        101,
        3424,
        10521,
        4355,
        7875,
        13602,
        3672,
        12199,
        2964,
        3424,
        10521,
        4355,
        7875,
        13602,
        3672,
        12199,
        2964,
        102,
    ],
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx": [
        101,
        22038,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        102,
    ],
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx": [
        101,
        100,
        102,
    ],
    "$3.50 (10%) #1": [101, 1002, 1017, 1012, 2753, 1006, 2184, 1003, 1007, 1001, 1015, 102],
    "`` '' “quotes” ‘single’": [101, 1036, 1036, 1005, 1005, 1523, 16614, 1524, 1520, 2309, 1521, 102],
    "\u0378 unassigned \ue000 private": [101, 100, 14477, 18719, 19225, 2797, 102],
}


@pytest.mark.parametrize("text", REFERENCE)
def test_the_models_own_vocabulary_gives_the_references_ids(weights: Path, text: str) -> None:
    assert WordPiece.load(weights / "vocab.txt").encode(text) == REFERENCE[text]
