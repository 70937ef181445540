"""Fusion and reranking are orders: scaled, mixed, and the last one never rises above what was reranked."""

from hypothesis import given
from hypothesis import strategies as st

from mooring.rag.fusion import fuse, scaled
from mooring.rag.rerank import MOST_SENTENCES, reorder, sentences_of

Scores = st.dictionaries(st.binary(min_size=1, max_size=2), st.floats(-100, 100), max_size=20)


def test_each_list_counts_by_its_share() -> None:
    keyword, dense = {b"a": 9.0, b"b": 1.0}, {b"b": 0.9, b"c": 0.1}
    assert fuse(keyword, dense, share=0.5) == {b"a": 0.5, b"b": 0.5, b"c": 0.0}
    assert next(iter(fuse(keyword, dense, share=1.0))) == b"b"
    assert next(iter(fuse(keyword, dense, share=0.0))) == b"a"


@given(Scores, Scores, st.floats(0, 1))
def test_fused_scores_are_of_the_union_between_0_and_1_and_fall(
    keyword: dict[bytes, float], dense: dict[bytes, float], share: float
) -> None:
    fused = fuse(keyword, dense, share=share)
    assert set(fused) == {*keyword, *dense}
    assert list(fused.values()) == sorted(fused.values(), reverse=True)
    assert all(0 <= score <= 1.000001 for score in fused.values())


def test_equal_scores_scale_to_one() -> None:
    assert scaled({b"a": 3.0, b"b": 3.0}) == {b"a": 1.0, b"b": 1.0}


@given(Scores, st.floats(-1, 1))
def test_reranking_loses_nothing_and_falls(keyword: dict[bytes, float], cosine: float) -> None:
    fused = fuse(keyword, {}, share=0.5)
    similarities = {key: cosine * (1 + number) / 20 for number, key in enumerate(list(fused)[:10])}
    order = reorder(fused, similarities)
    assert set(order) == set(fused)
    assert list(order.values()) == sorted(order.values(), reverse=True)


def test_sentences_hold_all_words_and_are_limited() -> None:
    text = 'First sentence here. "Second one," she said! Third?\n\n- item one is long\n- item two is long\nEnd'
    assert sentences_of(text) == [
        "First sentence here.",
        '"Second one," she said!',
        "Third?\n\n- item one is long",
        "- item two is long\nEnd",
    ]
    assert sentences_of("") == []
    assert len(sentences_of("This is a sentence. " * 100)) == MOST_SENTENCES
