"""MiniLM as an ONNX graph of our own: six layers, mean pooling, length 1; products in int8, everything else in float.

Weights are quantised per output channel to seven bits (`reduce_range`: on processors without VNNI eight would
overflow), activations dynamically, per tensor. The embedding table stays in floats, in half precision: quantised to
int8 it costs five points of cosine.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .embedded import DIMENSIONS
from .graph import Graph

LAYERS, HEADS, WIDTH = 6, 12, DIMENSIONS
EPSILON = 1e-12
_STEPS = 64  # int8 in seven bits
_CONTRIB = "com.microsoft"

Tensors = Mapping[str, NDArray[np.float32]]


def write_graph(tensors: Tensors, folder: Path) -> None:
    """The graph's two files. Input: `ids`, int64 of (1, length), no padding; output: float32 of (1, 384), of length 1.

    One text at a time: it is the fastest per CPU second (what a layer needs stays in the cache), needs no mask, and
    makes a vector a function of its text alone, where a batch's common range of activations would not.
    """
    graph = Graph(folder)
    try:
        hidden = _embedding(graph, tensors)
        for layer in range(LAYERS):
            hidden = _layer(graph, tensors, f"encoder.layer.{layer}.", hidden)
        output = _pooled(graph, hidden)
        graph.finish({"ids": ("int64", ("1", "length"))}, output, ("1", str(WIDTH)))
    finally:
        graph.close()


def _embedding(graph: Graph, tensors: Tensors) -> str:
    """Words, positions and the one type of token; the type's row is the same for all, so it is added beforehand."""
    words = graph.tensor(tensors["embeddings.word_embeddings.weight"].astype(np.float16))
    places = tensors["embeddings.position_embeddings.weight"] + tensors["embeddings.token_type_embeddings.weight"][0]
    word = graph.one("Cast", graph.one("Gather", words, "ids"), to=1)
    length = graph.one("Shape", "ids", start=1, end=2)
    zero = graph.tensor(np.zeros(1, np.int64))
    place = graph.one("Slice", graph.tensor(places), zero, length, zero)
    return _norm(graph, tensors, "embeddings.LayerNorm", graph.one("Add", word, place))


def _layer(graph: Graph, tensors: Tensors, name: str, hidden: str) -> str:
    attended = _attention(graph, tensors, name + "attention.", hidden)
    hidden = _norm(graph, tensors, name + "attention.output.LayerNorm", graph.one("Add", attended, hidden))
    inner = graph.one("Gelu", _dense(graph, tensors, hidden, name + "intermediate.dense"))
    outer = _dense(graph, tensors, inner, name + "output.dense")
    return _norm(graph, tensors, name + "output.LayerNorm", graph.one("Add", outer, hidden))


def _attention(graph: Graph, tensors: Tensors, name: str, hidden: str) -> str:
    parts = [name + "self." + part for part in ("query", "key", "value")]
    query, key, value = _dense_parts(graph, tensors, hidden, parts)
    mixed = graph.one("MultiHeadAttention", query, key, value, domain=_CONTRIB, num_heads=HEADS)
    return _dense(graph, tensors, mixed, name + "output.dense")


def _dense(graph: Graph, tensors: Tensors, hidden: str, name: str) -> str:
    return _dense_parts(graph, tensors, hidden, [name])[0]


def _dense_parts(graph: Graph, tensors: Tensors, hidden: str, names: list[str]) -> list[str]:
    """Several products with the same input, as one."""
    weight = np.concatenate([tensors[name + ".weight"] for name in names]).T  # (inputs, outputs)
    bias = graph.tensor(np.concatenate([tensors[name + ".bias"] for name in names]))
    scale = np.abs(weight).max(axis=0) / _STEPS
    quantised = graph.tensor(np.rint(weight / scale).astype(np.int8))
    product = graph.one(
        "DynamicQuantizeMatMul", hidden, quantised, graph.tensor(scale.astype(np.float32)), "", bias, domain=_CONTRIB
    )
    if len(names) == 1:
        return [product]
    return graph.node("Split", product, outputs=len(names), axis=-1, num_outputs=len(names))


def _norm(graph: Graph, tensors: Tensors, name: str, hidden: str) -> str:
    scale, bias = graph.tensor(tensors[name + ".weight"]), graph.tensor(tensors[name + ".bias"])
    return graph.one("LayerNormalization", hidden, scale, bias, axis=-1, epsilon=EPSILON)


def _pooled(graph: Graph, hidden: str) -> str:
    """The mean over the tokens, at length 1."""
    mean = graph.one("ReduceMean", hidden, graph.tensor(np.array([1], np.int64)), keepdims=0)
    return graph.one("LpNormalization", mean, axis=-1, p=2)
