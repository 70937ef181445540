"""Large contents as files, addressed by their SHA-256 within a project, so that `forget` can delete them.

A blob is whole or absent: it is written beside its place, then renamed. The row that names it comes after it, so a
crash leaves at most an orphan, which `sweep` removes.
"""

import errno
import hashlib
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mooring.core.errors import NotFound, StorageError, StorageFull

ORPHAN_SECONDS = 3_600.0  # a row follows its blob within one transaction; an hour is far beyond any


class BlobRef(NamedTuple):
    """A blob that a row names."""

    project_id: str
    digest: bytes


class Blobs:
    """Files under `root`, one folder per project. `is_synced` asks for an fsync of each, for durability `power`."""

    def __init__(self, root: Path, *, is_synced: bool = False) -> None:
        self._root = root
        self._is_synced = is_synced

    def put(self, project_id: str, data: bytes) -> bytes:
        """Keep the bytes; their digest. The same bytes are kept once, and are young again.

        Raises:
            StorageFull: the disk is full.
        """
        digest = hashlib.sha256(data).digest()
        place = self._place(project_id, digest)
        try:
            os.utime(place)  # a sweep that runs now must not take it for an old orphan
        except FileNotFoundError:
            self._write(place, data)
        return digest

    def get(self, project_id: str, digest: bytes) -> bytes:
        """The bytes.

        Raises:
            NotFound: the project has no such blob.
            StorageError: the file was changed or damaged.
        """
        try:
            data = self._place(project_id, digest).read_bytes()
        except FileNotFoundError as error:
            raise NotFound(
                f"There is no blob {digest.hex()[:16]}… in this project.", hint="It may have been forgotten."
            ) from error
        if hashlib.sha256(data).digest() != digest:
            raise StorageError(
                f"The blob {digest.hex()[:16]}… is damaged.", hint="Restore the folder blobs from a backup."
            )
        return data

    def has(self, project_id: str, digest: bytes) -> bool:
        """Whether the bytes are there."""
        return self._place(project_id, digest).exists()

    def delete(self, project_id: str, digest: bytes) -> None:
        """Remove the bytes, if they are there."""
        self._place(project_id, digest).unlink(missing_ok=True)

    def sweep(
        self, project_id: str, is_named: Callable[[bytes], bool], *, older_than_seconds: float = ORPHAN_SECONDS
    ) -> int:
        """Remove blobs that no row names, and drafts that a crash left; how many bytes that freed."""
        before = time.time() - older_than_seconds
        freed = 0
        for file in self._project(project_id).glob("*/*"):
            try:
                facts = file.stat()
                if facts.st_mtime <= before and not (_is_digest(file.name) and is_named(bytes.fromhex(file.name))):
                    file.unlink()
                    freed += facts.st_size
            except FileNotFoundError:
                continue
        return freed

    def size_bytes(self, project_id: str) -> int:
        """What the project's blobs take."""
        return sum(file.stat().st_size for file in self._project(project_id).glob("*/*"))

    def _write(self, place: Path, data: bytes) -> None:
        draft = place.with_name(f"draft-{secrets.token_hex(8)}")
        try:
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                if self._is_synced:
                    file.flush()
                    os.fsync(file.fileno())
            draft.replace(place)
            if self._is_synced:
                _sync_folder(place.parent)
        except OSError as error:
            draft.unlink(missing_ok=True)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull(
                    "The disk is full: the content was not kept.", hint="Free space on the disk of MOORING_HOME."
                ) from error
            raise StorageError(
                f"The content could not be kept: {error.strerror}.", hint="Check the folder blobs."
            ) from error

    def _project(self, project_id: str) -> Path:
        return self._root / project_folder(project_id)

    def _place(self, project_id: str, digest: bytes) -> Path:
        name = digest.hex()
        return self._project(project_id) / name[:2] / name


def project_folder(project_id: str) -> str:
    """The folder of a project's blobs: its name is no path."""
    return hashlib.sha256(project_id.encode()).hexdigest()[:32]


def _is_digest(name: str) -> bool:
    return len(name) == 64 and not name.startswith("draft")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
