"""A file that takes space while there is some, so that a full disk still has room for what is in flight."""

import os
import time
from pathlib import Path

BALLAST_BYTES = 16 * 1024 * 1024
RETRY_SECONDS = 5.0  # how often a full disk is asked whether it has room again


class Ballast:
    """`free` it when the disk is full; `is_full` stays true until the disk has room for it again."""

    def __init__(self, path: Path, *, size_bytes: int = BALLAST_BYTES) -> None:
        self._path = path
        self._size_bytes = size_bytes
        self._is_full = False
        self._next_try = 0.0
        self._fill()

    def free(self) -> bool:
        """Give the space back. False: it was given back before."""
        self._is_full = True
        self._next_try = time.monotonic() + RETRY_SECONDS
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True

    @property
    def is_full(self) -> bool:
        """Whether new work must be refused. Looks now and then: is the ballast gone, does it fit again.

        It may have been given back by another process, whose writes need the space now: it is filled a while later.
        """
        if time.monotonic() >= self._next_try:
            self._next_try = time.monotonic() + RETRY_SECONDS
            self._is_full = not self._fill() if self._is_full else not self._path.exists()
        return self._is_full

    def _fill(self) -> bool:
        """Take the space. False: the disk has no room for it."""
        try:
            if self._path.exists() and self._path.stat().st_size == self._size_bytes:
                return True
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                _allocate(descriptor, self._size_bytes)
            finally:
                os.close(descriptor)
        except OSError:
            self._path.unlink(missing_ok=True)
            return False
        return True


def _allocate(descriptor: int, size_bytes: int) -> None:
    """Real blocks, not a hole."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size_bytes)
        return
    block = b"\0" * 65_536
    for _ in range(size_bytes // len(block)):
        os.write(descriptor, block)
