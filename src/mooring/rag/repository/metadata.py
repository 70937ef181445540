"""What is said of documents, and which documents a filter lets a search see."""

import json
from collections.abc import Mapping

from mooring.rag.filter import Filter, Kinds, kinds_of
from mooring.rag.metadata import FACT
from mooring.storage import Database, Tx

from .revision import raise_revision

# A collection without folders still knows what a folder is: such a filter finds nothing, and is no mistake.
FACTS: Kinds = {FACT + name: {"text"} for name in ("folder", "modified", "path", "type")}


class MetadataRepository:
    """The metadata of one database's documents."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def matching(self, project_id: str, collection_id: bytes, chosen: Filter) -> frozenset[bytes]:
        """The documents that the filter lets through, checked against the fields that the collection has.

        Raises:
            InvalidRequest: an unknown field, or another type than the field has.
        """
        rows = await self._database.read_async(
            lambda tx: tx.all(
                "SELECT d.id, v.metadata, d.metadata FROM documents d JOIN document_versions v ON v.id = d.version_id"
                " WHERE d.project_id = ? AND d.collection_id = ?",
                (project_id, collection_id),
            )
        )
        said = {bytes(row[0]): joined(row[1], row[2]) for row in rows}
        chosen.check({**FACTS, **kinds_of(said.values())})
        return frozenset(document_id for document_id, metadata in said.items() if chosen.matches(metadata))

    async def put(self, project_id: str, collection_id: bytes, owned: Mapping[bytes, Mapping[str, object]]) -> None:
        """Replace what the owner and the file system say of documents, whose texts stay as they are."""

        def operation(tx: Tx) -> None:
            raise_revision(tx, project_id, collection_id)
            for document_id, fields in owned.items():
                tx.execute(
                    "UPDATE documents SET metadata = ? WHERE project_id = ? AND id = ?",
                    (json.dumps(fields, ensure_ascii=False), project_id, document_id),
                )

        if owned:
            await self._database.write_async(operation)


def joined(said: str | None, owned: str | None) -> dict[str, object]:
    """A document's metadata: what its text says, overruled by its owner's word and the file's facts."""
    return {**json.loads(said or "{}"), **json.loads(owned or "{}")}
