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


class Worded:
    """Frames of level 1 by someone who knows some words already, which those who read them must know too."""

    def __init__(self, words: bytes) -> None:
        self._words = zstd.ZstdDict(words, is_raw=True)
        self._local = threading.local()

    def compress(self, data: bytes) -> bytes:
        """One frame."""
        compressor: zstd.ZstdCompressor | None = getattr(self._local, "compressor", None)
        if compressor is None:
            words = self._words.as_digested_dict
            compressor = self._local.compressor = zstd.ZstdCompressor(level=1, zstd_dict=words)
        return compressor.compress(data, zstd.ZstdCompressor.FLUSH_FRAME)

    def decompress(self, data: bytes) -> bytes:
        """The opposite, of a frame that needs no words too."""
        return zstd.decompress(data, zstd_dict=self._words)
