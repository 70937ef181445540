"""Documents on each database, with a real journal; `Shelf` writes files and asks questions in a line."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mooring.core.clock import ManualClock
from mooring.core.ids import new_id
from mooring.core.seams import Embed, Hit
from mooring.journal import Journal
from mooring.rag import DocumentIndex, DocumentRepository, IngestReport, Outcome, Rag, RagConfig
from mooring.storage import Blobs, Database

PROJECT = "default"


class Shelf:
    """A folder, and the collection `shelf` that is made of it."""

    def __init__(self, folder: Path, index_path: Path, database: Database, journal: Journal) -> None:
        self.folder = folder
        self.index_path = index_path
        self.database = database
        self.journal = journal
        self.outcomes: list[Outcome] = []
        self.rag = self.open()

    def open(self, *, embed: Embed | None = None, **settings: Any) -> Rag:
        """Another process's view of the same documents."""
        self.rag = Rag(
            DocumentRepository(self.database),
            DocumentIndex(self.index_path),
            record_call=self.journal.record_call,
            embed_for=(lambda project_id, origin: embed) if embed else None,
            config=RagConfig(**settings),
        )
        return self.rag

    def write(self, path: str, content: str | bytes) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def ingest(self, source: Path | None = None, project: str = PROJECT) -> IngestReport:
        async def note(outcome: Outcome) -> None:
            self.outcomes.append(outcome)

        self.outcomes.clear()
        return asyncio.run(self.rag.ingest(project, "shelf", source or self.folder, progress=note))

    def search(self, query: str, project: str = PROJECT, **options: Any) -> list[Hit]:
        return asyncio.run(self.rag.search(project, "shelf", query, **options))

    def paths(self, query: str) -> list[str]:
        return [hit.path for hit in self.search(query)]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def journal(database: Database, tmp_path: Path, clock: ManualClock) -> Journal:
    return Journal(database, Blobs(tmp_path / "blobs"), process_id=new_id(), clock=clock, new_id=new_id)


@pytest.fixture
def shelf(database: Database, journal: Journal, tmp_path: Path) -> Iterator[Shelf]:
    folder = tmp_path / "docs"
    folder.mkdir()
    made = Shelf(folder, tmp_path / "index.db", database, journal)
    yield made
    made.rag.close()
