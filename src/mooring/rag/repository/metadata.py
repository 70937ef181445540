"""What callers said of their documents, and which documents a filter lets a search see."""

import json

from mooring.rag.filter import Filter, kinds_of
from mooring.storage import Database


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
                "SELECT id, metadata FROM documents"
                " WHERE project_id = ? AND collection_id = ? AND version_id IS NOT NULL AND metadata IS NOT NULL",
                (project_id, collection_id),
            )
        )
        said = {bytes(row[0]): json.loads(row[1]) for row in rows}
        chosen.check(kinds_of(said.values()))
        return frozenset(document_id for document_id, metadata in said.items() if chosen.matches(metadata))
