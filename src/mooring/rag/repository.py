"""All SQL of the documents' ledger. Every change of a collection raises its revision in the same transaction."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from mooring.core.clock import Clock, SystemClock
from mooring.core.ids import NewId, new_id
from mooring.storage import Database, Tx

from .contracts import Piece


class Collection(msgspec.Struct, frozen=True):
    """A named set of documents of one project."""

    id: bytes
    name: str
    revision: int


class DocumentRecord(msgspec.Struct, frozen=True):
    """A path of a source; `reason` is None where its text is in the ledger, else why it is not."""

    id: bytes
    source: str
    path: str
    reason: str | None
    content_key: bytes | None
    size_bytes: int
    chunk_count: int


class NewVersion(msgspec.Struct, frozen=True):
    """A file's text and pieces, ready to be stored."""

    content_key: bytes
    loader: str
    size_bytes: int
    text: str
    pieces: tuple[Piece, ...]


class ChunkRecord(msgspec.Struct, frozen=True):
    """A chunk of a current version: `text` is its span of the document's stored text."""

    id: bytes
    document_id: bytes
    path: str
    section: str
    start: int
    end: int
    text: str


class Span(msgspec.Struct, frozen=True):
    """A stretch of a document's text."""

    document_id: bytes
    start: int
    end: int


class DocumentRepository:
    """The ledger of one database."""

    def __init__(self, database: Database, *, clock: Clock | None = None, new_id: NewId = new_id) -> None:
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

    async def list_documents(self, project_id: str, collection_id: bytes) -> list[DocumentRecord]:
        """Every path that was met, readable or not, by source and path."""
        rows = await self._database.read_async(
            lambda tx: tx.all(
                "SELECT d.id, d.source, d.path, d.reason, v.content_key, COALESCE(v.size_bytes, 0),"
                " (SELECT COUNT(*) FROM chunks c WHERE c.version_id = d.version_id)"
                " FROM documents d LEFT JOIN document_versions v ON v.id = d.version_id"
                " WHERE d.project_id = ? AND d.collection_id = ? ORDER BY d.source, d.path",
                (project_id, collection_id),
            )
        )
        return [DocumentRecord(bytes(row[0]), row[1], row[2], row[3], _bytes(row[4]), row[5], row[6]) for row in rows]

    async def put_version(
        self, project_id: str, collection_id: bytes, source: str, path: str, version: NewVersion
    ) -> bool:
        """Make this the document's text and chunks. False where it already was: then nothing is written."""
        now = self._clock.now_us()
        document_id, version_id = self._new_id(), self._new_id()
        chunk_ids = [self._new_id() for _ in version.pieces]

        def operation(tx: Tx) -> bool:
            _raise_revision(tx, project_id, collection_id)
            known = _ensure_document(tx, project_id, (document_id, collection_id, source, path, now))
            if _content_key(tx, project_id, known) == version.content_key:
                return False
            _drop_versions(tx, project_id, known)
            tx.execute(
                "INSERT INTO document_versions"
                " (id, project_id, document_id, content_key, loader, size_bytes, text, created_at_us)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    version_id,
                    project_id,
                    known,
                    version.content_key,
                    version.loader,
                    version.size_bytes,
                    version.text,
                    now,
                ),
            )
            for number, (chunk_id, piece) in enumerate(zip(chunk_ids, version.pieces, strict=True)):
                tx.execute(
                    "INSERT INTO chunks (id, project_id, document_id, version_id, number, section, start_at, end_at)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (chunk_id, project_id, known, version_id, number, piece.section, piece.start, piece.end),
                )
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
            _raise_revision(tx, project_id, collection_id)
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
            _raise_revision(tx, project_id, collection_id)
            for document_id in doomed:
                _drop_versions(tx, project_id, document_id)
                tx.execute(
                    "DELETE FROM documents WHERE project_id = ? AND collection_id = ? AND id = ?",
                    (project_id, collection_id, document_id),
                )

        await self._database.write_async(operation)

    async def current_versions(self, project_id: str, collection_id: bytes) -> tuple[int, dict[bytes, bytes]]:
        """The collection's revision, and the version of each document that has one, as of one moment."""

        def query(tx: Tx) -> tuple[int, dict[bytes, bytes]]:
            revision = tx.one(
                "SELECT revision FROM collections WHERE project_id = ? AND id = ?", (project_id, collection_id)
            )
            rows = tx.all(
                "SELECT id, version_id FROM documents"
                " WHERE project_id = ? AND collection_id = ? AND version_id IS NOT NULL",
                (project_id, collection_id),
            )
            return (revision[0] if revision else 0), {bytes(row[0]): bytes(row[1]) for row in rows}

        return await self._database.read_async(query)

    async def chunks_of(self, project_id: str, version_id: bytes) -> list[ChunkRecord]:
        """All chunks of a version, in order; none where the version is gone."""

        def query(tx: Tx) -> list[ChunkRecord]:
            head = tx.one(
                "SELECT v.text, d.path FROM document_versions v JOIN documents d ON d.id = v.document_id"
                " WHERE v.project_id = ? AND v.id = ?",
                (project_id, version_id),
            )
            if head is None:
                return []
            text, path = head
            rows = tx.all(
                "SELECT id, document_id, section, start_at, end_at FROM chunks"
                " WHERE project_id = ? AND version_id = ? ORDER BY number",
                (project_id, version_id),
            )
            return [
                ChunkRecord(bytes(row[0]), bytes(row[1]), path, row[2], row[3], row[4], text[row[3] : row[4]])
                for row in rows
            ]

        return await self._database.read_async(query)

    async def find_chunks(
        self, project_id: str, collection_id: bytes, chunk_ids: Sequence[bytes]
    ) -> dict[bytes, ChunkRecord]:
        """Those of the chunks that belong to the current version of a document of this collection."""

        def query(tx: Tx) -> dict[bytes, ChunkRecord]:
            found = {}
            for chunk_id in chunk_ids:
                row = tx.one(
                    "SELECT c.document_id, d.path, c.section, c.start_at, c.end_at,"
                    " substr(v.text, CAST(c.start_at + 1 AS INTEGER), CAST(c.end_at - c.start_at AS INTEGER))"
                    " FROM chunks c JOIN documents d ON d.version_id = c.version_id"
                    " JOIN document_versions v ON v.id = c.version_id"
                    " WHERE c.project_id = ? AND d.collection_id = ? AND c.id = ?",
                    (project_id, collection_id, chunk_id),
                )
                if row is not None:
                    found[chunk_id] = ChunkRecord(chunk_id, bytes(row[0]), *row[1:])
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


def _collection(tx: Tx, project_id: str, name: str) -> Collection | None:
    row = tx.one("SELECT id, name, revision FROM collections WHERE project_id = ? AND name = ?", (project_id, name))
    return Collection(bytes(row[0]), row[1], row[2]) if row else None


def _raise_revision(tx: Tx, project_id: str, collection_id: bytes) -> None:
    """First in every change: on PostgreSQL the row's lock puts the changes of one collection in a line."""
    tx.execute(
        "UPDATE collections SET revision = revision + 1 WHERE project_id = ? AND id = ?", (project_id, collection_id)
    )


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


def _drop_versions(tx: Tx, project_id: str, document_id: bytes) -> None:
    tx.execute("DELETE FROM chunks WHERE project_id = ? AND document_id = ?", (project_id, document_id))
    tx.execute("DELETE FROM document_versions WHERE project_id = ? AND document_id = ?", (project_id, document_id))


def _bytes(value: object) -> bytes | None:
    return None if value is None else bytes(value)  # type: ignore[call-overload]
