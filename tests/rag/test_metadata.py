"""Documents of a folder can be filtered by facts of their files, by their owner's word, and by what they say."""

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rag.conftest import PROJECT, Shelf
from tests.rag.hashing import HashingEmbedder

from mooring.core.errors import InvalidRequest
from mooring.rag import Upload
from mooring.rag.front_matter import read_front_matter
from mooring.rag.sidecar import SIDECAR

NOON = 1_790_000_000  # seconds: 2026-09-21


def metadata(shelf: Shelf) -> dict[str, dict[str, object]]:
    return {each.path: each.metadata for each in asyncio.run(shelf.rag.documents(PROJECT, "shelf"))}


def paths(shelf: Shelf, **chosen: object) -> list[str]:
    return sorted(hit.path for hit in shelf.search("refunds", filter=chosen))


def file_facts(shelf: Shelf, **chosen: object) -> list[str]:
    return paths(shelf, **{f"file.{name}": value for name, value in chosen.items()})


def test_a_file_says_its_path_its_folders_its_type_and_its_day(shelf: Shelf) -> None:
    for path in ("a.md", "policies/b.txt", "policies/hr/c.md"):
        os.utime(shelf.write(path, "refunds"), (NOON, NOON))
    os.utime(shelf.folder / "a.md", (NOON - 86_400 * 400, NOON - 86_400 * 400))
    shelf.ingest()
    assert metadata(shelf)["policies/hr/c.md"] == {
        "file.path": "policies/hr/c.md",
        "file.folder": ["policies", "policies/hr"],
        "file.type": "markdown",
        "file.modified": "2026-09-21",
    }
    assert file_facts(shelf, folder="policies") == ["policies/b.txt", "policies/hr/c.md"]
    assert file_facts(shelf, folder="policies/hr") == ["policies/hr/c.md"]
    assert file_facts(shelf, type="text") == ["policies/b.txt"]
    assert file_facts(shelf, path={"in": ["a.md"]}) == ["a.md"]
    assert file_facts(shelf, modified={"gte": "2026-01-01"}) == ["policies/b.txt", "policies/hr/c.md"]


def test_an_upload_has_the_facts_of_its_path_and_may_not_say_them(shelf: Shelf) -> None:
    upload = Upload("hr/a.md", b"refunds", metadata={"team": "hr"})
    asyncio.run(shelf.rag.upload(PROJECT, "shelf", upload))
    assert file_facts(shelf, folder="hr") == ["hr/a.md"]
    with pytest.raises(InvalidRequest, match=r"'file\.path' is a fact of the file"):
        asyncio.run(shelf.rag.upload(PROJECT, "shelf", Upload("b.md", b"refunds", metadata={"file.path": "x"})))


def test_a_fact_that_no_file_has_finds_nothing_and_is_no_mistake(shelf: Shelf) -> None:
    shelf.write("a.md", "refunds")
    shelf.ingest()
    assert file_facts(shelf, folder="hr") == []


def test_markdown_and_html_say_what_their_heads_say(shelf: Shelf) -> None:
    shelf.write("a.md", "---\ntitle: 'Refunds: how'\nyear: 2024\ntags: [red, green]\nfile.path: lie\n---\nrefunds\n")
    shelf.write(
        "b.html",
        "<html><head><meta name=author content=Ada><meta name=keywords content='red, blue'>"
        "<meta name=viewport content=wide></head><body>refunds</body></html>",
    )
    shelf.ingest()
    said = metadata(shelf)
    assert {name: said["a.md"][name] for name in ("title", "year", "tags", "file.path")} == {
        "title": "Refunds: how",
        "year": 2024,
        "tags": ["red", "green"],
        "file.path": "a.md",
    }
    assert (said["b.html"]["author"], said["b.html"]["keywords"]) == ("Ada", ["red", "blue"])
    assert "viewport" not in said["b.html"]
    assert paths(shelf, year={"gte": 2024}) == ["a.md"]


def test_a_sidecar_speaks_for_its_folder_and_patterns_and_overrules_the_document(shelf: Shelf) -> None:
    shelf.write("a.md", "---\nteam: forged\n---\nrefunds\n")
    shelf.write("archive/b.md", "refunds")
    shelf.write("hr/c.md", "refunds")
    shelf.write(SIDECAR, 'team = "billing"\nsince = 2024-01-31\n["archive/*"]\nis_current = false\n')
    shelf.write(f"hr/{SIDECAR}", 'team = "hr"\n')
    report = shelf.ingest()
    assert report.unreadable == {}
    assert report.added == 3
    assert paths(shelf, team="billing") == ["a.md", "archive/b.md"]
    assert paths(shelf, team="hr") == ["hr/c.md"]
    assert paths(shelf, is_current=False) == ["archive/b.md"]
    assert paths(shelf, since={"lt": "2025-01-01"}) == ["a.md", "archive/b.md", "hr/c.md"]


def test_a_changed_sidecar_counts_at_once_and_buys_nothing(shelf: Shelf) -> None:
    model = HashingEmbedder()
    shelf.rag.close()
    shelf.open(embed=model, reranker="none")
    shelf.write("a.md", "refunds")
    shelf.ingest()
    model.texts.clear()
    shelf.write(SIDECAR, 'team = "billing"\n')
    assert shelf.ingest().changed == 1
    assert model.texts == []
    assert paths(shelf, team="billing") == ["a.md"]
    assert shelf.ingest().changed == 0
    (shelf.folder / SIDECAR).unlink()
    shelf.ingest()
    with pytest.raises(InvalidRequest, match="No document here has the metadata field 'team'"):
        paths(shelf, team="billing")


def test_a_file_that_was_only_touched_is_unchanged(shelf: Shelf) -> None:
    file = shelf.write("a.md", "refunds")
    os.utime(file, (NOON, NOON))
    shelf.ingest()
    os.utime(file, (NOON + 86_400, NOON + 86_400))
    assert shelf.ingest().unchanged == 1
    assert metadata(shelf)["a.md"]["file.modified"] == "2026-09-22"


def test_one_file_is_spoken_for_by_the_sidecar_beside_it(shelf: Shelf) -> None:
    shelf.write(SIDECAR, 'team = "billing"\n')
    shelf.ingest(shelf.write("a.md", "refunds"))
    assert paths(shelf, team="billing") == ["a.md"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("team = billing", "cannot be read"),
        ('"file.path" = "x"', "'file.path' is no name of a field"),
        ("owner = [[1]]", "'owner' is no text, number"),
        ('["a.md"]\nowner = {name = "Ada"}', "'owner' is no text, number"),
        (b"\xff", "cannot be read"),
    ],
)
def test_a_sidecar_that_is_wrong_stops_the_ingestion_before_anything_is_changed(
    shelf: Shelf, content: str | bytes, words: str
) -> None:
    shelf.write("a.md", "refunds")
    shelf.ingest()
    shelf.write("b.md", "refunds")
    shelf.write(f"hr/{SIDECAR}", content)
    with pytest.raises(InvalidRequest) as caught:
        shelf.ingest()
    assert words in str(caught.value)
    assert f"hr/{SIDECAR}" in str(caught.value)
    assert sorted(metadata(shelf)) == ["a.md"]


def test_a_sidecar_that_is_a_link_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    shelf.write("a.md", "refunds")
    outside = tmp_path / "outside.toml"
    outside.write_text('team = "billing"\n')
    (shelf.folder / SIDECAR).symlink_to(outside)
    with pytest.raises(InvalidRequest, match="it is a link"):
        shelf.ingest()


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["draft: false # for now", "n: -1.5", "day: 2026-01-31"], {"draft": False, "n": -1.5, "day": "2026-01-31"}),
        (["tags:", "  - red", "- 'green, blue'"], {"tags": ["red", "green, blue"]}),
        (["tags: ['a, b', c]"], {"tags": ["a, b", "c"]}),
        (["empty:", "none: null", "text: |", "  more", "nested:", "  a: 1"], {}),
        (["- stray", "no field", ": x"], {}),
    ],
)
def test_front_matter_is_read_where_it_is_plain(lines: list[str], found: dict[str, object]) -> None:
    assert read_front_matter(lines) == found


@given(st.lists(st.text(max_size=60), max_size=8))
def test_front_matter_never_fails(lines: list[str]) -> None:
    read_front_matter(lines)
