"""Processes: who is alive is proven by file locks; what the database holds is who was proven dead."""

from collections.abc import Sequence
from typing import NamedTuple

from mooring.storage.session_lock import key_of
from mooring.storage.transaction import Tx

from . import cross_project

_HELD = (
    "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"
    " AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class ProcessRow(NamedTuple):
    id: bytes
    kind: str
    pid: int
    lock_path: str
    address: str | None
    started_at_us: int


@cross_project("a process serves every project")
def register(tx: Tx, row: ProcessRow) -> None:
    """Write a process that has just taken its lock."""
    tx.execute(
        "INSERT INTO processes (id, kind, pid, lock_path, address, started_at_us) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET address = excluded.address, lock_path = excluded.lock_path",
        row,
    )


@cross_project("a process serves every project")
def living(tx: Tx) -> list[ProcessRow]:
    """Processes of which nobody has proven the death."""
    rows = tx.all(
        "SELECT id, kind, pid, lock_path, address, started_at_us FROM processes WHERE dead_at_us IS NULL ORDER BY id"
    )
    return [ProcessRow(bytes(row[0]), *row[1:]) for row in rows]


@cross_project("a process serves every project")
def is_dead(tx: Tx, process_id: bytes) -> bool:
    """Whether its death is on record."""
    return tx.one("SELECT 1 FROM processes WHERE id = ? AND dead_at_us IS NOT NULL", (process_id,)) is not None


@cross_project("a process serves every project")
def mark_dead(tx: Tx, process_id: bytes, at_us: int) -> bool:
    """Record a proven death, once."""
    return bool(
        tx.execute("UPDATE processes SET dead_at_us = ? WHERE id = ? AND dead_at_us IS NULL", (at_us, process_id))
    )


@cross_project("a process serves every project")
def revive(tx: Tx, process_id: bytes) -> bool:
    """One of the living again; False when nobody had buried it. To be asked with its own lock in hand."""
    return bool(
        tx.execute("UPDATE processes SET dead_at_us = NULL WHERE id = ? AND dead_at_us IS NOT NULL", (process_id,))
    )


@cross_project("a process serves every project")
def unlocked(tx: Tx, process_ids: Sequence[bytes]) -> list[bytes]:
    """On PostgreSQL: those whose session locks nobody holds. Looked up, not tried: an owner may be coming back."""
    held = {row[0] for row in tx.all(_HELD)}
    return [process_id for process_id in process_ids if key_of(process_id) not in held]


@cross_project("a process serves every project")
def lock(tx: Tx, process_id: bytes) -> bool:
    """On PostgreSQL: take a process's session lock until the transaction ends; False while its owner holds it."""
    row = tx.one("SELECT pg_try_advisory_xact_lock(?)", (key_of(process_id),))
    return bool(row and row[0])


@cross_project("sizes are the installation's")
def counts(tx: Tx) -> dict[str, int]:
    """Rows of the tables that grow."""
    row = tx.one(
        "SELECT (SELECT COUNT(*) FROM calls), (SELECT COUNT(*) FROM attempts), (SELECT COUNT(*) FROM runs),"
        " (SELECT COUNT(*) FROM run_events), (SELECT COUNT(*) FROM contents), (SELECT COUNT(*) FROM elements),"
        " (SELECT COUNT(*) FROM call_keys), (SELECT COUNT(*) FROM outbox), (SELECT COUNT(*) FROM processes)"
    )
    names = ("calls", "attempts", "runs", "run_events", "contents", "elements", "call_keys", "outbox", "processes")
    return dict(zip(names, row or (), strict=True))
