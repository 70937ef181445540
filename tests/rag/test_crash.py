"""kill -9 in the middle and started again equals an uninterrupted run, and nothing stored is bought twice."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from tests.rag.pages import IMAGE, pdf

from mooring.rag import DocumentIndex, DocumentRepository, Rag
from mooring.storage import Database

PROGRAM = Path(__file__).parent / "ingesting.py"


def write_folder(folder: Path) -> None:
    folder.mkdir()
    for number in range(12):
        words = " ".join(f"Sentence {part} of document {number} is about topic{number}." for part in range(12))
        (folder / f"{number:02}.md").write_text(f"# Document {number}\n\n{words}\n")
    (folder / "paper.pdf").write_bytes(pdf([(20.0, "Paper"), (11.0, "A paper about quinces.")], IMAGE))
    (folder / "scan.pdf").write_bytes(pdf(IMAGE))
    (folder / "bad.txt").write_bytes(b"a\0b")


def start(place: Path, folder: Path, stop_at: int = 0) -> "subprocess.Popen[bytes]":
    arguments = [f"sqlite:///{place}/mooring.db", f"{place}/index.db", str(folder), f"{place}/asked", str(stop_at)]
    return subprocess.Popen([sys.executable, str(PROGRAM), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def finish(child: "subprocess.Popen[bytes]") -> int:
    with child:
        return child.wait()


def contents(place: Path) -> tuple[list[object], list[object], list[object]]:
    """The ledger without ids and times; what the index finds; what it holds."""
    database = Database.open(f"sqlite:///{place}/mooring.db")

    async def record(call: object, answer: object) -> None:
        """No journal."""

    rag = Rag(DocumentRepository(database), DocumentIndex(place / "index.db"), record_call=record)
    try:
        documents = database.read(
            lambda tx: tx.all(
                "SELECT d.path, d.reason, v.content_key, v.text, v.page_starts, v.notes FROM documents d"
                " LEFT JOIN document_versions v ON v.id = d.version_id ORDER BY d.path"
            )
        )
        vectors = database.read(
            lambda tx: tx.all(
                "SELECT d.path, c.number, c.section, c.start_at, c.end_at, e.vector FROM chunks c"
                " JOIN documents d ON d.version_id = c.version_id LEFT JOIN embeddings e ON e.chunk_id = c.id"
                " ORDER BY d.path, c.number"
            )
        )
        strays = database.read(
            lambda tx: tx.all(
                "SELECT (SELECT COUNT(*) FROM document_versions)"
                " - (SELECT COUNT(*) FROM documents WHERE reason IS NULL),"
                " (SELECT COUNT(*) FROM embeddings) - (SELECT COUNT(*) FROM chunks)"
            )
        )
        found = [
            sorted((hit.path, hit.start) for hit in asyncio.run(rag.search("default", "shelf", query, limit=50)))
            for query in ("topic3", "quinces", "Sentence 4")
        ]
        return [*documents, *strays], list(vectors), list(found)
    finally:
        rag.close()
        database.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted, beside its folder `docs`."""
    place = tmp_path_factory.mktemp("whole")
    write_folder(place / "docs")
    assert finish(start(place, place / "docs")) == 0
    return place


# After the first file; in the middle of the files; after the first batch of vectors.
@pytest.mark.parametrize("stop_at", [1, 8, 16])
def test_a_killed_run_that_is_started_again_equals_an_uninterrupted_one(
    tmp_path: Path, whole: Path, stop_at: int
) -> None:
    folder, killed = whole / "docs", tmp_path
    child = start(killed, folder, stop_at)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"here\n"
        child.kill()
    assert finish(start(killed, folder)) == 0
    assert contents(killed) == contents(whole)
    once, again = ((place / "asked").read_text().splitlines() for place in (whole, killed))
    assert set(again) == set(once)
    assert len(again) == len(once)  # it is killed between batches: no batch is bought twice
    before = len(again)
    assert finish(start(killed, folder)) == 0
    assert len((killed / "asked").read_text().splitlines()) == before
