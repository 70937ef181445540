"""Passages are spans of the stored text: in order, disjoint, within the budget, and no word is left out."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.rag.contracts import estimate_tokens, loaders, splitters
from mooring.rag.testing import SplitterConformance, check_pieces

split = splitters.get("structure")


class TestStructure(SplitterConformance):
    split = staticmethod(splitters.get("structure"))


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(["# A\n", "## B\n", "\n", "\r\n", "\r", "```\n", "word ", "x" * 70, "日本。", "🙂", "e\u0301 "])
    ),
    st.integers(1, 60),
)
def test_every_markdown_is_cut_without_loss(parts: list[str], budget: int) -> None:
    check_pieces(split, loaders.get("markdown").load("".join(parts).encode()), budget)


@settings(deadline=None)
@given(st.text(max_size=400), st.integers(1, 40))
def test_every_text_is_cut_without_loss(text: str, budget: int) -> None:
    loaded = loaders.get("text").load(text.replace("\0", "").removeprefix("\ufeff").encode("utf-8", "ignore"))
    check_pieces(split, loaded, budget)


def pieces(text: str, budget: int = 200) -> list[tuple[str, str]]:
    loaded = loaders.get("markdown").load(text.encode())
    return [(piece.section, loaded.text[piece.start : piece.end]) for piece in split(loaded, budget_tokens=budget)]


def test_a_section_is_named_by_the_path_of_its_headings() -> None:
    assert pieces("# A\n\na\n\n## B\n\nb\n\n# C\n\nc\n") == [
        ("A", "# A\n\na"),
        ("A > B", "## B\n\nb"),
        ("C", "# C\n\nc"),
    ]


def test_a_heading_without_text_joins_its_first_subsection() -> None:
    assert pieces("# A\n\n## B\n\nb\n\n## C\n") == [("A > B", "# A\n\n## B\n\nb"), ("A > C", "## C")]


def test_paragraphs_are_packed_up_to_the_budget_and_not_cut_where_they_fit() -> None:
    paragraph = "Twelve words that make one paragraph of about sixteen tokens, no more."
    assert [text for _, text in pieces("\n\n".join([paragraph] * 5), budget=40)] == [
        f"{paragraph}\n\n{paragraph}",
        f"{paragraph}\n\n{paragraph}",
        paragraph,
    ]


def test_a_fenced_block_that_fits_stays_whole() -> None:
    block = "```\nfirst\n\nsecond\n```"
    assert ("", block) in pieces(f"{'before ' * 6}\n\n{block}\n\n{'after ' * 6}", budget=12)


def test_a_long_paragraph_is_cut_after_a_sentence() -> None:
    found = [text for _, text in pieces("This is a sentence. " * 30, budget=25)]
    assert all(text.endswith(".") and estimate_tokens(text) <= 25 for text in found)


def test_a_huge_text_takes_linear_time() -> None:
    text = ("# H\n\n" + "word " * 50 + "\n\n```\ncode\n```\n\n") * 6_000
    assert len(pieces(text)) >= 6_000
