"""Runs, their events and the queue. Each write of a run begins with the statement that fences and numbers it."""

from typing import Any, NamedTuple

from mooring.storage.transaction import Tx

from ..records import NewRun, RunEvent, RunRecord
from . import cross_project
from .calls import tags_of, tags_text
from .contents import Kept

_SELECT = (
    "SELECT id, project_id, handler, name, state, epoch, next_seq, input_codec, input_data, created_at_us,"
    " output_codec, output_data, error_code, error_message, owner_process_id, lease_until_us, started_at_us,"
    " finished_at_us, user_name, session_name, tags, release_id, app_path, app_digest, settled_nanos, held_nanos"
    " FROM runs"
)


class Stored(NamedTuple):
    """A run's record without its bytes, and how they are kept."""

    record: RunRecord
    input: tuple[int | None, bytes | None]
    output: tuple[int | None, bytes | None]


class Candidate(NamedTuple):
    """A run that may be claimed, as it was read."""

    id: bytes
    project_id: str
    epoch: int


def insert(tx: Tx, project_id: str, run: NewRun, body: Kept | None, at_us: int) -> bool:
    """Queue a run; False when the project has one with its key."""
    return bool(
        tx.execute(
            "INSERT INTO runs (id, project_id, handler, name, run_key, state, epoch, next_seq, input_codec, input_data,"
            " due_at_us, created_at_us, user_name, session_name, tags, release_id, app_path, app_digest,"
            " max_cost_nanos, parent_run_id, settled_nanos, held_nanos)"
            " VALUES (?, ?, ?, ?, ?, 'queued', 0, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)"
            " ON CONFLICT (project_id, run_key) DO NOTHING",
            (
                run.id,
                project_id,
                run.handler,
                run.name,
                run.key,
                None if body is None else body.codec,
                None if body is None else body.data,
                run.due_at_us,
                at_us,
                run.user,
                run.session,
                tags_text(run.tags),
                run.release_id,
                run.app_path,
                run.app_digest,
                run.max_cost_nanos,
                run.parent_run_id,
            ),
        )
    )


def find(tx: Tx, project_id: str, run_id: bytes) -> Stored | None:
    """A run."""
    row = tx.one(_SELECT + " WHERE project_id = ? AND id = ?", (project_id, run_id))
    return stored(row) if row else None


@cross_project("whoever writes for a run knows its id; where its bytes go follows from the row")
def project_of(tx: Tx, run_id: bytes) -> str | None:
    """The project of a run."""
    row = tx.one("SELECT project_id FROM runs WHERE id = ?", (run_id,))
    return row[0] if row else None


def find_key(tx: Tx, project_id: str, key: str) -> Stored | None:
    """The run with a key."""
    row = tx.one(_SELECT + " WHERE project_id = ? AND run_key = ?", (project_id, key))
    return stored(row) if row else None


def recent(tx: Tx, project_id: str, limit: int, before: bytes | None) -> list[Stored]:
    """Runs of a project, newest first."""
    rows = tx.all(
        _SELECT + " WHERE project_id = ? AND id < ? ORDER BY id DESC LIMIT ?",
        (project_id, before or b"\xff" * 16, limit),
    )
    return [stored(row) for row in rows]


def recent_in_state(tx: Tx, project_id: str, state: str, limit: int, before: bytes | None) -> list[Stored]:
    """Runs of a project in one state, newest first."""
    rows = tx.all(
        _SELECT + " WHERE project_id = ? AND state = ? AND id < ? ORDER BY id DESC LIMIT ?",
        (project_id, state, before or b"\xff" * 16, limit),
    )
    return [stored(row) for row in rows]


# fencing -------------------------------------------------------------------------------------------------------------


@cross_project("the epoch proves that the writer owns the run")
def next_seq(tx: Tx, run_id: bytes, epoch: int) -> tuple[int, str] | None:
    """Fence and number in one statement: the next event's number and the project; None when the lease was lost."""
    row = tx.one(
        "UPDATE runs SET next_seq = next_seq + 1 WHERE id = ? AND epoch = ? AND state = 'running'"
        " RETURNING next_seq, project_id",
        (run_id, epoch),
    )
    return (row[0] - 1, row[1]) if row else None


def hold(tx: Tx, project_id: str, run_id: bytes, epoch: int, held_nanos: int) -> bool:
    """Fence an intent and reserve it on the run's own cap; False when the lease was lost or the cap would be passed."""
    return bool(
        tx.execute(
            "UPDATE runs SET held_nanos = held_nanos + ? WHERE id = ? AND epoch = ? AND project_id = ?"
            " AND state = 'running' AND (max_cost_nanos IS NULL OR settled_nanos + held_nanos + ? <= max_cost_nanos)",
            (held_nanos, run_id, epoch, project_id, held_nanos),
        )
    )


def cap(tx: Tx, project_id: str, run_id: bytes, epoch: int) -> tuple[int, int, int] | None:
    """Cap, settled and held of a run that this epoch still owns."""
    return tx.one(
        "SELECT max_cost_nanos, settled_nanos, held_nanos FROM runs"
        " WHERE project_id = ? AND id = ? AND epoch = ? AND state = 'running' AND max_cost_nanos IS NOT NULL",
        (project_id, run_id, epoch),
    )


@cross_project("the run's id comes from the attempt that is settled")
def settle(tx: Tx, run_id: bytes, held_nanos: int, settled_nanos: int) -> None:
    """Move a reservation of the run to what it cost, whoever owns the run by now."""
    tx.execute(
        "UPDATE runs SET held_nanos = held_nanos - ?, settled_nanos = settled_nanos + ? WHERE id = ?",
        (held_nanos, settled_nanos, run_id),
    )


def add_event(
    tx: Tx, project_id: str, run_id: bytes, seq: int, *, kind: str, payload: Kept, call_id: bytes | None, at_us: int
) -> None:
    """Write one event under the number that fencing gave."""
    tx.execute(
        "INSERT INTO run_events (run_id, seq, project_id, kind, call_id, at_us, payload_codec, payload_data)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (run_id, seq, project_id, kind, call_id, at_us, payload.codec, payload.data),
    )


def events(
    tx: Tx, project_id: str, run_id: bytes, after: int, limit: int
) -> list[tuple[int, str, int, bytes | None, int, bytes | None]]:
    """Events after a number: seq, kind, time, call, and how the payload is kept."""
    rows = tx.all(
        "SELECT seq, kind, at_us, call_id, payload_codec, payload_data FROM run_events"
        " WHERE project_id = ? AND run_id = ? AND seq > ? ORDER BY seq LIMIT ?",
        (project_id, run_id, after, limit),
    )
    return [(row[0], row[1], row[2], row[3], row[4], row[5]) for row in rows]


# the queue -----------------------------------------------------------------------------------------------------------


@cross_project("the queue is one; who may run a handler was decided when the run was created")
def claimable(tx: Tx, handler: str, at_us: int, each: int) -> list[Candidate]:
    """The oldest runs of each project that a worker may take: due, or left by an owner whose lease is over."""
    rows = tx.all(
        "SELECT id, project_id, epoch FROM (SELECT id, project_id, epoch,"
        " ROW_NUMBER() OVER (PARTITION BY project_id ORDER BY id) AS place FROM runs"
        " WHERE finished_at_us IS NULL AND handler = ? AND ("
        "(state = 'queued' AND (due_at_us IS NULL OR due_at_us <= ?))"
        " OR (state = 'waiting' AND due_at_us <= ?) OR (state = 'running' AND lease_until_us < ?)"
        ")) AS waiting WHERE place <= ? ORDER BY place, id",
        (handler, at_us, at_us, at_us, each),
    )
    return [Candidate(bytes(row[0]), row[1], row[2]) for row in rows]


@cross_project("fairness compares projects")
def running(tx: Tx) -> dict[str, int]:
    """How many runs each project has under way."""
    rows = tx.all(
        "SELECT project_id, COUNT(*) FROM runs WHERE finished_at_us IS NULL AND state = 'running' GROUP BY project_id"
    )
    return dict(rows)


def claim(tx: Tx, project_id: str, run_id: bytes, epoch: int, *, process_id: bytes, at_us: int, until_us: int) -> bool:
    """Take a run as it was read: the epoch rises, and whoever had it before writes no more."""
    return bool(
        tx.execute(
            "UPDATE runs SET state = 'running', epoch = epoch + 1, owner_process_id = ?, lease_until_us = ?,"
            " due_at_us = NULL, park_reason = NULL, started_at_us = COALESCE(started_at_us, ?)"
            " WHERE project_id = ? AND id = ? AND epoch = ? AND finished_at_us IS NULL"
            " AND (state IN ('queued', 'waiting') OR (state = 'running' AND lease_until_us < ?))",
            (process_id, until_us, at_us, project_id, run_id, epoch, at_us),
        )
    )


@cross_project("the epoch proves that the writer owns the run")
def renew(tx: Tx, run_id: bytes, epoch: int, until_us: int) -> bool:
    """Keep a lease; False when it was lost."""
    return bool(
        tx.execute(
            "UPDATE runs SET lease_until_us = ? WHERE id = ? AND epoch = ? AND state = 'running'",
            (until_us, run_id, epoch),
        )
    )


def finish(
    tx: Tx,
    project_id: str,
    run_id: bytes,
    *,
    state: str,
    output: Kept | None,
    error_code: str | None,
    error_message: str | None,
    at_us: int,
) -> None:
    """End a run; the caller has fenced."""
    tx.execute(
        "UPDATE runs SET state = ?, output_codec = ?, output_data = ?, error_code = ?, error_message = ?,"
        " finished_at_us = ?, lease_until_us = NULL, owner_process_id = NULL WHERE project_id = ? AND id = ?",
        (
            state,
            None if output is None else output.codec,
            None if output is None else output.data,
            error_code,
            error_message,
            at_us,
            project_id,
            run_id,
        ),
    )


def park(tx: Tx, project_id: str, run_id: bytes, *, state: str, reason: str, wake_at_us: int | None) -> None:
    """Set a run aside; the caller has fenced."""
    tx.execute(
        "UPDATE runs SET state = ?, park_reason = ?, due_at_us = ?, lease_until_us = NULL, owner_process_id = NULL"
        " WHERE project_id = ? AND id = ?",
        (state, reason, wake_at_us, project_id, run_id),
    )


def resume(tx: Tx, project_id: str, run_id: bytes) -> bool:
    """Queue a run that was set aside."""
    return bool(
        tx.execute(
            "UPDATE runs SET state = 'queued', due_at_us = NULL, park_reason = NULL"
            " WHERE project_id = ? AND id = ? AND state IN ('parked', 'waiting')",
            (project_id, run_id),
        )
    )


def wake(tx: Tx, project_id: str, run_id: bytes) -> bool:
    """Queue a run that was set aside because of an uncertain call."""
    return bool(
        tx.execute(
            "UPDATE runs SET state = 'queued', due_at_us = NULL, park_reason = NULL"
            " WHERE project_id = ? AND id = ? AND state = 'parked' AND park_reason LIKE '%uncertain%'"
            " AND NOT EXISTS (SELECT 1 FROM calls WHERE run_id = ? AND state = 'uncertain')",
            (project_id, run_id, run_id),
        )
    )


def cancel(tx: Tx, project_id: str, run_id: bytes) -> int | None:
    """End a run from outside: its owner is fenced, whoever it is. The number of its last event."""
    row = tx.one(
        "UPDATE runs SET epoch = epoch + 1, next_seq = next_seq + 1"
        " WHERE project_id = ? AND id = ? AND finished_at_us IS NULL RETURNING next_seq",
        (project_id, run_id),
    )
    return row[0] - 1 if row else None


@cross_project("a dead process leaves runs of every project")
def release_all(tx: Tx, process_id: bytes) -> int:
    """Queue the runs of a dead process; the epoch rises so that nothing of it can write any more."""
    return tx.execute(
        "UPDATE runs SET state = 'queued', epoch = epoch + 1, owner_process_id = NULL, lease_until_us = NULL"
        " WHERE owner_process_id = ? AND state = 'running' AND finished_at_us IS NULL",
        (process_id,),
    )


@cross_project("a restored copy sets everybody's runs aside")
def park_all(tx: Tx, reason: str) -> list[tuple[bytes, str, int]]:
    """Set aside every run that is not over, whoever had it: id, project and the number of its next event."""
    rows = tx.all(
        "UPDATE runs SET state = 'parked', park_reason = ?, epoch = epoch + 1, next_seq = next_seq + 1,"
        " due_at_us = NULL, lease_until_us = NULL, owner_process_id = NULL WHERE finished_at_us IS NULL"
        " RETURNING id, project_id, next_seq",
        (reason,),
    )
    return [(bytes(row[0]), row[1], row[2] - 1) for row in rows]


def stored(row: tuple[Any, ...]) -> Stored:
    """A row of `_SELECT`."""
    fields = (*row[:7], b"", row[9], None, *row[12:20], tags_of(row[20]), *row[21:26])
    return Stored(RunRecord(*fields), (row[7], row[8]), (row[10], row[11]))


def event_of(row: tuple[int, str, int, bytes | None, int, bytes | None], payload: bytes) -> RunEvent:
    """A row of `events` with its payload read."""
    return RunEvent(seq=row[0], kind=row[1], payload=payload, at_us=row[2], call_id=row[3])
