"""The scan is exact where it says so, and near enough above."""

from itertools import accumulate

import numpy as np
import pytest

from mooring.rag.dense import Vectors, codes_of, largest


def corpus(count: int, dimensions: int = 384) -> tuple[list[bytes], np.ndarray]:
    """Vectors in loose groups, as those of texts are."""
    random = np.random.default_rng(1)
    centres = random.normal(size=(50, dimensions))
    rows = centres[random.integers(0, 50, count)] + random.normal(scale=0.7, size=(count, dimensions))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return [number.to_bytes(16, "big") for number in range(count)], rows.astype(np.float16)


def nothing(chunk_ids: object) -> dict[bytes, bytes]:
    raise AssertionError("an exact scan reads nothing")


def test_the_scan_finds_the_nearest_in_order() -> None:
    ids, rows = corpus(5_000)
    query = rows[77].astype(np.float32)
    best, also = Vectors(ids, [row.tobytes() for row in rows]).search(query, limit=10, also=[ids[3]], read=nothing)
    scores = rows.astype(np.float32) @ query
    assert [chunk for chunk, _ in best] == [ids[place] for place in np.argsort(-scores, kind="stable")[:10]]
    assert abs(also[ids[3]] - scores[3]) < 1e-6


def test_codes_with_rescoring_find_nearly_all_of_the_nearest() -> None:
    ids, rows = corpus(6_000)
    packed = {chunk: row.tobytes() for chunk, row in zip(ids, rows, strict=True)}
    vectors = Vectors(ids, list(packed.values()), exact_up_to=100)
    assert not vectors.is_exact
    found = 0
    for place in range(0, 6_000, 300):
        query = rows[place].astype(np.float32)
        best, also = vectors.search(
            query, limit=10, also=[ids[1]], read=lambda wanted: {chunk: packed[chunk] for chunk in wanted}
        )
        exact = {ids[other] for other in largest(rows.astype(np.float32) @ query, 10)}
        found += len(exact & {chunk for chunk, _ in best})
        assert abs(also[ids[1]] - float(rows[1].astype(np.float32) @ query)) < 1e-3
    assert found >= 0.95 * 200


def test_vectors_of_other_dimensions_find_nothing() -> None:
    ids, rows = corpus(10, 64)
    assert Vectors(ids, [row.tobytes() for row in rows]).search(
        np.ones(32, np.float32), limit=3, also=[], read=nothing
    ) == (
        [],
        {},
    )
    assert Vectors([], []).search(np.ones(32, np.float32), limit=3, also=[], read=nothing) == ([], {})


def test_codes_hold_any_number_of_dimensions() -> None:
    rows = np.array([[1.0] * 70, [-1.0] * 70], dtype=np.float32)
    codes = codes_of(rows)
    assert codes.shape == (2, 2)
    assert [int(np.bitwise_count(row).sum()) for row in codes] == [70, 0]


@pytest.mark.parametrize("exact_up_to", [50_000, 10])
def test_a_chunk_of_several_vectors_counts_by_the_nearest(exact_up_to: int) -> None:
    ids, rows = corpus(900)
    windows = [1, 2, 3] * 150
    ends = list(accumulate(windows))
    owned = [rows[end - count : end] for end, count in zip(ends, windows, strict=True)]
    packed = {chunk: group.tobytes() for chunk, group in zip(ids, owned, strict=False)}
    chunks = list(packed)
    vectors = Vectors(chunks, list(packed.values()), windows=windows, exact_up_to=exact_up_to)
    query = rows[77].astype(np.float32)
    best, also = vectors.search(
        query, limit=5, also=[chunks[2]], read=lambda wanted: {chunk: packed[chunk] for chunk in wanted}
    )
    scores = np.array([(group.astype(np.float32) @ query).max() for group in owned])
    assert [chunk for chunk, _ in best] == [chunks[place] for place in largest(scores, 5)]
    assert abs(best[0][1] - 1) < 1e-2
    assert abs(also[chunks[2]] - scores[2]) < 1e-3
