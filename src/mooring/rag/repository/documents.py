"""Collections, documents, their versions and chunks. Every change raises the collection's revision."""

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mooring.core.clock import Clock, SystemClock
from mooring.core.ids import NewId, new_id
from mooring.rag.filter import Filter
from mooring.storage import Database, Tx
from mooring.storage.projects import cross_project

from .embeddings import EmbeddingRepository, drop_embeddings, keep_embeddings, kept_embeddings
from .metadata import MetadataRepository, joined
from .records import ChunkRecord, Collection, DocumentRecord, NewVersion, Span, Stand
from .revision import raise_revision


class DocumentRepository:
    """The ledger of one database."""

    def __init__(self, database: Database, *, clock: Clock | None = None, new_id: NewId = new_id) -> None:
        self.embeddings = EmbeddingRepository(database)
        self.metadata = MetadataRepository(database)
        self._database = database
        self._clock = clock or SystemClock()
        self._new_id = new_id

    async def ensure_collection(self, project_id: str, name: str) -> Collection:
        """The collection of this name, made if there is none."""
        fresh, now = self._new_id(), self._clock.now_us()

        def operation(tx: Tx) -> Collection:
            tx.execute(
                "INSERT INTO collections (id, project_id, name, revision, created_at_us) VALUES (?, ?, ?, 0, ?)"
                " ON CONFLICT (project_id, name) DO NOTHING",
                (fresh, project_id, name, now),
            )
            return _collection(tx, project_id, name) or Collection(fresh, name, 0)

        return await self._database.write_async(operation)

    async def find_collection(self, project_id: str, name: str) -> Collection | None:
        """The collection of this name."""
        return await self._database.read_async(lambda tx: _collection(tx, project_id, name))

    async def list_collections(self, project_id: str) -> list[Collection]:
        """All collections of the project, by name."""
        rows = await self._database.read_async(
            lambda tx: tx.all(
                "SELECT id, name, revision FROM collections WHERE project_id = ? ORDER BY name", (project_id,)
            )
        )
        return [Collection(bytes(row[0]), row[1], row[2]) for row in rows]

    @cross_project("an index is rebuilt for everybody")
    async def list_all_collections(self) -> list[tuple[str, Collection]]:
        """Every project's collections, each with its project."""
        rows = await self._database.read_async(
            lambda tx: tx.all("SELECT project_id, id, name, revision FROM collections ORDER BY project_id, name")
        )
        return [(row[0], Collection(bytes(row[1]), row[2], row[3])) for row in rows]

    async def list_documents(
        self, project_id: str, collection_id: bytes, *, model: str | None = None
    ) -> list[DocumentRecord]:
        """Every path that was met, readable or not, by source and path; `model` is whose vectors are counted."""
        rows = await self._database.read_async(
            lambda tx: tx.all(
                "SELECT d.id, d.source, d.path, d.reason, v.content_key, COALESCE(v.size_bytes, 0),"
                " (SELECT COUNT(*) FROM chunks c WHERE c.version_id = d.version_id),"
                " (SELECT COUNT(*) FROM embeddings e WHERE e.document_id = d.id AND e.model = ?),"
                " v.loader, v.notes, v.page_starts, v.metadata, d.metadata, d.updated_at_us"
                " FROM documents d LEFT JOIN document_versions v ON v.id = d.version_id"
                " WHERE d.project_id = ? AND d.collection_id = ? ORDER BY d.source, d.path",
                (model or "", project_id, collection_id),
            )
        )
        return [_document(row) for row in rows]

    async def put_version(
        self,
        project_id: str,
        collection_id: bytes,
        source: str,
        path: str,
        version: NewVersion,
        *,
        metadata: Mapping[str, object] | None = None,
    ) -> bool:
        """Make this the document's text and chunks. False where it already was: then nothing is written.

        A vector is kept where the new version has the same words in the same section, and taken from another document
        of the project that is the same: a file that was renamed or copied buys nothing.
        """
        now = self._clock.now_us()
        document_id, version_id = self._new_id(), self._new_id()
        chunk_ids = [self._new_id() for _ in version.pieces]

        def operation(tx: Tx) -> bool:
            raise_revision(tx, project_id, collection_id)
            known = _ensure_document(tx, project_id, (document_id, collection_id, source, path, now))
            if metadata is not None:
                tx.execute(
                    "UPDATE documents SET metadata = ? WHERE project_id = ? AND id = ?",
                    (json.dumps(metadata, ensure_ascii=False), project_id, known),
                )
            if _content_key(tx, project_id, known) == version.content_key:
                return False
            twin = _twin(tx, project_id, known, version.content_key)
            kept = {**(kept_embeddings(tx, project_id, twin) if twin else {}), **kept_embeddings(tx, project_id, known)}
            _drop_versions(tx, project_id, known)
            tx.execute(
                "INSERT INTO document_versions"
                " (id, project_id, document_id, content_key, loader, size_bytes, text, created_at_us,"
                " page_starts, notes, metadata)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    version_id,
                    project_id,
                    known,
                    version.content_key,
                    version.loader,
                    version.size_bytes,
                    version.text,
                    now,
                    json.dumps(version.page_starts) if version.page_starts else None,
                    json.dumps(version.notes, ensure_ascii=False) if version.notes else None,
                    json.dumps(version.metadata, ensure_ascii=False) if version.metadata else None,
                ),
            )
            for number, (chunk_id, piece) in enumerate(zip(chunk_ids, version.pieces, strict=True)):
                tx.execute(
                    "INSERT INTO chunks (id, project_id, document_id, version_id, number, section, start_at, end_at)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (chunk_id, project_id, known, version_id, number, piece.section, piece.start, piece.end),
                )
            keep_embeddings(tx, project_id, known, kept, list(zip(chunk_ids, version.inputs, strict=True)))
            tx.execute(
                "UPDATE documents SET version_id = ?, reason = NULL, updated_at_us = ? WHERE project_id = ? AND id = ?",
                (version_id, now, project_id, known),
            )
            return True

        return await self._database.write_async(operation)

    async def put_unreadable(
        self, project_id: str, collection_id: bytes, source: str, unreadable: Mapping[str, str]
    ) -> None:
        """List these paths with their reasons; a text that one of them had before is gone."""
        now = self._clock.now_us()
        fresh = [(self._new_id(), path, reason) for path, reason in unreadable.items()]

        def operation(tx: Tx) -> None:
            raise_revision(tx, project_id, collection_id)
            for document_id, path, reason in fresh:
                known = _ensure_document(tx, project_id, (document_id, collection_id, source, path, now))
                _drop_versions(tx, project_id, known)
                tx.execute(
                    "UPDATE documents SET version_id = NULL, reason = ?, updated_at_us = ?"
                    " WHERE project_id = ? AND id = ?",
                    (reason, now, project_id, known),
                )

        await self._database.write_async(operation)

    async def remove(self, project_id: str, collection_id: bytes, document_ids: Iterable[bytes]) -> None:
        """Forget these documents, their texts and chunks."""
        doomed = list(document_ids)

        def operation(tx: Tx) -> None:
            raise_revision(tx, project_id, collection_id)
            for document_id in doomed:
                _drop_versions(tx, project_id, document_id)
                tx.execute(
                    "DELETE FROM documents WHERE project_id = ? AND collection_id = ? AND id = ?",
                    (project_id, collection_id, document_id),
                )

        await self._database.write_async(operation)

    async def current_versions(
        self, project_id: str, collection_id: bytes, *, model: str | None = None
    ) -> tuple[int, dict[bytes, Stand]]:
        """The collection's revision, and what there is to index of each document that has a text, at one moment."""

        def query(tx: Tx) -> tuple[int, dict[bytes, Stand]]:
            revision = tx.one(
                "SELECT revision FROM collections WHERE project_id = ? AND id = ?", (project_id, collection_id)
            )
            rows = tx.all(
                "SELECT d.id, d.version_id,"
                " (SELECT COUNT(*) FROM embeddings e WHERE e.document_id = d.id AND e.model = ?) FROM documents d"
                " WHERE d.project_id = ? AND d.collection_id = ? AND d.version_id IS NOT NULL",
                (model or "", project_id, collection_id),
            )
            return (revision[0] if revision else 0), {bytes(row[0]): Stand(bytes(row[1]), row[2]) for row in rows}

        return await self._database.read_async(query)

    async def chunks_of(self, project_id: str, version_id: bytes, *, model: str | None = None) -> list[ChunkRecord]:
        """All chunks of a version, in order, with their vectors of `model`; none where the version is gone."""

        def query(tx: Tx) -> list[ChunkRecord]:
            head = tx.one(
                "SELECT v.text, d.path, v.page_starts, v.document_id FROM document_versions v"
                " JOIN documents d ON d.id = v.document_id WHERE v.project_id = ? AND v.id = ?",
                (project_id, version_id),
            )
            if head is None:
                return []
            text, path, pages, document_id = head
            rows = tx.all(
                "SELECT c.id, c.section, c.start_at, c.end_at, e.vector, e.windows FROM chunks c"
                " LEFT JOIN embeddings e ON e.chunk_id = c.id AND e.model = ?"
                " WHERE c.project_id = ? AND c.version_id = ? ORDER BY c.number",
                (model or "", project_id, version_id),
            )
            return [
                ChunkRecord(
                    id=bytes(chunk_id),
                    document_id=bytes(document_id),
                    path=path,
                    section=section,
                    start=start,
                    end=end,
                    text=text[start:end],
                    page=page_at(pages, start),
                    vector=_bytes(vector),
                    windows=windows or 1,
                )
                for chunk_id, section, start, end, vector, windows in rows
            ]

        return await self._database.read_async(query)

    async def find_chunks(
        self, project_id: str, collection_id: bytes, chunk_ids: Sequence[bytes], *, chosen: Filter | None = None
    ) -> dict[bytes, ChunkRecord]:
        """Those of the chunks that belong to the current version of a document of this collection.

        With a filter, only those of documents whose metadata satisfy it at this moment, whatever an index says.
        """

        def query(tx: Tx) -> dict[bytes, ChunkRecord]:
            found = {}
            for chunk_id in chunk_ids:
                row = tx.one(
                    "SELECT c.document_id, d.path, c.section, c.start_at, c.end_at,"
                    " substr(v.text, CAST(c.start_at + 1 AS INTEGER), CAST(c.end_at - c.start_at AS INTEGER)),"
                    " v.page_starts, v.metadata, d.metadata"
                    " FROM chunks c JOIN documents d ON d.version_id = c.version_id"
                    " JOIN document_versions v ON v.id = c.version_id"
                    " WHERE c.project_id = ? AND d.collection_id = ? AND c.id = ?",
                    (project_id, collection_id, chunk_id),
                )
                if row is not None and (chosen is None or chosen.matches(joined(row[7], row[8]))):
                    page = page_at(row[6], row[3])
                    found[chunk_id] = ChunkRecord(chunk_id, bytes(row[0]), row[1], row[2], row[3], row[4], row[5], page)
            return found

        return await self._database.read_async(query)

    async def read_spans(self, project_id: str, spans: Sequence[Span]) -> list[str | None]:
        """What the documents' current texts hold there; None where a document has no text now."""

        def query(tx: Tx) -> list[str | None]:
            found: list[str | None] = []
            for span in spans:
                row = tx.one(
                    "SELECT substr(v.text, CAST(? AS INTEGER), CAST(? AS INTEGER)) FROM documents d"
                    " JOIN document_versions v ON v.id = d.version_id WHERE d.project_id = ? AND d.id = ?",
                    (span.start + 1, span.end - span.start, project_id, span.document_id),
                )
                found.append(row[0] if row else None)
            return found

        return await self._database.read_async(query)

    async def pages(self, project_id: str, spans: Sequence[Span]) -> list[int | None]:
        """On which page each span begins, counted from 1; None for documents without pages."""

        def query(tx: Tx) -> list[int | None]:
            known: dict[bytes, str | None] = {}
            for document_id in {span.document_id for span in spans}:
                row = tx.one(
                    "SELECT v.page_starts FROM documents d JOIN document_versions v ON v.id = d.version_id"
                    " WHERE d.project_id = ? AND d.id = ?",
                    (project_id, document_id),
                )
                known[document_id] = row[0] if row else None
            return [page_at(known[span.document_id], span.start) for span in spans]

        return await self._database.read_async(query)

    async def read_text(self, project_id: str, document_id: bytes) -> tuple[bytes, str] | None:
        """The document's current version and its text; None where it has none."""
        row = await self._database.read_async(
            lambda tx: tx.one(
                "SELECT v.id, v.text FROM documents d JOIN document_versions v ON v.id = d.version_id"
                " WHERE d.project_id = ? AND d.id = ?",
                (project_id, document_id),
            )
        )
        return (bytes(row[0]), row[1]) if row else None


def page_at(page_starts: str | None, position: int) -> int | None:
    """The page that holds a position, counted from 1."""
    return bisect_right(json.loads(page_starts), position) if page_starts else None


def _document(row: tuple[Any, ...]) -> DocumentRecord:
    return DocumentRecord(
        id=bytes(row[0]),
        source=row[1],
        path=row[2],
        reason=row[3],
        content_key=_bytes(row[4]),
        size_bytes=row[5],
        chunk_count=row[6],
        embedded_count=row[7],
        loader=row[8],
        notes=tuple(json.loads(row[9])) if row[9] else (),
        page_count=len(json.loads(row[10])) if row[10] else 0,
        said=json.loads(row[11] or "{}"),
        owned=json.loads(row[12] or "{}"),
        updated_at_us=row[13],
    )


def _collection(tx: Tx, project_id: str, name: str) -> Collection | None:
    row = tx.one("SELECT id, name, revision FROM collections WHERE project_id = ? AND name = ?", (project_id, name))
    return Collection(bytes(row[0]), row[1], row[2]) if row else None


def _ensure_document(tx: Tx, project_id: str, row: tuple[bytes, bytes, str, str, int]) -> bytes:
    """The id of the path's document; `row` is stored where there is none."""
    fresh, collection_id, source, path, _ = row
    tx.execute(
        "INSERT INTO documents (project_id, id, collection_id, source, path, updated_at_us) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (collection_id, source, path) DO NOTHING",
        (project_id, *row),
    )
    found = tx.one(
        "SELECT id FROM documents WHERE project_id = ? AND collection_id = ? AND source = ? AND path = ?",
        (project_id, collection_id, source, path),
    )
    return bytes(found[0]) if found else fresh


def _content_key(tx: Tx, project_id: str, document_id: bytes) -> bytes | None:
    row = tx.one(
        "SELECT v.content_key FROM documents d JOIN document_versions v ON v.id = d.version_id"
        " WHERE d.project_id = ? AND d.id = ?",
        (project_id, document_id),
    )
    return bytes(row[0]) if row else None


def _twin(tx: Tx, project_id: str, document_id: bytes, content_key: bytes) -> bytes | None:
    """Another document of the project with this content."""
    row = tx.one(
        "SELECT document_id FROM document_versions WHERE project_id = ? AND content_key = ? AND document_id <> ?"
        " LIMIT 1",
        (project_id, content_key, document_id),
    )
    return bytes(row[0]) if row else None


def _drop_versions(tx: Tx, project_id: str, document_id: bytes) -> None:
    drop_embeddings(tx, project_id, document_id)
    tx.execute("DELETE FROM chunks WHERE project_id = ? AND document_id = ?", (project_id, document_id))
    tx.execute("DELETE FROM document_versions WHERE project_id = ? AND document_id = ?", (project_id, document_id))


def _bytes(value: object) -> bytes | None:
    return None if value is None else bytes(value)  # type: ignore[call-overload]
