"""Texts to vectors for Mooring's own rooms: batches out, bodies in, as pure functions.

`wiring.py` puts them around `Gateway.embed`, so that what a room embeds is a call like any other.
"""

from collections.abc import Iterator, Sequence

import msgspec

from mooring.core.errors import UpstreamMalformed
from mooring.core.vectors import Vector, decode_vector, normalised

BATCH_TEXTS = 64
BATCH_CHARACTERS = 256_000


class _Vector(msgspec.Struct):
    embedding: str | list[float]


class _Body(msgspec.Struct):
    data: list[_Vector]


_decode = msgspec.json.Decoder(_Body).decode


def batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in order, so many and so long at a time that any provider takes them."""
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and (len(batch) == BATCH_TEXTS or size + len(text) > BATCH_CHARACTERS):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch


def request_body(texts: Sequence[str], model: str) -> bytes:
    """In base64: a third of the bytes, and exact."""
    return msgspec.json.encode({"model": model, "input": texts, "encoding_format": "base64"})


def vectors(body: bytes) -> list[Vector]:
    """The vectors of an answer, L2-normalised.

    Raises:
        UpstreamMalformed: it holds none, or they are of different lengths.
    """
    try:
        found = [normalised(decode_vector(each.embedding)) for each in _decode(body).data]
    except msgspec.DecodeError as error:
        raise UpstreamMalformed(f"The answer holds no embeddings: {error}.", is_billable=True) from error
    if len({len(vector) for vector in found}) > 1:
        raise UpstreamMalformed("The embeddings of one answer have different lengths.", is_billable=True)
    return found
