"""Vectors of chunks by model, one for each window, as float16 bytes: bought once, kept as long as their chunk."""

from collections.abc import Iterable, Mapping, Sequence

from mooring.rag.window import embedding_input, windows_of
from mooring.storage import Database, Tx

from .records import ChunkInput, Vector
from .revision import raise_revision

Kept = dict[tuple[str, str], Vector]  # (model, what was embedded) to its vectors


class EmbeddingRepository:
    """The vectors of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def pending(self, project_id: str, collection_id: bytes, model: str) -> list[bytes]:
        """Chunks of current versions that have no vector of this model, in order of their documents."""
        rows = await self._database.read_async(
            lambda tx: tx.all(
                "SELECT c.id FROM documents d JOIN chunks c ON c.version_id = d.version_id"
                " WHERE d.project_id = ? AND d.collection_id = ?"
                " AND NOT EXISTS (SELECT 1 FROM embeddings e WHERE e.chunk_id = c.id AND e.model = ?)"
                " ORDER BY d.source, d.path, c.number",
                (project_id, collection_id, model),
            )
        )
        return [bytes(row[0]) for row in rows]

    async def inputs(self, project_id: str, chunk_ids: Sequence[bytes]) -> list[ChunkInput]:
        """What is to be embedded of these chunks; those that are gone are left out."""

        def query(tx: Tx) -> list[ChunkInput]:
            found = []
            for chunk_id in chunk_ids:
                row = tx.one(
                    "SELECT d.path, c.section,"
                    " substr(v.text, CAST(c.start_at + 1 AS INTEGER), CAST(c.end_at - c.start_at AS INTEGER))"
                    " FROM chunks c JOIN documents d ON d.version_id = c.version_id"
                    " JOIN document_versions v ON v.id = c.version_id WHERE c.project_id = ? AND c.id = ?",
                    (project_id, chunk_id),
                )
                if row is not None:
                    found.append(ChunkInput(chunk_id, row[0], windows_of(row[1], row[2])))
            return found

        return await self._database.read_async(query)

    async def put(self, project_id: str, collection_id: bytes, model: str, vectors: Mapping[bytes, Vector]) -> None:
        """Store vectors; a chunk that is gone by now takes none, and one that has its own keeps them."""

        def operation(tx: Tx) -> None:
            raise_revision(tx, project_id, collection_id)
            for chunk_id, vector in vectors.items():
                _insert(tx, project_id, model, chunk_id, vector)

        await self._database.write_async(operation)


def kept_embeddings(tx: Tx, project_id: str, document_id: bytes) -> Kept:
    """The vectors of a document by what was embedded."""
    rows = tx.all(
        "SELECT e.model, c.section,"
        " substr(v.text, CAST(c.start_at + 1 AS INTEGER), CAST(c.end_at - c.start_at AS INTEGER)), e.windows, e.vector"
        " FROM embeddings e JOIN chunks c ON c.id = e.chunk_id JOIN document_versions v ON v.id = c.version_id"
        " WHERE e.project_id = ? AND e.document_id = ?",
        (project_id, document_id),
    )
    return {
        (model, embedding_input(section, text)): Vector(windows, bytes(vector))
        for model, section, text, windows, vector in rows
    }


def keep_embeddings(
    tx: Tx, project_id: str, document_id: bytes, kept: Kept, chunks: Iterable[tuple[bytes, str]]
) -> None:
    """Give new chunks the vectors of old ones that said the same."""
    models = {model for model, _ in kept}
    for chunk_id, text in chunks:
        for model in models:
            vector = kept.get((model, text))
            if vector is not None:
                tx.execute(
                    "INSERT INTO embeddings (chunk_id, model, project_id, document_id, windows, vector)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (chunk_id, model, project_id, document_id, vector.windows, vector.rows),
                )


def drop_embeddings(tx: Tx, project_id: str, document_id: bytes) -> None:
    """Forget all vectors of a document."""
    tx.execute("DELETE FROM embeddings WHERE project_id = ? AND document_id = ?", (project_id, document_id))


def _insert(tx: Tx, project_id: str, model: str, chunk_id: bytes, vector: Vector) -> None:
    tx.execute(
        "INSERT INTO embeddings (chunk_id, model, project_id, document_id, windows, vector)"
        " SELECT c.id, ?, c.project_id, c.document_id, CAST(? AS BIGINT), ? FROM chunks c"
        " WHERE c.project_id = ? AND c.id = ?"
        " ON CONFLICT (chunk_id, model) DO NOTHING",
        (model, vector.windows, vector.rows, project_id, chunk_id),
    )
