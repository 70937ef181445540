"""The oracle of local/minilm: BERT's forward pass in float32 and numpy, written from the paper, sharing no code."""

from collections.abc import Mapping
from math import erf

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
_erf = np.vectorize(erf, otypes=[np.float32])


def vector_of(tensors: Mapping[str, Array], ids: list[int]) -> Array:
    """The mean of the last layer over all tokens, at length 1."""

    def norm(x: Array, name: str) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt(x.var(-1, keepdims=True) + 1e-12) * tensors[name + ".weight"] + tensors[name + ".bias"]

    def dense(x: Array, name: str) -> Array:
        return x @ tensors[name + ".weight"].T + tensors[name + ".bias"]

    count = len(ids)
    x = tensors["embeddings.word_embeddings.weight"][ids]
    x = x + tensors["embeddings.position_embeddings.weight"][:count]
    x = norm(x + tensors["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(6):
        name = f"encoder.layer.{layer}."
        query, key, value = (
            dense(x, f"{name}attention.self.{part}").reshape(count, 12, 32).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(np.float32(32))
        weight = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (weight / weight.sum(-1, keepdims=True)) @ value
        mixed = dense(mixed.transpose(1, 0, 2).reshape(count, 384), name + "attention.output.dense")
        x = norm(mixed + x, name + "attention.output.LayerNorm")
        inner = dense(x, name + "intermediate.dense")
        inner = inner * 0.5 * (1 + _erf(inner / np.sqrt(np.float32(2))))
        x = norm(dense(inner, name + "output.dense") + x, name + "output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)
