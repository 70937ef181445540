"""The sentence reranker: a passage is as near to the question as the nearest of its sentences, or itself as a whole.

The vector of a whole passage is an average; one sentence that answers is lost in it. Sentences are embedded when they
are needed, and the last ones are remembered.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mooring.core.seams import Embed
from mooring.core.text import digest

from .embedding import BATCH, vectors_of

DEPTH = 20  # passages that are reranked
MOST_SENTENCES = 24  # of a passage; a table or list has more, and its first ones say what it is
REMEMBERED = 8_192  # sentences: 6 MB with 384 dimensions

SENTENCE_WEIGHT = 1.5  # of the cosine beside the fused score: the best of .75 to 3 on squad_dev

_ENDING = re.compile(
    r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[\"'“‘(\[]*[^\W_a-z])|(?<=[。！？])|\n\s*\n|\n(?=\s*(?:[-*+|#>]|\d{1,3}[.)]\s))"
)
_LEAST = 12  # characters; shorter ones join the next


class SentenceReranker:
    """Remembers sentences across questions, whatever the collection."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._known: OrderedDict[bytes, bytes] = OrderedDict()

    async def similarities(
        self, query: NDArray[np.float32], texts: Mapping[bytes, str], *, embed: Embed
    ) -> dict[bytes, float]:
        """The cosine of the question and the nearest sentence of each passage."""
        sentences = {key: sentences_of(text) for key, text in texts.items()}
        vectors = await self._vectors([each for group in sentences.values() for each in group], embed)
        return {
            key: max((float(vectors[digest(each.encode())] @ query) for each in group), default=0.0)
            for key, group in sentences.items()
        }

    async def _vectors(self, sentences: Sequence[str], embed: Embed) -> dict[bytes, NDArray[np.float32]]:
        keys = {digest(each.encode()): each for each in sentences}
        missing = [key for key in keys if key not in self._known]
        for first in range(0, len(missing), 4 * BATCH):
            batch = missing[first : first + 4 * BATCH]
            rows = await vectors_of([keys[key] for key in batch], embed=embed, model=self._model)
            for key, row in zip(batch, rows, strict=True):
                self._known[key] = row.astype(np.float16).tobytes()
        found = {key: np.frombuffer(self._known[key], dtype=np.float16).astype(np.float32) for key in keys}
        for key in keys:
            self._known.move_to_end(key)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found


def reorder(fused: Mapping[bytes, float], similarities: Mapping[bytes, float]) -> dict[bytes, float]:
    """The reranked passages by fused score plus weighted cosine, then the others as they were."""
    added = {
        key: score + SENTENCE_WEIGHT * max(similarities[key], 0.0)
        for key, score in fused.items()
        if key in similarities
    }
    return {
        **dict(sorted(added.items(), key=lambda item: -item[1])),
        **{k: v for k, v in fused.items() if k not in added},
    }


def sentences_of(text: str) -> list[str]:
    """The passage's sentences, in order; very short ones stand with their successor."""
    found: list[str] = []
    start = 0
    for match in _ENDING.finditer(text):
        if len(text[start : match.start()].strip()) >= _LEAST:
            found.append(text[start : match.end()].strip())
            start = match.end()
    rest = text[start:].strip()
    if rest:
        found.append(rest)
    return found[:MOST_SENTENCES]
