"""Bytes by hop: the batches that `serve` writes, and the projection's row for each exchange of a call."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mooring.journal.repository import outbox
from mooring.journal.repository.outbox import OutboxRow
from mooring.storage.transaction import Tx

from . import cross_project

TOPIC = "traffic.counted"


class Exchanged(NamedTuple):
    """One exchange at the edge; `call_id` is a run's id where it was about the run as a whole."""

    call_id: bytes
    hop: int
    bytes_up: int
    bytes_down: int


@cross_project("one row holds exchanges of every project; what reads it joins with calls")
def put(tx: Tx, row: OutboxRow, process_id: bytes, data: bytes) -> None:
    """Write a batch, and tell the projection."""
    tx.execute(
        "INSERT INTO traffic (id, process_id, at_us, data) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (row.subject_id, process_id, row.created_at_us, data),
    )
    outbox.add(tx, row.project_id, row)


@cross_project("a projection follows every project")
def batches(tx: Tx, ids: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    """These batches: id and data."""
    rows = (tx.one("SELECT id, data FROM traffic WHERE id = ?", (one,)) for one in ids)
    return [(bytes(row[0]), bytes(row[1])) for row in rows if row is not None]


@cross_project("a rebuild follows every project")
def after(tx: Tx, batch_id: bytes, limit: int) -> list[bytes]:
    """The next batches, in the order of their ids."""
    rows = tx.all("SELECT id FROM traffic WHERE id > ? ORDER BY id LIMIT ?", (batch_id, limit))
    return [bytes(row[0]) for row in rows]


@cross_project("retention is of the whole installation")
def prune(tx: Tx, before_us: int) -> int:
    """Forget batches from before this time."""
    return tx.execute("DELETE FROM traffic WHERE at_us < ?", (before_us,))


@cross_project("a batch holds exchanges of every project; what reads them joins with calls")
def apply(tx: Tx, batch_id: bytes, exchanged: Sequence[Exchanged]) -> None:
    """Write a batch's exchanges, once."""
    for place, one in enumerate(exchanged):
        tx.execute(
            "INSERT INTO trace_traffic (call_id, batch_id, place, hop, bytes_up, bytes_down) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            (one.call_id, batch_id, place, one.hop, one.bytes_up, one.bytes_down),
        )


@cross_project("the ids are those of calls and runs that the caller has read")
def of_subjects(tx: Tx, call_ids: Iterable[bytes]) -> list[Exchanged]:
    """Every exchange of these calls and runs."""
    found: list[Exchanged] = []
    for call_id in call_ids:
        rows = tx.all("SELECT call_id, hop, bytes_up, bytes_down FROM trace_traffic WHERE call_id = ?", (call_id,))
        found.extend(Exchanged(bytes(row[0]), *row[1:]) for row in rows)
    return found


def tips(tx: Tx, project_id: str, run_id: bytes) -> list[tuple[bytes, bytes]]:
    """The model calls of a run with the last element of what each sent, in order."""
    rows = tx.all(
        "SELECT id, request_tip FROM calls WHERE project_id = ? AND run_id = ? AND request_tip IS NOT NULL",
        (project_id, run_id),
    )
    return [(bytes(row[0]), bytes(row[1])) for row in sorted(rows)]


def element(tx: Tx, project_id: str, element_id: bytes) -> tuple[bytes | None, int, bytes] | None:
    """One row of elements: parent, codec, data."""
    row = tx.one(
        "SELECT parent_id, codec, data FROM elements WHERE project_id = ? AND id = ?", (project_id, element_id)
    )
    return None if row is None else (None if row[0] is None else bytes(row[0]), row[1], bytes(row[2]))


def missing_chunks(tx: Tx, project_id: str, chunk_ids: Iterable[bytes]) -> list[bytes]:
    """Of these passages, named by their content, those that are not there (any more)."""
    return [
        one
        for one in chunk_ids
        if tx.one("SELECT 1 FROM chunks WHERE project_id = ? AND id = ?", (project_id, one)) is None
    ]
