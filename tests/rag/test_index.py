"""An index can miss, never resurrect; it follows the ledger, and no question is syntax."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rag.conftest import PROJECT, Shelf

from mooring.core.errors import InvalidRequest, StorageError
from mooring.core.ids import read
from mooring.rag.index import DocumentIndex, match_query
from mooring.rag.repository import ChunkRecord


def test_a_lost_index_is_rebuilt_by_the_next_search(shelf: Shelf) -> None:
    shelf.write("a.md", "pears")
    shelf.ingest()
    shelf.rag.close()
    for file in shelf.index_path.parent.glob("index.db*"):
        file.unlink()
    assert shelf.paths("pears") == ["a.md"]


def test_an_index_of_another_form_is_rebuilt(shelf: Shelf) -> None:
    shelf.write("a.md", "pears")
    shelf.ingest()
    with shelf.rag._index._open(is_writing=True) as connection:
        connection.execute("PRAGMA user_version = 0")
    shelf.rag.close()
    assert shelf.paths("pears") == ["a.md"]


def test_an_entry_that_the_ledger_does_not_know_is_never_returned(shelf: Shelf) -> None:
    shelf.write("a.md", "pears")
    shelf.ingest()
    collection = asyncio.run(shelf.rag.collections(PROJECT))[0]
    ghost = ChunkRecord(b"g" * 16, b"d" * 16, "ghost.md", "", 0, 5, "pears pears pears")
    index = DocumentIndex(shelf.index_path)
    index.put(collection.id, {ghost.document_id: (b"v" * 16, [ghost])})
    index.close()
    assert shelf.paths("pears") == ["a.md"]


def test_a_second_process_sees_what_the_first_one_changed(shelf: Shelf) -> None:
    shelf.write("a.md", "pears")
    shelf.ingest()
    first = shelf.rag
    shelf.open()
    shelf.write("a.md", "plums")
    shelf.ingest()
    second, shelf.rag = shelf.rag, first
    assert shelf.paths("plums") == ["a.md"]
    assert shelf.paths("pears") == []
    second.close()


def test_two_processes_that_index_at_once_agree(shelf: Shelf) -> None:
    for number in range(40):
        shelf.write(f"{number}.md", f"pears number {number}")
    first, second = shelf.rag, shelf.open()

    async def both() -> None:
        await asyncio.gather(*(rag.ingest(PROJECT, "shelf", shelf.folder) for rag in (first, second)))

    asyncio.run(both())
    assert len(shelf.search("pears", limit=100)) == 40
    first.close()


SYNTAX = (
    '"',
    "'; DROP TABLE",
    "a AND",
    "NEAR(",
    "text:x",
    "*",
    "-pears",
    "(((",
    "pears OR",
    "{scope}:c",
    "^a",
    "a\tb\n",
)


def test_no_question_is_read_as_syntax(shelf: Shelf) -> None:
    shelf.write("a.md", "something about pears")
    shelf.ingest()
    for query in SYNTAX:
        assert all(hit.path == "a.md" for hit in shelf.search(query))


@given(st.text(max_size=60))
def test_any_question_makes_a_query_that_sqlite_takes(query: str) -> None:
    index = DocumentIndex(":memory:")  # type: ignore[arg-type]
    try:
        assert index.search(b"c" * 16, query, limit=5) == []
    finally:
        index.close()


def test_function_words_do_not_count_unless_there_are_no_others() -> None:
    scope = f'scope : "c{"00" * 16}0" AND {{section text}} : '
    assert match_query("What is the refund, the refund?", bytes(16)) == scope + '("refund" OR "refund")'
    assert match_query("Who is it?", bytes(16)) == scope + '("Who" OR "is" OR "it")'
    assert match_query("?!", bytes(16)) is None


def test_words_are_found_by_their_stem_without_accents_and_in_headings(shelf: Shelf) -> None:
    shelf.write("a.md", "# Refunding\n\nWe pay back.\n")
    shelf.write("b.md", "The café opens.\n")
    shelf.ingest()
    assert shelf.paths("refunds") == ["a.md"]
    assert shelf.paths("cafe opening") == ["b.md"]


def test_a_word_that_is_said_twice_counts_twice(shelf: Shelf) -> None:
    for number in range(8):
        shelf.write(f"{number}.md", f"nothing here {number}")
    shelf.write("a.md", "pears")
    shelf.write("b.md", "plums")
    shelf.ingest()
    assert shelf.paths("plums plums pears") == ["b.md", "a.md"]
    assert shelf.paths("plums pears pears") == ["a.md", "b.md"]


def test_a_damaged_file_says_what_to_do(shelf: Shelf) -> None:
    shelf.write("a.md", "pears")
    shelf.index_path.write_bytes(b"no database" * 1000)
    with pytest.raises(StorageError, match="delete that file"):
        shelf.ingest()


def test_an_empty_or_endless_question_is_refused(shelf: Shelf) -> None:
    shelf.write("a.md", "pears")
    shelf.ingest()
    for query in (" \n", "x" * 8001):
        with pytest.raises(InvalidRequest):
            shelf.search(query)


def test_a_search_is_in_the_journal_with_its_hits_and_scores(shelf: Shelf) -> None:
    shelf.write("a.md", "# Fruit\n\npears\n")
    shelf.ingest()
    (hit,) = shelf.search("pears")
    (call,) = asyncio.run(shelf.journal.list_calls(PROJECT))
    assert (call.kind, call.name, call.state) == ("retrieval", "rag/shelf", "completed")
    assert call.attributes["hits"] == [
        {"chunk": hit.chunk_id, "path": "a.md", "section": "Fruit", "start": 0, "end": 14, "scores": hit.scores}
    ]
    assert len(read("chunk", hit.chunk_id)) == 16
