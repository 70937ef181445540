"""Writes an ONNX graph: nodes and tensors in, two files out. Enough of the format for a model of our own, no more.

The `onnx` package is 31 MB that would be needed once per installation; the format is protobuf, and a message is a
sequence of (field number, wire type, value). Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

GRAPH_FILE = "graph.onnx"
TENSORS_FILE = "tensors.bin"  # beside it, so that onnxruntime maps it instead of reading it

Attribute = int | float | Sequence[int]

_ELEMENT = {"float32": 1, "uint8": 2, "int8": 3, "int64": 7, "float16": 10}
_IR_VERSION = 10
_OPSETS = (("", 20), ("com.microsoft", 1))
_PAGE_BYTES = 4096
_EXTERNAL = 1
_INLINE_BYTES = 256  # shapes and constants that the optimiser wants to see


class Graph:
    """Built node by node, each named by its output; tensors go into the second file as they come."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tensors: IO[bytes] = (folder / TENSORS_FILE).open("wb")
        self._parts: list[bytes] = []
        self._count = 0

    def tensor(self, array: NDArray[np.generic]) -> str:
        """A constant; its name."""
        name = self._name("tensor")
        raw = np.ascontiguousarray(array).tobytes()
        message = b"".join(_number(1, size) for size in array.shape)
        message += _number(2, _ELEMENT[array.dtype.name]) + _bytes(8, name.encode())
        if len(raw) <= _INLINE_BYTES:
            message += _bytes(9, raw)
        else:
            self._tensors.write(b"\0" * (-self._tensors.tell() % _PAGE_BYTES))
            place = {"location": TENSORS_FILE, "offset": str(self._tensors.tell()), "length": str(len(raw))}
            message += b"".join(_bytes(13, _pair(key, value)) for key, value in place.items()) + _number(14, _EXTERNAL)
            self._tensors.write(raw)
        self._parts.append(_bytes(5, message))
        return name

    def node(
        self, operation: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Attribute
    ) -> list[str]:
        """An operation; the names of its outputs. An empty input name leaves an optional input out."""
        names = [self._name(operation.lower()) for _ in range(outputs)]
        message = b"".join(_bytes(1, name.encode()) for name in inputs)
        message += b"".join(_bytes(2, name.encode()) for name in names)
        message += _bytes(4, operation.encode())
        message += b"".join(_bytes(5, _attribute(name, value)) for name, value in attributes.items())
        self._parts.append(_bytes(1, message + _bytes(7, domain.encode())))
        return names

    def one(self, operation: str, *inputs: str, domain: str = "", **attributes: Attribute) -> str:
        """An operation with one output; its name."""
        return self.node(operation, *inputs, outputs=1, domain=domain, **attributes)[0]

    def finish(self, inputs: dict[str, tuple[str, Sequence[str]]], output: str, shape: Sequence[str]) -> None:
        """Writes both files to the disk. `inputs` are (element type, dimensions) by name; the output is float32."""
        self._parts += [_bytes(11, _value(name, kind, dimensions)) for name, (kind, dimensions) in inputs.items()]
        self._parts.append(_bytes(12, _value(output, "float32", shape)))
        graph = b"".join(self._parts) + _bytes(2, b"mooring")
        opsets = b"".join(_bytes(8, _bytes(1, domain.encode()) + _number(2, number)) for domain, number in _OPSETS)
        model = _number(1, _IR_VERSION) + _bytes(2, b"mooring") + _bytes(7, graph) + opsets
        with (self._folder / GRAPH_FILE).open("wb") as file:
            file.write(model)
            _sync(file)
        _sync(self._tensors)
        self.close()

    def close(self) -> None:
        self._tensors.close()

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are ten bytes long
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _pair(key: str, value: str) -> bytes:
    return _bytes(1, key.encode()) + _bytes(2, value.encode())


def _attribute(name: str, value: Attribute) -> bytes:
    message = _bytes(1, name.encode())
    if isinstance(value, float):
        return message + _varint(2 << 3 | 5) + np.float32(value).tobytes() + _number(20, 1)
    if isinstance(value, int):
        return message + _number(3, value) + _number(20, 2)
    return message + b"".join(_number(8, each) for each in value) + _number(20, 7)


def _value(name: str, kind: str, dimensions: Sequence[str]) -> bytes:
    """A named tensor of a shape; a dimension that is a number is fixed."""
    shape = b"".join(
        _bytes(1, _number(1, int(each)) if each.isdigit() else _bytes(2, each.encode())) for each in dimensions
    )
    tensor = _number(1, _ELEMENT[kind]) + _bytes(2, shape)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor))
