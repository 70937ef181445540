"""The number that tells an index that it is behind."""

from mooring.storage import Tx


def raise_revision(tx: Tx, project_id: str, collection_id: bytes) -> None:
    """First in every change: on PostgreSQL the row's lock puts the changes of one collection in a line."""
    tx.execute(
        "UPDATE collections SET revision = revision + 1 WHERE project_id = ? AND id = ?", (project_id, collection_id)
    )
