"""The ledger is what the folder is: new, changed, gone and unreadable files."""

import asyncio
import os
from pathlib import Path

import pytest
from tests.rag.conftest import PROJECT, Shelf

from mooring.core.errors import InvalidRequest, NotFound
from mooring.core.ids import read
from mooring.rag.repository import DocumentRepository, Span


def test_a_second_run_does_nothing(shelf: Shelf) -> None:
    shelf.write("a.md", "# Refunds\n\nWithin 30 days.\n")
    first, second = shelf.ingest(), shelf.ingest()
    assert (first.added, first.chunks, first.is_change) == (1, 1, True)
    assert (second.unchanged, second.chunks, second.is_change) == (1, 1, False)


def test_a_changed_file_replaces_its_chunks(shelf: Shelf) -> None:
    shelf.write("a.md", "The pears are ripe.\n")
    shelf.ingest()
    shelf.write("a.md", "The plums are ripe.\n")
    assert shelf.ingest().changed == 1
    assert shelf.search("pears") == []
    assert [hit.text for hit in shelf.search("plums")] == ["The plums are ripe."]


def test_a_deleted_file_disappears(shelf: Shelf) -> None:
    shelf.write("a.md", "pears")
    gone = shelf.write("b.md", "plums")
    shelf.ingest()
    gone.unlink()
    assert shelf.ingest().removed == 1
    assert shelf.paths("plums") == []
    assert [document.path for document in asyncio.run(shelf.rag.documents(PROJECT, "shelf"))] == ["a.md"]


def test_what_cannot_be_read_is_listed_with_its_reason(shelf: Shelf) -> None:
    shelf.write("good.md", "text")
    shelf.write("latin.txt", "Grüße".encode("latin-1"))
    shelf.write("binary.txt", b"a\0b")
    shelf.write("empty.md", "")
    shelf.write("blank.md", " \r\n\t")
    shelf.write("mark.txt", b"\xef\xbb\xbf")
    shelf.write("photo.png", b"\x89PNG")
    shelf.write("README", "text")
    shelf.write(".hidden.md", "text")
    shelf.write(".git/config.txt", "text")
    report = shelf.ingest()
    assert report.added == 1
    assert {path: reason.partition(":")[0].partition(";")[0] for path, reason in report.unreadable.items()} == {
        "latin.txt": "byte 2 is not valid UTF-8",
        "binary.txt": "character 1 is NUL",
        "empty.md": "it holds no text",
        "blank.md": "it holds no text",
        "mark.txt": "it holds no text",
        "photo.png": "no loader reads '.png' files",
        "README": "no loader reads files without a suffix",
        ".hidden.md": "a hidden file",
        ".git/": "a hidden folder",
    }
    listed = asyncio.run(shelf.rag.documents(PROJECT, "shelf"))
    assert {document.path: document.reason for document in listed if document.reason} == report.unreadable


def test_a_file_that_becomes_unreadable_loses_its_text_and_comes_back(shelf: Shelf) -> None:
    shelf.write("a.txt", "pears")
    shelf.ingest()
    shelf.write("a.txt", b"\xff")
    assert shelf.ingest().unreadable
    assert shelf.paths("pears") == []
    shelf.write("a.txt", "pears")
    assert shelf.ingest().added == 1
    assert shelf.paths("pears") == ["a.txt"]


def test_a_file_over_the_limit_is_listed(shelf: Shelf) -> None:
    shelf.open(max_file_bytes=10)
    shelf.write("a.txt", "x" * 11)
    assert "larger than 10 bytes" in shelf.ingest().unreadable["a.txt"]


def test_links_that_lead_outside_are_not_followed(shelf: Shelf, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    (shelf.folder / "out.txt").symlink_to(secret)
    (shelf.folder / "dangling.txt").symlink_to(tmp_path / "nothing")
    (shelf.folder / "dir").symlink_to(tmp_path)
    os.mkfifo(shelf.folder / "pipe.txt")
    reasons = shelf.ingest().unreadable
    assert reasons["out.txt"] == "a link that leads out of the folder"
    assert reasons["dir"] == "a link that leads out of the folder"
    assert reasons["dangling.txt"].startswith("the system refuses it")
    assert reasons["pipe.txt"] == "not a regular file"


def test_a_name_that_is_no_text_is_listed(shelf: Shelf) -> None:
    try:
        (shelf.folder / os.fsdecode(b"bad\xff.txt")).write_text("text")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert shelf.ingest().unreadable == {"bad\\udcff.txt": "its name is not valid UTF-8: rename it"}


def test_one_file_can_be_a_source(shelf: Shelf) -> None:
    file = shelf.write("only.md", "pears")
    shelf.write("other.md", "plums")
    assert shelf.ingest(file).added == 1
    assert shelf.paths("pears plums") == ["only.md"]


def test_sources_of_one_collection_do_not_remove_each_others_documents(shelf: Shelf) -> None:
    shelf.write("one/a.md", "pears")
    shelf.write("two/a.md", "plums")
    shelf.ingest(shelf.folder / "one")
    shelf.ingest(shelf.folder / "two")
    assert len(shelf.paths("pears plums")) == 2


def test_a_missing_folder_or_too_many_files_are_refused(shelf: Shelf) -> None:
    with pytest.raises(InvalidRequest, match="Give one that exists"):
        shelf.ingest(shelf.folder / "nowhere")
    shelf.open(max_files=1)
    shelf.write("a.md", "a")
    shelf.write("b.md", "b")
    with pytest.raises(InvalidRequest, match="more than 1 files"):
        shelf.ingest()


def test_another_budget_cuts_the_same_bytes_anew(shelf: Shelf) -> None:
    shelf.write("a.txt", "A sentence about pears. " * 40)
    before = shelf.ingest()
    shelf.rag.close()
    shelf.open(passage_tokens=16)
    after = shelf.ingest()
    assert after.changed == 1
    assert after.chunks > before.chunks


def test_spans_slice_the_stored_text_and_the_file(shelf: Shelf) -> None:
    content = "# Ü\r\n\r\nErste — Zeile 🙂.\r\n\r\n" + "Zweite Zeile e\u0301. " * 100
    file = shelf.write("a.md", "\ufeff" + content)
    shelf.ingest()
    hits = shelf.search("Zeile", limit=50)
    assert len(hits) > 1
    decoded = file.read_bytes().decode("utf-8-sig")
    spans = [Span(read("doc", hit.document_id), hit.start, hit.end) for hit in hits]
    stored = asyncio.run(DocumentRepository(shelf.database).read_spans(PROJECT, spans))
    for hit, text in zip(hits, stored, strict=True):
        assert hit.text == text == decoded[hit.start : hit.end]


def test_projects_do_not_see_each_other(shelf: Shelf) -> None:
    shelf.write("a.md", "pears")
    shelf.ingest(project="one")
    with pytest.raises(NotFound):
        shelf.search("pears", project="two")
    shelf.write("a.md", "plums")
    shelf.ingest(project="two")
    assert shelf.search("pears", project="two") == []
    assert [hit.text for hit in shelf.search("pears", project="one")] == ["pears"]


def test_documents_can_be_removed_by_path_or_source(shelf: Shelf) -> None:
    shelf.write("a.md", "pears")
    shelf.write("b.md", "plums")
    shelf.ingest()
    assert asyncio.run(shelf.rag.remove(PROJECT, "shelf", "a.md")) == 1
    assert shelf.paths("pears plums") == ["b.md"]
    assert asyncio.run(shelf.rag.remove(PROJECT, "shelf", str(shelf.folder))) == 1
    assert shelf.paths("pears plums") == []


def test_progress_names_what_became_of_each_file(shelf: Shelf) -> None:
    shelf.write("a.md", "pears")
    shelf.write("b.png", b"\x89")
    shelf.ingest()
    assert [(outcome.path, outcome.state) for outcome in shelf.outcomes] == [("a.md", "added"), ("b.png", "unreadable")]
