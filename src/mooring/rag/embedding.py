"""Vectors for the passages that have none yet: whatever was stopped in the middle goes on from there.

A batch is bought, then stored in one transaction; what is stored is never bought again.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from mooring.core.errors import MooringError, UpstreamMalformed
from mooring.core.seams import Embed

from .repository import ChunkInput, EmbeddingRepository, Vector

BATCH = 32  # texts of one call: about a second of the built-in model on one core

Note = Callable[[str, int, int, int], Awaitable[None]]  # path of the last one, how many, done, total


class Embedded(msgspec.Struct, frozen=True):
    """How many vectors were made, and why there are not more."""

    count: int = 0
    reason: str | None = None


async def embed_pending(
    repository: EmbeddingRepository,
    project_id: str,
    collection_id: bytes,
    *,
    embed: Embed,
    model: str,
    note: Note | None = None,
) -> Embedded:
    """Give each passage of the collection its vector; a model that fails ends it with the reason, words still work."""
    pending = await repository.pending(project_id, collection_id, model)
    count, refused = 0, None
    for first in range(0, len(pending), BATCH):
        inputs = await repository.inputs(project_id, pending[first : first + BATCH])
        done = first
        for group in _groups(inputs):
            vectors, reason = await _vectors(group, embed=embed, model=model)
            if vectors:
                await repository.put(project_id, collection_id, model, vectors)
            count += len(vectors)
            done += len(group)
            refused = refused or reason
            if note is not None:
                await note(group[-1].path, len(vectors), done, len(pending))
            if not vectors:
                return Embedded(count, refused)
    return Embedded(count, refused)


def _groups(inputs: Sequence[ChunkInput]) -> Iterator[list[ChunkInput]]:
    """Passages whose windows are at most a batch together; one passage at least."""
    group: list[ChunkInput] = []
    size = 0
    for each in inputs:
        if group and size + len(each.texts) > BATCH:
            yield group
            group, size = [], 0
        group.append(each)
        size += len(each.texts)
    if group:
        yield group


async def _vectors(inputs: Sequence[ChunkInput], *, embed: Embed, model: str) -> tuple[dict[bytes, Vector], str | None]:
    """Vectors by chunk. Where the model refuses a batch for good, one passage after the other: one stops none."""
    try:
        rows = await vectors_of([text for each in inputs for text in each.texts], embed=embed, model=model)
    except MooringError as error:
        if error.is_retryable or error.status not in (400, 413) or len(inputs) == 1:
            return {}, str(error)
        reason: str | None = str(error)
    else:
        ends = np.cumsum([len(each.texts) for each in inputs])
        return {
            each.chunk_id: Vector(len(each.texts), pack(rows[end - len(each.texts) : end]))
            for each, end in zip(inputs, ends, strict=True)
        }, None
    found: dict[bytes, Vector] = {}
    for each in inputs:
        one, reason_of_one = await _vectors([each], embed=embed, model=model)
        found.update(one)
        reason = reason_of_one or reason
    return found, reason


async def vectors_of(texts: Sequence[str], *, embed: Embed, model: str) -> NDArray[np.float32]:
    """(texts, dimensions), rows L2-normalised whatever the model gave.

    Raises:
        UpstreamMalformed: not one finite vector for each text.
    """
    rows = np.asarray(await embed(texts, model=model), dtype=np.float32)
    if rows.ndim != 2 or rows.shape[0] != len(texts) or not rows.shape[1] or not np.isfinite(rows).all():
        raise UpstreamMalformed(f"The model '{model}' gave no vector for each of {len(texts)} texts.")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)


def pack(rows: NDArray[np.float32]) -> bytes:
    """As the ledger keeps them."""
    return rows.astype("<f2").tobytes()
