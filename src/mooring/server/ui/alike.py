"""Things that went wrong in the same way, as one: what, how often, the first time and the last."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
# What differs between two tellings of one mistake: ids of ours, hexadecimal ids, quoted words, numbers.
_VARIES = re.compile(r"\b[a-z]+_[0-9a-hjkmnp-tv-z]{26}\b|\b[0-9a-f]{8}[0-9a-f-]*\b|'[^']*'|\"[^\"]*\"|\d+(?:\.\d+)?")


class Alike(NamedTuple, Generic[T]):
    """The newest of them stands for all."""

    newest: T
    times: int
    first_us: int
    last_us: int


def shape(text: str) -> str:
    """A message without what is of one occurrence alone."""
    return _VARIES.sub("#", text)


def alike(rows: Iterable[T], *, key: Callable[[T], Sequence[str]], at_us: Callable[[T], int]) -> list[Alike[T]]:
    """One of each kind, the kind that happened last first; texts of a key are compared by their shape."""
    found: dict[tuple[str, ...], Alike[T]] = {}
    for row in rows:
        place, at = tuple(map(shape, key(row))), at_us(row)
        known = found.get(place)
        if known is None:
            found[place] = Alike(row, 1, at, at)
            continue
        newest = row if at > known.last_us else known.newest
        found[place] = Alike(newest, known.times + 1, min(known.first_us, at), max(known.last_us, at))
    return sorted(found.values(), key=lambda one: -one.last_us)
