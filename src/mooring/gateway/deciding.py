"""What decides a question however near its vector is: numbers, names, and words that turn it round.

A model of embeddings puts "before" beside "after", "where" beside "when", and a question beside its negation. So two
questions are one only if these are the same in both. The words are English; in other languages numbers and names count.
"""

import re

_NUMBERS = re.compile(r"\d+(?:[.,:/-]\d+)*")
_TOKENS = re.compile(r"[^\W_][\w'\u2019-]*")
_WORDS = frozenset(
    _TOKENS.findall(
        """
        what who whom whose which where when why how
        not no never none nor neither without except
        before after first second third last next previous earlier later
        more less fewer most least many much higher lower highest lowest larger smaller largest smallest longer shorter
        best worst high low same different other than over under above below up down on off out both either
        one two three four five six seven eight nine ten hundred thousand
        start stop begin end enable disable add remove open close increase decrease
        """
    )
)


def deciding(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Its numbers in their order, and its names and deciding words in none."""
    tokens = [token.replace("\u2019", "'") for token in _TOKENS.findall(text)]
    kept = [word for place, token in enumerate(tokens) if (word := _kept(token, is_first=place == 0))]
    return tuple(_NUMBERS.findall(text)), tuple(sorted(kept))


def _kept(token: str, *, is_first: bool) -> str:
    """The token as it counts; nothing where it does not."""
    word = token.lower()
    if word.endswith("n't") or word == "cannot":
        return "not"
    word = word.partition("'")[0]  # "what's" is "what", "Oslo's" is "Oslo"
    is_name = not is_first and len(word) > 1 and not token.startswith(word)
    return word if word in _WORDS or is_name else ""
