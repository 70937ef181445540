"""local/minilm: all-MiniLM-L6-v2 without PyTorch. Its graph is written once per home, then mapped from there.

A vector is a function of its text alone: no batch, no padding. What is over 256 tokens is left out, as the model's
makers do it.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mooring.core.registry import late

from .embedded import Embedded
from .graph import GRAPH_FILE
from .safetensors import read_tensors
from .transformer import write_graph
from .weights import MODEL_FILE, VOCABULARY_FILE, check_weights
from .wordpiece import WordPiece

_MOST_THREADS = 4
_MOST_RECENT = 4096  # sentences, 1.5 KB each
_ERRORS_ONLY = 3


class MiniLM:
    """The model in memory. Threads take one text each, so that a question never waits behind a whole batch."""

    def __init__(self, folder: Path) -> None:
        onnxruntime = late("onnxruntime")  # 30 MB and 0.2 s that a process without embeddings never pays
        onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_mem_pattern = False  # each length would leave a plan of its own
        self._session: Any = onnxruntime.InferenceSession(
            str(folder / GRAPH_FILE), options, providers=["CPUExecutionProvider"]
        )
        self._recent = lru_cache(_MOST_RECENT)(self.embed)
        self._tokenizer = WordPiece.load(folder / VOCABULARY_FILE)
        self._workers = min(os.cpu_count() or 1, _MOST_THREADS)
        self._threads = ThreadPoolExecutor(self._workers, thread_name_prefix="minilm")

    def embed(self, text: str) -> Embedded:
        """One text."""
        ids = self._tokenizer.encode(text)
        (rows,) = self._session.run(None, {"ids": np.array([ids], np.int64)})
        return Embedded(rows[0].astype("<f4").tobytes(), len(ids))

    def similar(self, question: str, sentences: Sequence[str]) -> list[float]:
        """The cosine of each sentence to the question; sentences that were met lately are not embedded again."""
        asked = np.frombuffer(self.embed(question).vector, "<f4")
        return [float(asked @ np.frombuffer(self._recent(each).vector, "<f4")) for each in sentences]

    async def embed_all(self, texts: Sequence[str]) -> list[Embedded]:
        """Many texts, in order; a request has at most as many of them under way as there are threads."""
        loop = asyncio.get_running_loop()
        found: dict[int, Embedded] = {}
        left = iter(enumerate(texts))

        async def work() -> None:
            for place, text in left:
                found[place] = await loop.run_in_executor(self._threads, self.embed, text)

        await asyncio.gather(*(work() for _ in range(self._workers)))
        return [found[place] for place in range(len(texts))]

    def close(self) -> None:
        self._threads.shutdown()


def make(source: Path, target: Path) -> None:
    """Writes the graph from the weights: whole or not at all, whoever else is doing the same.

    Raises:
        ConfigError: they are not the right weights.
    """
    check_weights(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=target.name, dir=target.parent))
    try:
        shutil.copyfile(source / VOCABULARY_FILE, draft / VOCABULARY_FILE)
        write_graph(read_tensors(source / MODEL_FILE), draft)
        draft.rename(target)
    except OSError:
        if not target.is_dir():  # else another process was first
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
