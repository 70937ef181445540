"""Nearest vectors: an exact float16 scan up to 50,000; above, binary codes first, then those of the best chunks.

A chunk has a vector for each of its windows, and is as near as the nearest of them.
Codes are the signs of the numbers, kept column by column, so that a scan is a few passes over memory.
"""

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

EXACT_UP_TO = 50_000  # vectors; 38 MB with 384 dimensions
CANDIDATES = 500  # chunks by their codes, whose vectors are then compared: recall@10 .992
_BLOCK = 4096  # rows that are made float32 at once

Number = TypeVar("Number", np.float32, np.int32)
ReadVectors = Callable[[Sequence[bytes]], dict[bytes, bytes]]


class Vectors:
    """One collection's vectors, in memory: whole, or as codes beside a function that reads some.

    `rows` hold the vectors of a chunk, one after the other; `windows` how many, without it one of each.
    `owners` are the documents of the chunks; without them a search cannot be held to some documents.
    """

    def __init__(
        self,
        chunk_ids: list[bytes],
        rows: list[bytes],
        *,
        owners: Sequence[bytes] = (),
        windows: Sequence[int] = (),
        exact_up_to: int = EXACT_UP_TO,
    ) -> None:
        counts = windows or [1] * len(rows)
        size = len(rows[0]) // counts[0] if rows else 0
        alike = [place for place, row in enumerate(rows) if len(row) == size * counts[place]]
        self.chunk_ids = [chunk_ids[place] for place in alike]
        numbers: dict[bytes, int] = {}
        kept = [numbers.setdefault(owners[place], len(numbers)) for place in alike] if owners else []
        self._numbers = numbers
        self._owners = np.array(kept, dtype=np.int32)
        self.dimensions = size // 2
        self._places = {chunk_id: place for place, chunk_id in enumerate(self.chunk_ids)}
        joined = b"".join(rows[place] for place in alike)
        matrix = np.frombuffer(joined, dtype="<f2").reshape(-1, max(self.dimensions, 1))
        ends = np.cumsum([counts[place] for place in alike], dtype=np.int64)
        self._starts = None if len(matrix) == len(alike) else np.concatenate(([0], ends[:-1]))
        self.is_exact = len(matrix) <= exact_up_to
        self._matrix = matrix if self.is_exact else None
        self._codes = None if self.is_exact else np.ascontiguousarray(codes_of(matrix).T)

    @property
    def size_bytes(self) -> int:
        """What it takes, about."""
        held = self._matrix if self._matrix is not None else self._codes
        return (held.nbytes if held is not None else 0) + 154 * len(self.chunk_ids) + 150 * len(self._numbers)

    def search(
        self,
        query: NDArray[np.float32],
        *,
        limit: int,
        also: Sequence[bytes],
        read: ReadVectors,
        among: Collection[bytes] | None = None,
    ) -> tuple[list[tuple[bytes, float]], dict[bytes, float]]:
        """The nearest chunks with their cosines, best first; and the cosines of the chunks in `also`.

        `among`: the nearest of these documents only, found as if there were no others.
        """
        if not self.chunk_ids or query.shape[0] != self.dimensions:
            return [], {}
        if self._matrix is not None:
            scores = self._by_chunk(scan(self._matrix, query))
            best = [(self.chunk_ids[place], float(scores[place])) for place in self._largest(scores, limit, among)]
            return best, {each: float(scores[self._places[each]]) for each in also if each in self._places}
        places = self._nearest_codes(query, among)
        found = read([*(self.chunk_ids[place] for place in places), *also])
        cosines = {each: nearest(row, query) for each, row in found.items() if len(row) % (2 * self.dimensions) == 0}
        near = {self.chunk_ids[place] for place in places}
        ranked = sorted(((each, cosines[each]) for each in near & cosines.keys()), key=lambda item: (-item[1], item[0]))
        return ranked[:limit], {each: cosines[each] for each in also if each in cosines}

    def _nearest_codes(self, query: NDArray[np.float32], among: Collection[bytes] | None) -> list[int]:
        assert self._codes is not None
        distances = np.zeros(self._codes.shape[1], dtype=np.uint16)
        for column, word in zip(self._codes, codes_of(query[None, :])[0], strict=True):
            distances += np.bitwise_count(column ^ word)
        return self._largest(self._by_chunk(-distances.astype(np.int32)), CANDIDATES, among)

    def _by_chunk(self, scores: NDArray[Number]) -> NDArray[Number]:
        """The best of each chunk's windows."""
        return scores if self._starts is None else np.maximum.reduceat(scores, self._starts)

    def _largest(
        self, scores: NDArray[np.float32] | NDArray[np.int32], limit: int, among: Collection[bytes] | None
    ) -> list[int]:
        if among is None:
            return largest(scores, limit)
        chosen = np.zeros(len(self._numbers), dtype=bool)
        chosen[[self._numbers[owner] for owner in among if owner in self._numbers]] = True
        places = np.flatnonzero(chosen[self._owners])
        return [int(places[place]) for place in largest(scores[places], limit)]


def scan(matrix: NDArray[np.float16], query: NDArray[np.float32]) -> NDArray[np.float32]:
    """The product of each row with the query, in float32."""
    scores = np.empty(matrix.shape[0], dtype=np.float32)
    for first in range(0, matrix.shape[0], _BLOCK):
        scores[first : first + _BLOCK] = matrix[first : first + _BLOCK].astype(np.float32) @ query
    return scores


def largest(scores: NDArray[np.float32] | NDArray[np.int32], limit: int) -> list[int]:
    """Places of the largest, in falling order; equal ones in their own order."""
    if limit < scores.shape[0]:
        places = np.sort(np.argpartition(-scores, limit - 1)[:limit])
    else:
        places = np.arange(scores.shape[0])
    return [int(place) for place in places[np.argsort(-scores[places], kind="stable")]]


def codes_of(rows: NDArray[np.float16] | NDArray[np.float32]) -> NDArray[np.uint64]:
    """The signs of each row, 64 to a number; (rows, ceil(dimensions / 64))."""
    bits = np.packbits(rows > 0, axis=1, bitorder="little")
    padded = np.zeros((bits.shape[0], -(-bits.shape[1] // 8) * 8), dtype=np.uint8)
    padded[:, : bits.shape[1]] = bits
    return padded.view(np.uint64)


def nearest(row: bytes, query: NDArray[np.float32]) -> float:
    """The greatest cosine of a chunk's vectors, as the ledger keeps them."""
    vectors = np.frombuffer(row, dtype="<f2").reshape(-1, query.shape[0])
    return float((vectors.astype(np.float32) @ query).max(initial=-1.0))
