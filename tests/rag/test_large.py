"""Above 50,000 passages the binary codes are scanned first: they find what the exact scan finds."""

import numpy as np

from mooring.rag.dense import EXACT_UP_TO, Vectors

PASSAGES, DIMENSIONS, QUESTIONS = 60_000, 384, 40


def test_codes_find_what_an_exact_scan_finds_among_sixty_thousand_passages() -> None:
    """Texts gather around topics, as those of a model do; among numbers without any order codes say nothing."""
    source = np.random.default_rng(7)
    topics = source.standard_normal((600, DIMENSIONS), dtype=np.float32)
    matrix = topics[source.integers(0, 600, PASSAGES)]
    matrix += 1.2 * source.standard_normal((PASSAGES, DIMENSIONS), dtype=np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    rows = [row.tobytes() for row in matrix.astype("<f2")]
    chunk_ids = [number.to_bytes(4) for number in range(PASSAGES)]
    codes = Vectors(chunk_ids, rows)
    assert PASSAGES > EXACT_UP_TO
    assert not codes.is_exact
    assert codes.size_bytes < sum(map(len, rows)) / 3
    kept = dict(zip(chunk_ids, rows, strict=True))
    noise = source.standard_normal((QUESTIONS, DIMENSIONS), dtype=np.float32)
    questions = matrix[source.integers(0, PASSAGES, QUESTIONS)] + 0.8 * noise / DIMENSIONS**0.5
    questions /= np.linalg.norm(questions, axis=1, keepdims=True)
    nearest = np.argpartition(-(matrix @ questions.T), 10, axis=0)[:10].T
    found = 0
    for question, places in zip(questions, nearest, strict=True):
        best, _ = codes.search(question, limit=10, also=(), read=lambda wanted: {each: kept[each] for each in wanted})
        found += len({chunk_id for chunk_id, _ in best} & {chunk_ids[place] for place in places})
    assert found / (10 * QUESTIONS) >= 0.98
