"""The ONNX writer by what onnxruntime makes of it."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from mooring.local.graph import GRAPH_FILE, Graph


def run(folder: Path, **inputs: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(folder / GRAPH_FILE), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


def test_small_and_large_tensors_attributes_and_dimensions_arrive(tmp_path: Path) -> None:
    graph = Graph(tmp_path)
    weight = np.arange(200 * 3, dtype=np.float32).reshape(200, 3)
    rows = graph.one("Gather", graph.tensor(weight), "ids")
    turned = graph.one("Transpose", graph.one("Add", rows, graph.tensor(np.ones(1, np.float32))), perm=(0, 2, 1))
    output = graph.one("LeakyRelu", turned, alpha=0.5)
    graph.finish({"ids": ("int64", ("1", "length"))}, output, ("1", "3", "length"))
    assert run(tmp_path, ids=np.array([[1, 199]])) == pytest.approx((weight[[1, 199]] + 1).T[None])


def test_negative_numbers_and_half_precision_arrive(tmp_path: Path) -> None:
    graph = Graph(tmp_path)
    table = np.linspace(-1, 1, 400, dtype=np.float16).reshape(100, 4)
    row = graph.one("Cast", graph.one("Gather", graph.tensor(table), "ids"), to=1)
    first, second = graph.node("Split", row, outputs=2, axis=-1, num_outputs=2)
    graph.finish({"ids": ("int64", ("length",))}, graph.one("Sub", first, second), ("length", "2"))
    expected = table[[5]].astype(np.float32)
    assert run(tmp_path, ids=np.array([5])) == pytest.approx(expected[:, :2] - expected[:, 2:])
