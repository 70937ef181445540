"""What a source holds: every file below a folder, or the one file; what cannot be used keeps its reason."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from mooring.core.errors import InvalidRequest

from .contracts import Loader, Unreadable, loaders


class Found(msgspec.Struct, frozen=True):
    """A path below the source, with `/` between its parts; `reason` where it is not to be read."""

    path: str
    file: Path
    loader: str | None = None
    reason: str | None = None
    modified_us: int | None = None


def list_source(source: Path, *, max_files: int) -> list[Found]:
    """All there is, sorted by path. Hidden folders are listed, not entered; links that lead outside are not followed.

    Raises:
        InvalidRequest: there is no such folder or file, or it holds too many files.
    """
    if not source.exists():
        raise InvalidRequest(f"There is no folder or file '{source}'.", hint="Give one that exists.", param="folder")
    by_suffix = _by_suffix()
    if source.is_file():
        return [_look(source, source.name, source.parent.resolve(), by_suffix)]
    found: list[Found] = []
    for file, path, reason in _walk(source, ""):
        found.append(Found(path, file, reason=reason) if reason else _look(file, path, source.resolve(), by_suffix))
        if len(found) > max_files:
            raise InvalidRequest(
                f"'{source}' holds more than {max_files:,} files.",
                hint="Give a smaller folder, or raise [rag] max_files.",
                param="folder",
            )
    return sorted(found, key=lambda each: each.path)


def read(found: Found, *, max_bytes: int) -> bytes:
    """The file's bytes.

    Raises:
        Unreadable: it is too large, or the system refuses it.
    """
    try:
        with found.file.open("rb") as opened:
            raw = opened.read(max_bytes + 1)
    except OSError as error:
        raise Unreadable(f"the system refuses to read it: {error.strerror or error}") from error
    if len(raw) > max_bytes:
        raise Unreadable(f"larger than {max_bytes:,} bytes: split it, or raise [rag] max_file_bytes")
    return raw


def _walk(folder: Path, prefix: str) -> Iterator[tuple[Path, str, str | None]]:
    """Files below a folder; for what is not entered, the reason."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        yield folder, prefix or ".", f"the system refuses to list it: {error.strerror or error}"
        return
    for entry in names:
        path, reason = _shown(prefix + entry.name)
        if reason is None and entry.is_dir(follow_symlinks=False):
            if entry.name.startswith("."):
                yield Path(entry.path), path + "/", "a hidden folder"
            else:
                yield from _walk(Path(entry.path), path + "/")
        else:
            yield Path(entry.path), path, reason


def _shown(path: str) -> tuple[str, str | None]:
    """The path as text that a database takes; names that are no UTF-8 are shown with escapes."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return path.encode("utf-8", "backslashreplace").decode(), "its name is not valid UTF-8: rename it"
    return path, None


def _look(file: Path, path: str, root: Path, by_suffix: dict[str, str]) -> Found:
    """Which loader reads it, or why none does."""
    loader = by_suffix.get(file.suffix.lower())
    try:
        status = file.stat()
        mode = status.st_mode
        is_outside = file.is_symlink() and not file.resolve().is_relative_to(root)
    except OSError as error:
        return Found(path, file, reason=f"the system refuses it: {error.strerror or error}")
    reason = None
    if is_outside:
        reason = "a link that leads out of the folder"
    elif stat.S_ISDIR(mode):
        reason = "a link to a folder: not followed"
    elif not stat.S_ISREG(mode):
        reason = "not a regular file"
    elif file.name.startswith("."):
        reason = "a hidden file"
    elif loader is None:
        kind = f"'{file.suffix}' files" if file.suffix else "files without a suffix"
        reason = f"no loader reads {kind}; those that are read: {', '.join(sorted(by_suffix))}"
    return Found(path, file, loader=loader, reason=reason, modified_us=status.st_mtime_ns // 1000)


def _by_suffix() -> dict[str, str]:
    """Suffix to loader name, over all registered loaders."""
    registered: dict[str, Loader] = {name: loaders.get(name) for name in loaders.names()}
    return {suffix: name for name, loader in registered.items() for suffix in loader.suffixes}
