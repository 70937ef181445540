"""The pages' own questions to the database: sums of a time, who worked on a run, texts and their places."""

from collections.abc import Sequence
from typing import NamedTuple

from mooring.core.clock import Clock
from mooring.storage.projects import cross_project
from mooring.storage.transaction import Tx


def first_id(at_us: int) -> bytes:
    """Ids are ordered by time: none made at or after this moment is smaller."""
    return (max(at_us, 0) // 1000 << 80).to_bytes(16)


def since(clock: Clock, seconds: int) -> bytes:
    """The first id of the last so many seconds."""
    return first_id(clock.now_us() - seconds * 1_000_000)


def run_facts(tx: Tx, project_id: str, run_id: bytes) -> tuple[str | None, int | None]:
    """Why a run is set aside, and until when."""
    row = tx.one("SELECT park_reason, due_at_us FROM runs WHERE project_id = ? AND id = ?", (project_id, run_id))
    return (row[0], row[1]) if row else (None, None)


class TargetRow(NamedTuple):
    """One target's attempts of late; latencies are of those that answered."""

    target: str
    attempts: int
    failed: int
    settled_nanos: int
    held_nanos: int
    first_byte_us: int | None
    whole_us: int | None


def targets(tx: Tx, project_id: str, first: bytes, most: int) -> list[TargetRow]:
    """Models' targets of the newest attempts, at most so many."""
    rows = tx.all(
        "SELECT target, COUNT(*), SUM(CASE WHEN outcome = 'failed' THEN 1 ELSE 0 END), SUM(settled_nanos),"
        " SUM(held_nanos), AVG(first_byte_at_us - intended_at_us),"
        " AVG(CASE WHEN outcome = 'completed' THEN finished_at_us - intended_at_us END)"
        " FROM (SELECT * FROM attempts WHERE project_id = ? AND id >= ? ORDER BY id DESC LIMIT ?) newest"
        " WHERE target NOT LIKE 'tool/%' GROUP BY target ORDER BY 1",
        (project_id, first, most),
    )
    return [TargetRow(r[0], *(int(v) for v in r[1:5]), *(None if v is None else int(v) for v in r[5:])) for r in rows]


class FailureRow(NamedTuple):
    """A failed attempt at a model."""

    target: str
    call_id: bytes
    at_us: int
    code: str
    message: str


def failures(tx: Tx, project_id: str, first: bytes, most: int) -> list[FailureRow]:
    """Those of the newest attempts that failed at a model, the newest first."""
    rows = tx.all(
        "SELECT target, call_id, intended_at_us, error_code, error_message"
        " FROM (SELECT * FROM attempts WHERE project_id = ? AND id >= ? ORDER BY id DESC LIMIT ?) newest"
        " WHERE outcome = 'failed' AND target NOT LIKE 'tool/%' ORDER BY id DESC",
        (project_id, first, most),
    )
    return [FailureRow(row[0], bytes(row[1]), row[2], row[3] or "failed", row[4] or "") for row in rows]


def hands(tx: Tx, project_id: str, run_id: bytes) -> list[tuple[bytes, int, int]]:
    """Which processes worked on a run's tools, and the first and last moment of each; the earliest first."""
    rows = tx.all(
        "SELECT a.process_id, MIN(a.intended_at_us), MAX(COALESCE(a.finished_at_us, a.intended_at_us))"
        " FROM attempts a JOIN calls c ON c.id = a.call_id WHERE c.project_id = ? AND c.run_id = ? AND c.kind = 'tool'"
        " GROUP BY a.process_id ORDER BY 2",
        (project_id, run_id),
    )
    return [(bytes(row[0]), row[1], row[2]) for row in rows]


@cross_project("a process serves every project")
def processes(tx: Tx, process_ids: Sequence[bytes]) -> dict[bytes, tuple[str, int, int | None]]:
    """Kind, pid and, if it was proven, the moment of its death."""
    found: dict[bytes, tuple[str, int, int | None]] = {}
    for process_id in process_ids:
        row = tx.one("SELECT kind, pid, dead_at_us FROM processes WHERE id = ?", (process_id,))
        if row:
            found[process_id] = (row[0], row[1], row[2])
    return found


class UnreadRow(NamedTuple):
    """A document without text, and why."""

    collection: str
    id: bytes
    path: str
    reason: str
    updated_at_us: int


def unreadable(tx: Tx, project_id: str, limit: int) -> list[UnreadRow]:
    """Documents without text, the last to become so first."""
    rows = tx.all(
        "SELECT c.name, d.id, d.path, d.reason, d.updated_at_us FROM documents d"
        " JOIN collections c ON c.id = d.collection_id"
        " WHERE d.project_id = ? AND d.reason IS NOT NULL ORDER BY d.updated_at_us DESC LIMIT ?",
        (project_id, limit),
    )
    return [UnreadRow(row[0], bytes(row[1]), row[2], row[3], row[4]) for row in rows]


class DocumentRow(NamedTuple):
    """A document with its current version, if it has one."""

    id: bytes
    collection: str
    source: str
    path: str
    reason: str | None
    updated_at_us: int
    version_id: bytes | None
    loader: str | None
    size_bytes: int
    text: str


def document(tx: Tx, project_id: str, document_id: bytes) -> DocumentRow | None:
    """One document with its whole text."""
    row = tx.one(
        "SELECT d.id, c.name, d.source, d.path, d.reason, d.updated_at_us, d.version_id, v.loader,"
        " COALESCE(v.size_bytes, 0), COALESCE(v.text, '') FROM documents d"
        " JOIN collections c ON c.id = d.collection_id LEFT JOIN document_versions v ON v.id = d.version_id"
        " WHERE d.project_id = ? AND d.id = ?",
        (project_id, document_id),
    )
    if row is None:
        return None
    version = bytes(row[6]) if row[6] is not None else None
    return DocumentRow(bytes(row[0]), row[1], row[2], row[3], row[4], row[5], version, row[7], row[8], row[9])


def chunks(tx: Tx, project_id: str, version_id: bytes) -> list[tuple[bytes, str, int, int]]:
    """A version's chunks in order: id, section, start, end."""
    rows = tx.all(
        "SELECT id, section, start_at, end_at FROM chunks WHERE project_id = ? AND version_id = ? ORDER BY number",
        (project_id, version_id),
    )
    return [(bytes(row[0]), row[1], row[2], row[3]) for row in rows]


def documents_of(tx: Tx, project_id: str, chunk_ids: Sequence[bytes]) -> dict[bytes, bytes]:
    """By a chunk's id that of its document; a chunk that was replaced or forgotten is not among them."""
    found: dict[bytes, bytes] = {}
    for chunk_id in dict.fromkeys(chunk_ids):
        row = tx.one("SELECT document_id FROM chunks WHERE project_id = ? AND id = ?", (project_id, chunk_id))
        if row is not None:
            found[chunk_id] = bytes(row[0])
    return found


def spans(tx: Tx, project_id: str, places: Sequence[tuple[bytes, int, int]]) -> list[str | None]:
    """What the current texts hold there; None where a document has no text now."""
    found: list[str | None] = []
    for document_id, start, end in places:
        row = tx.one(
            "SELECT substr(v.text, CAST(? AS INTEGER), CAST(? AS INTEGER)) FROM documents d"
            " JOIN document_versions v ON v.id = d.version_id WHERE d.project_id = ? AND d.id = ?",
            (start + 1, end - start, project_id, document_id),
        )
        found.append(row[0] if row else None)
    return found
