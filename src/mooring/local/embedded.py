"""What the embedding model gives for a text."""

import msgspec

DIMENSIONS = 384


class Embedded(msgspec.Struct, frozen=True):
    """A vector as little-endian float32, of length 1, and how many tokens it stands for."""

    vector: bytes
    tokens: int
