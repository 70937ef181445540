"""Zstandard: the standard library's where it has one; before Python 3.14 the same module as a package of its own."""

import sys
import threading

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_local = threading.local()


def compress(data: bytes) -> bytes:
    """One frame of level 1, for what is written while somebody waits."""
    compressor: zstd.ZstdCompressor | None = getattr(_local, "compressor", None)
    if compressor is None:  # a new one takes 10 µs, so each thread keeps its own
        compressor = _local.compressor = zstd.ZstdCompressor(level=1)
    return compressor.compress(data, zstd.ZstdCompressor.FLUSH_FRAME)


def compress_small(data: bytes) -> bytes:
    """One frame of level 3, for what is written once and kept."""
    return zstd.compress(data, level=3)


def decompress(data: bytes) -> bytes:
    """The opposite of both."""
    return zstd.decompress(data)
