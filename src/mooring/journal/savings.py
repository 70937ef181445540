"""What caches have saved: a view of what attempts metered at the prices that they used, and of answers given again."""

from typing import NamedTuple

import msgspec

from mooring.core.money import PICOS_PER_NANO, Price
from mooring.storage import Tx

from .repository import attempts, ledger

VECTOR_KEYS = "cache/vector/"  # calls that the cache made to compare questions by their meaning


class CacheLine(NamedTuple):
    """One target's cache at its vendor: `saved_nanos` is what reading saved, less what writing cost more."""

    target: str
    attempts: int
    read_tokens: int
    written_tokens: int
    saved_nanos: int


class Savings(NamedTuple):
    """The vendors' caches, and answers that were given again for nothing.

    `answers_by_meaning` of them were given to questions in other words; `vectors_nanos` is what finding those cost.
    """

    lines: tuple[CacheLine, ...]
    answers: int
    answers_saved_nanos: int
    answers_by_meaning: int = 0
    vectors_nanos: int = 0

    @property
    def saved_nanos(self) -> int:
        return self.answers_saved_nanos - self.vectors_nanos + sum(line.saved_nanos for line in self.lines)


class _Hit(msgspec.Struct):
    saved_nanos: int = 0
    similarity: float | None = None


class _Attributes(msgspec.Struct):
    cache: _Hit = msgspec.field(default_factory=_Hit)


_decode = msgspec.json.Decoder(_Attributes).decode


def savings(tx: Tx, project_id: str, since_us: int) -> Savings:
    """What the caches have saved since then."""
    by_target: dict[str, list[int]] = {}
    for target, price, count, read, written in ledger.cached(tx, project_id, since_us):
        sums = by_target.setdefault(target, [0, 0, 0, 0])
        numbers = (count, read or 0, written or 0, _saved_picos(attempts.price_of(price), read or 0, written or 0))
        by_target[target] = [one + more for one, more in zip(sums, numbers, strict=True)]
    lines = [
        CacheLine(target, count, read, written, picos // PICOS_PER_NANO)
        for target, (count, read, written, picos) in by_target.items()
    ]
    hits = [_decode(attributes).cache for (attributes,) in ledger.hits(tx, project_id, since_us)]
    return Savings(
        tuple(lines),
        len(hits),
        sum(hit.saved_nanos for hit in hits),
        sum(hit.similarity is not None for hit in hits),
        ledger.of_keys(tx, project_id, VECTOR_KEYS, since_us),
    )


def _saved_picos(price: Price, read: int, written: int) -> int:
    """What the tokens would have cost as plain input, less what they did cost."""
    saved = 0 if price.cached_input_picos is None else read * (price.input_picos - price.cached_input_picos)
    return saved - (0 if price.cache_write_picos is None else written * (price.cache_write_picos - price.input_picos))
