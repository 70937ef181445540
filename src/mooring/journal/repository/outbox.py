"""The outbox: what projections have still to apply. They apply it idempotently, then delete it."""

from typing import NamedTuple

from mooring.storage.transaction import Tx

from . import cross_project


class OutboxRow(NamedTuple):
    """`subject_id` is the call or run that `topic` is about."""

    id: bytes
    project_id: str
    topic: str
    subject_id: bytes
    created_at_us: int


def add(tx: Tx, project_id: str, row: OutboxRow) -> None:
    """Tell the projections, in the transaction of the fact."""
    tx.execute(
        "INSERT INTO outbox (id, project_id, topic, subject_id, created_at_us) VALUES (?, ?, ?, ?, ?)",
        (row.id, project_id, row.topic, row.subject_id, row.created_at_us),
    )


@cross_project("a projection follows every project")
def pending(tx: Tx, topic: str, limit: int) -> list[OutboxRow]:
    """What a topic's projection has still to apply; no order is promised."""
    rows = tx.all(
        "SELECT id, project_id, topic, subject_id, created_at_us FROM outbox WHERE topic = ? ORDER BY id LIMIT ?",
        (topic, limit),
    )
    return [OutboxRow(bytes(row[0]), row[1], row[2], bytes(row[3]), row[4]) for row in rows]


@cross_project("a projection follows every project")
def done(tx: Tx, row_id: bytes) -> None:
    """One fact was applied."""
    tx.execute("DELETE FROM outbox WHERE id = ?", (row_id,))
