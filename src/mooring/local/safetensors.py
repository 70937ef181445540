"""Reads a safetensors file: a length, a JSON header, then the bytes. https://github.com/huggingface/safetensors#format"""

import mmap
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray


class _Entry(msgspec.Struct):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def read_tensors(path: Path) -> Mapping[str, NDArray[np.float32]]:
    """The float32 tensors by name, mapped, not read. The file must be one that was checked."""
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    start = 8 + int.from_bytes(data[:8], "little")
    header = msgspec.json.decode(data[8:start], type=dict[str, msgspec.Raw])
    header.pop("__metadata__", None)
    tensors: dict[str, NDArray[np.float32]] = {}
    for name, raw in header.items():
        entry = msgspec.json.decode(raw, type=_Entry)
        if entry.dtype == "F32":
            begin, end = entry.data_offsets
            flat = np.frombuffer(data, np.float32, (end - begin) // 4, start + begin)
            tensors[name] = flat.reshape(entry.shape)
    return tensors
