"""Markdown's headings, and what only looks like one."""

from hypothesis import given
from hypothesis import strategies as st

from mooring.rag.contracts import loaders
from mooring.rag.testing import LoaderConformance


class TestMarkdown(LoaderConformance):
    loader = loaders.get("markdown")


def titles(text: str) -> list[tuple[int, str]]:
    return [(heading.level, heading.title) for heading in loaders.get("markdown").load(text.encode()).headings]


def test_hashes_and_underlines_make_headings() -> None:
    assert titles("# One #\n\ntext\n\nTwo\n---\n\nThree\r\n=====\r\n\n###### Six\n##\n") == [
        (1, "One"),
        (2, "Two"),
        (1, "Three"),
        (6, "Six"),
        (2, ""),
    ]


def test_what_only_looks_like_a_heading_is_none() -> None:
    assert titles("#hashtag\n    # indented code\n####### seven\n\na\nb\n---\n\n- item\n---\n\n---\n") == []


def test_a_fenced_block_holds_no_heading_and_stays_whole() -> None:
    text = "# A\n\n```sh\n# comment\n\n~~~\n```\n\n~~~\n# open to the end\n"
    loaded = loaders.get("markdown").load(text.encode())
    assert [heading.title for heading in loaded.headings] == ["A"]
    assert [text[start:end] for start, end in loaded.atoms] == [
        "```sh\n# comment\n\n~~~\n```\n",
        "~~~\n# open to the end\n",
    ]


def test_front_matter_holds_no_heading() -> None:
    assert titles("---\n# comment\ntitle: x\n---\n# Real\n") == [(1, "Real")]


@given(st.text(alphabet="#=-`~ \t\r\nab\u2028", max_size=200))
def test_no_text_confuses_it(text: str) -> None:
    loaded = loaders.get("markdown").load(text.encode())
    assert loaded.text == text
    position = 0
    for heading in loaded.headings:
        assert position <= heading.start < heading.end <= len(text)
        position = heading.end
    for start, end in loaded.atoms:
        assert not any(start < heading.end and heading.start < end for heading in loaded.headings)
