"""Patterns that know their own beginnings: from one description come the RE2 pattern and that of all its openings.

A stream must hold back exactly what may still become a match: the longest tail that opens one. So a shape is a pair,
`whole` (what matches) and `opening` (every beginning of what matches, the whole one included).
No look-around: a shape's match depends on nothing outside it.
"""

from typing import NamedTuple

import re2


class Shape(NamedTuple):
    """Two RE2 patterns over Latin-1 bytes."""

    whole: str
    opening: str


def word(text: str) -> Shape:
    """Exactly this text; its openings have at least one character."""
    opening = ""
    for character in reversed(text):
        opening = f"{re2.escape(character)}(?:{opening})?" if opening else re2.escape(character)
    return Shape(re2.escape(text), opening)


def run(characters: str, least: int, most: int | None = None) -> Shape:
    """`least` to `most` (or any number) of a class written as within brackets."""
    upper = "" if most is None else str(most)
    return Shape(f"[{characters}]{{{least},{upper}}}", f"[{characters}]{{0,{upper}}}")


def sequence(*shapes: Shape) -> Shape:
    """One after the other. Openings are never empty if the first shape is a word."""
    whole, opening = "", ""
    for shape in reversed(shapes):
        opening = f"(?:{shape.opening}|{shape.whole}(?:{opening})?)" if opening else f"(?:{shape.opening})"
        whole = shape.whole + whole
    return Shape(whole, opening)


def either(*shapes: Shape) -> Shape:
    """Any one of them."""
    return Shape(
        "(?:" + "|".join(shape.whole for shape in shapes) + ")",
        "(?:" + "|".join(shape.opening for shape in shapes) + ")",
    )


def words(*texts: str) -> Shape:
    """Any one of these texts."""
    return either(*(word(text) for text in texts))


def many(shape: Shape) -> Shape:
    """Any number of times, none included."""
    return Shape(f"(?:{shape.whole})*", f"(?:{shape.whole})*(?:{shape.opening})?")


def maybe(shape: Shape) -> Shape:
    """Once or not at all."""
    return Shape(f"(?:{shape.whole})?", f"(?:{shape.opening})?")


def times(shape: Shape, least: int, most: int) -> Shape:
    """`least` to `most` of them, one after the other; `most` is above 0."""
    return Shape(f"(?:{shape.whole}){{{least},{most}}}", f"(?:{shape.whole}){{0,{most - 1}}}(?:{shape.opening})?")
