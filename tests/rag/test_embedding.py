"""Vectors are bought once, stored in the ledger, and gone with their passages; without them words still find."""

import asyncio

import numpy as np
import pytest
from tests.rag.conftest import PROJECT, Shelf
from tests.rag.hashing import HashingEmbedder, vector

from mooring.core.errors import InvalidRequest, UpstreamTimeout
from mooring.rag.repository import EmbeddingRepository, Vector
from mooring.rag.window import MOST_WINDOWS


@pytest.fixture
def model(shelf: Shelf) -> HashingEmbedder:
    made = HashingEmbedder()
    shelf.rag.close()
    shelf.open(embed=made, reranker="none")
    return made


def rows(shelf: Shelf) -> list[tuple[bytes, str, bytes]]:
    return shelf.database.read(lambda tx: tx.all("SELECT chunk_id, model, vector FROM embeddings ORDER BY chunk_id"))


def test_each_passage_gets_one_float16_vector(shelf: Shelf, model: HashingEmbedder) -> None:
    shelf.write("a.md", "pears and plums")
    assert shelf.ingest().embedded == 1
    ((_, name, packed),) = rows(shelf)
    assert name == "local/minilm"
    assert abs(np.linalg.norm(np.frombuffer(packed, "<f2").astype(np.float32)) - 1) < 1e-2


def test_a_second_run_embeds_nothing(shelf: Shelf, model: HashingEmbedder) -> None:
    for number in range(70):
        shelf.write(f"{number}.md", f"pears {number}")
    assert shelf.ingest().embedded == 70
    before = len(model.texts)
    assert shelf.ingest().embedded == 0
    assert len(model.texts) == before == 70


def test_a_changed_file_embeds_only_what_is_new(shelf: Shelf, model: HashingEmbedder) -> None:
    shelf.write("a.md", "# One\n\npears\n\n# Two\n\nplums\n")
    shelf.ingest()
    model.texts.clear()
    shelf.write("a.md", "# One\n\npears\n\n# Two\n\ncherries\n")
    assert shelf.ingest().embedded == 1
    assert model.texts == ["# Two\n\ncherries"] or model.texts == ["Two\n# Two\n\ncherries"]
    assert len(rows(shelf)) == 2


def test_a_deleted_file_leaves_no_vector(shelf: Shelf, model: HashingEmbedder) -> None:
    file = shelf.write("a.md", "pears")
    shelf.write("b.md", "plums")
    shelf.ingest()
    file.unlink()
    shelf.ingest()
    assert len(rows(shelf)) == 1
    assert shelf.paths("pears") == ["b.md"]  # by its vector: the nearest of what is left


def test_vectors_find_what_words_do_not(shelf: Shelf, model: HashingEmbedder) -> None:
    shelf.write("a.md", "the automobile stands here")
    shelf.write("b.md", "pears and plums")
    shelf.ingest()
    hits = shelf.search("car")
    assert hits[0].path == "a.md"
    assert "keyword" not in hits[0].scores
    assert hits[0].scores["dense"] > hits[1].scores["dense"]


def test_a_lost_index_is_rebuilt_without_the_model(shelf: Shelf, model: HashingEmbedder) -> None:
    shelf.write("a.md", "the automobile")
    shelf.ingest()
    shelf.rag.close()
    for file in shelf.index_path.parent.glob("index.db*"):
        file.unlink()
    model.texts.clear()
    assert shelf.paths("car") == ["a.md"]
    assert model.texts == ["car"]


def test_a_model_that_fails_stops_no_text_and_the_next_run_goes_on(shelf: Shelf, model: HashingEmbedder) -> None:
    shelf.write("a.md", "pears")
    model.fails_with.append(UpstreamTimeout("It took too long."))
    report = shelf.ingest()
    assert (report.added, report.embedded, report.unembedded_reason) == (1, 0, "It took too long.")
    assert shelf.paths("pears") == ["a.md"]
    assert shelf.ingest().embedded == 1


def test_one_passage_that_a_model_refuses_stops_no_other(shelf: Shelf) -> None:
    shelf.rag.close()
    shelf.open(embed=HashingEmbedder(refuses="poison", error=InvalidRequest))
    shelf.write("a.md", "pears")
    shelf.write("b.md", "poison")
    shelf.write("c.md", "plums")
    report = shelf.ingest()
    assert (report.embedded, report.unembedded_reason) == (2, "It refuses a text.")


def test_a_model_that_fails_while_searching_leaves_words_and_says_so(shelf: Shelf, model: HashingEmbedder) -> None:
    shelf.write("a.md", "pears")
    shelf.ingest()
    model.fails_with.append(UpstreamTimeout("It took too long."))
    found = asyncio.run(shelf.rag.retrieve(PROJECT, "shelf", "pears"))
    assert [hit.path for hit in found.hits] == ["a.md"]
    assert [(stage.name, stage.is_run, stage.reason) for stage in found.stages][:2] == [
        ("keyword", True, None),
        ("dense", False, "It took too long."),
    ]


def test_a_search_tells_what_ran_and_each_raw_score(shelf: Shelf) -> None:
    shelf.rag.close()
    shelf.open(embed=HashingEmbedder())
    shelf.write("a.md", "Pears are ripe in autumn. Something else stands here.")
    shelf.ingest()
    found = asyncio.run(shelf.rag.retrieve(PROJECT, "shelf", "pears in autumn"))
    assert [(stage.name, stage.is_run) for stage in found.stages] == [
        ("keyword", True),
        ("dense", True),
        ("fusion", True),
        ("rerank", True),
    ]
    assert set(found.hits[0].scores) == {"keyword", "dense", "fused", "sentence"}
    (call,) = asyncio.run(shelf.journal.list_calls(PROJECT))
    assert [stage["name"] for stage in call.attributes["stages"]] == ["keyword", "dense", "fusion", "rerank"]


def test_another_model_gets_vectors_of_its_own(shelf: Shelf, model: HashingEmbedder) -> None:
    shelf.write("a.md", "pears")
    shelf.ingest()
    shelf.rag.close()
    shelf.open(embed=model, embedding_model="other/model")
    assert [stage.is_run for stage in asyncio.run(shelf.rag.retrieve(PROJECT, "shelf", "pears")).stages][1] is False
    assert shelf.ingest().embedded == 1
    assert {name for _, name, _ in rows(shelf)} == {"local/minilm", "other/model"}


def test_a_vector_of_a_passage_that_is_gone_is_not_stored(shelf: Shelf, model: HashingEmbedder) -> None:
    shelf.write("a.md", "pears")
    shelf.ingest()
    collection = asyncio.run(shelf.rag.collections(PROJECT))[0]
    asyncio.run(
        EmbeddingRepository(shelf.database).put(PROJECT, collection.id, "local/minilm", {b"x" * 16: Vector(1, b"00")})
    )
    assert len(rows(shelf)) == 1


LONG = " ".join(f"Sentence {number} speaks of nothing at all." for number in range(60)) + " The automobile stands here."


def test_a_passage_of_the_default_size_has_one_vector_and_a_longer_one_one_for_each_window(
    shelf: Shelf, model: HashingEmbedder
) -> None:
    shelf.rag.close()
    shelf.open(embed=model, reranker="none", passage_tokens=1_000)
    shelf.write("long.md", LONG)
    shelf.write("short.md", "pears")
    assert shelf.ingest().embedded == 2
    counts = shelf.database.read(lambda tx: tx.all("SELECT windows, vector FROM embeddings ORDER BY windows"))
    (one, short), (many, long) = counts
    assert one == 1
    assert 3 <= many <= MOST_WINDOWS
    assert len(long) == many * len(short)
    assert len(model.texts) == 1 + many


def test_a_long_passage_is_as_near_as_the_nearest_of_its_windows(shelf: Shelf, model: HashingEmbedder) -> None:
    shelf.rag.close()
    shelf.open(embed=model, reranker="none", passage_tokens=1_000, vector_share=1.0)
    shelf.write("long.md", LONG)
    shelf.ingest()
    (hit,) = shelf.search("car")
    question = np.array(vector("car"))
    nearest = max(float(np.array(vector(text)) @ question) for text in model.texts if text != "car")
    assert abs(hit.scores["dense"] - nearest) < 1e-2
    assert nearest > 2 * float(np.array(vector(LONG)) @ question)


def test_the_windows_of_a_passage_that_stays_are_kept(shelf: Shelf, model: HashingEmbedder) -> None:
    shelf.rag.close()
    shelf.open(embed=model, reranker="none", passage_tokens=1_000)
    shelf.write("a.md", f"# One\n\n{LONG}\n\n# Two\n\nplums\n")
    shelf.ingest()
    before = {row[2] for row in rows(shelf)}
    model.texts.clear()
    shelf.write("a.md", f"# One\n\n{LONG}\n\n# Two\n\ncherries\n")
    assert shelf.ingest().embedded == 1
    assert len(model.texts) == 1
    assert len(before & {row[2] for row in rows(shelf)}) == 1


def test_a_file_that_is_renamed_or_copied_buys_no_vector(shelf: Shelf, model: HashingEmbedder) -> None:
    file = shelf.write("a.md", "# One\n\npears\n\n# Two\n\nplums\n")
    shelf.ingest()
    model.texts.clear()
    file.rename(shelf.folder / "b.md")
    shelf.write("copies/c.md", (shelf.folder / "b.md").read_bytes())
    report = shelf.ingest()
    assert (report.added, report.removed, report.embedded) == (2, 1, 0)
    assert model.texts == []
    assert len(rows(shelf)) == 4
    assert set(shelf.paths("pears")) == {"b.md", "copies/c.md"}
