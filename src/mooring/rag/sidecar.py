"""`mooring-metadata.toml`: what a folder's owner says of the documents in it.

Fields at the top hold for every document of the folder and below; a table for those whose path below the folder is
like its name (`*` stands for anything, `/` too). The deeper folder and the later table have the last word. A file that
is wrong stops the ingestion before anything is changed: a filter may stand on what it says.
"""

import tomllib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from mooring.core.errors import InvalidRequest

from .metadata import FACT, MOST_FIELDS, is_name, plain

SIDECAR = "mooring-metadata.toml"
MOST_BYTES = 1_048_576

Fields = dict[str, object]


class Sidecar(msgspec.Struct, frozen=True):
    """One file: the folder it speaks of (`""` or ending in `/`), what holds for all, and by pattern."""

    folder: str
    everywhere: Fields
    by_pattern: tuple[tuple[str, Fields], ...]

    def of(self, path: str) -> Fields:
        """What it says of a document."""
        if not path.startswith(self.folder):
            return {}
        below = path[len(self.folder) :]
        found = dict(self.everywhere)
        for pattern, fields in self.by_pattern:
            if fnmatchcase(below, pattern):
                found |= fields
        return found


def said_of(path: str, sidecars: Sequence[Sidecar]) -> Fields:
    """What the folders above a document say of it; `sidecars` are in the order of their depth."""
    found: Fields = {}
    for sidecar in sidecars:
        found |= sidecar.of(path)
    return found


def read_sidecar(file: Path, path: str) -> Sidecar:
    """The file, which is shown as `path`.

    Raises:
        InvalidRequest: it is no TOML, or says what no metadata can be.
    """
    if file.is_symlink():
        raise _refused(path, "it is a link")
    try:
        with file.open("rb") as opened:
            raw = opened.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise _refused(path, f"it is larger than {MOST_BYTES:,} bytes")
        said = tomllib.loads(raw.decode())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _refused(path, str(error)) from error
    tables = {name: value for name, value in said.items() if isinstance(value, dict)}
    everywhere = {name: value for name, value in said.items() if name not in tables}
    return Sidecar(
        path.removesuffix(SIDECAR),
        _checked(everywhere, path),
        tuple((pattern, _checked(fields, path)) for pattern, fields in tables.items()),
    )


def _checked(fields: Mapping[str, object], path: str) -> Fields:
    if len(fields) > MOST_FIELDS:
        raise _refused(path, f"it has more than {MOST_FIELDS} fields for one document")
    found = {name: plain(value) for name, value in fields.items()}
    for name, value in found.items():
        if not is_name(name):
            raise _refused(path, f"'{name[:60]}' is no name of a field; '{FACT}…' are facts that nobody says")
        if value is None:
            raise _refused(path, f"'{name[:60]}' is no text, number, true or false, day, or list of them")
    return found


def _refused(path: str, reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"{path} cannot be read: {reason}.",
        hint='Write fields like team = "billing", or a table of them: ["archive/*"].',
        param="folder",
    )
