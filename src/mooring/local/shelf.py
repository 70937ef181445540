"""The embedding model at its first use: a process that only reads stays as small as it is."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from mooring.core.errors import ConfigError
from mooring.core.registry import late

from .hub import download
from .weights import WeightsMissing, find_weights

if TYPE_CHECKING:
    from .minilm import MiniLM

HUB = "hub"
# Raise it when what is written changes: graphs of other versions are then written again.
VERSION = 1


class Shelf:
    """Loads the model at its first use. `home` keeps what is made from the weights, `weights` says where they are."""

    def __init__(self, home: Path, weights: str | None = None) -> None:
        self._folder = home / "models"
        self._made = self._folder / f"minilm-{VERSION}"
        self._weights = weights
        self._lock = asyncio.Lock()
        self._model: MiniLM | None = None

    async def model(self) -> "MiniLM":
        """The model.

        Raises:
            WeightsMissing: there are none; the next call looks again.
            ConfigError: they are not the right ones.
        """
        async with self._lock:
            if self._model is None:
                minilm = late("mooring.local.minilm")  # numpy and onnxruntime: only for those who embed
                if not self._made.is_dir():
                    await asyncio.to_thread(minilm.make, await self._source(), self._made)
                loaded: MiniLM = await asyncio.to_thread(minilm.MiniLM, self._made)
                self._model = loaded
            return self._model

    async def at_hand(self) -> "MiniLM | None":
        """The model if its weights are on this machine and right; for those who can do without."""
        if self._weights == HUB and not self._made.is_dir():
            return None
        try:
            return await self.model()
        except (WeightsMissing, ConfigError):
            return None

    async def _source(self) -> Path:
        if self._weights == HUB:
            return await download(self._folder / "all-MiniLM-L6-v2")
        return find_weights(Path(self._weights).expanduser() if self._weights else None)

    def close(self) -> None:
        if self._model is not None:
            self._model.close()
