"""Vectors for the passages that have none yet: whatever was stopped in the middle goes on from there.

A batch is bought, then stored in one transaction; what is stored is never bought again.
"""

from collections.abc import Awaitable, Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from mooring.core.errors import MooringError, UpstreamMalformed
from mooring.core.seams import Embed

from .repository import ChunkInput, EmbeddingRepository

BATCH = 32  # passages of one call: about a second of the built-in model on one core

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
        if not inputs:
            continue
        vectors, reason = await _vectors(inputs, embed=embed, model=model)
        if vectors:
            await repository.put(project_id, collection_id, model, vectors)
        count += len(vectors)
        refused = refused or reason
        if note is not None:
            await note(inputs[-1].path, len(vectors), min(first + BATCH, len(pending)), len(pending))
        if not vectors:
            break
    return Embedded(count, refused)


async def _vectors(inputs: Sequence[ChunkInput], *, embed: Embed, model: str) -> tuple[dict[bytes, bytes], str | None]:
    """Vectors by chunk. Where the model refuses a batch for good, one passage after the other: one stops none."""
    try:
        rows = await vectors_of([each.text for each in inputs], embed=embed, model=model)
    except MooringError as error:
        if error.is_retryable or error.status not in (400, 413) or len(inputs) == 1:
            return {}, str(error)
        reason: str | None = str(error)
    else:
        return {each.chunk_id: pack(row) for each, row in zip(inputs, rows, strict=True)}, None
    found: dict[bytes, bytes] = {}
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


def pack(row: NDArray[np.float32]) -> bytes:
    """As the ledger keeps it."""
    return row.astype("<f2").tobytes()
