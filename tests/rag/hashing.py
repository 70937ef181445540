"""A model of our own for tests: words fall into buckets by their digest, so like texts have like vectors."""

import re
from collections.abc import Sequence

import numpy as np

from mooring.core.errors import MooringError
from mooring.core.text import digest

DIMENSIONS = 64
SAME = {"automobile": "car", "cost": "price"}  # what only vectors know


class HashingEmbedder:
    """Keeps what it is asked; raises each of `fails_with` once; `refuses` a word for good."""

    def __init__(self, *, refuses: str = "", error: type[MooringError] = MooringError) -> None:
        self.texts: list[str] = []
        self.fails_with: list[MooringError] = []
        self._refuses = refuses
        self._error = error

    async def __call__(self, texts: Sequence[str], /, *, model: str) -> Sequence[Sequence[float]]:
        if self.fails_with:
            raise self.fails_with.pop()
        if self._refuses and any(self._refuses in text for text in texts):
            raise self._error("It refuses a text.")
        self.texts.extend(texts)
        return [vector(text) for text in texts]


def vector(text: str) -> list[float]:
    """Of length 1."""
    row = np.full(DIMENSIONS, 1e-3)
    for word in re.findall(r"\w+", text.lower()):
        row[digest(SAME.get(word, word).encode())[0] % DIMENSIONS] += 1
    return [float(number) for number in row / np.linalg.norm(row)]
