"""Calls and the keys that make them answerable once."""

from typing import Any, NamedTuple

import msgspec

from mooring.storage.transaction import Tx

from ..records import CallAnswer, CallRecord, CallState, NewCall, PlacePer, step_key
from . import cross_project
from .contents import FRAME, Kept

# A call whose trace is its run, or itself, does not say so again: of most calls it is one of the two.
TRACE = "COALESCE(c.trace_id, c.run_id, c.id)"
# Takes the project, then the trace three times. Each arm has an index of its own, which the plain project would hide.
OF_TRACE = (
    "c.project_id || '' = ? AND (c.trace_id = ? OR (c.run_id = ? AND c.trace_id IS NULL)"
    " OR (c.id = ? AND c.run_id IS NULL AND c.trace_id IS NULL))"
)
_SELECT = (
    f"SELECT c.id, c.project_id, c.kind, c.name, c.state, {TRACE}, c.started_at_us, c.finished_at_us, c.run_id,"  # noqa: S608
    " c.step, c.call_key, c.process_id, c.api_key_id, c.user_name, c.session_name, c.tags, c.release_id, c.is_stream,"
    " c.status, c.content_type, c.error_code, c.attributes,"
    " (SELECT SUM(a.settled_nanos) FROM attempts a WHERE a.call_id = c.id),"
    " (SELECT SUM(a.held_nanos) FROM attempts a WHERE a.call_id = c.id) FROM calls c"
)
# COALESCE, because no index may help with the project: the partial one holds the few calls that are open.
# It is the writer that counts: it stops at the limit.
_RUNNING = (
    "SELECT 1 FROM calls WHERE finished_at_us IS NULL AND state = 'running' AND run_id IS NULL"
    " AND kind NOT IN ('tool', 'guard', 'retrieval', 'approval') AND COALESCE(project_id, '') = ?"
)
_WHOSE: dict[PlacePer, str] = {
    "key": " AND api_key_id = ?",
    "user": " AND user_name = ?",
    "model": " AND name = ?",
    "project": " AND COALESCE(project_id, '') = ?",
}
_COUNT_RUNNING = {
    per: f"SELECT COUNT(*) FROM ({_RUNNING}{whose} LIMIT ?) AS counted"  # noqa: S608
    for per, whose in _WHOSE.items()
}
_STEP = ""  # in the place of a key: it is that of the call's step
_JSON = "application/json"  # the content type that an answer has unless it says so
_encode = msgspec.json.Encoder().encode
_decode_tags = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_attributes = msgspec.json.Decoder(dict[str, Any]).decode


class Closed(NamedTuple):
    """A call that was just closed."""

    id: bytes
    project_id: str
    kind: str
    key: str | None
    run_id: bytes | None
    is_waking: bool = False  # its run was parked for it, and is queued again


def key_of(kept: str | None, run_id: bytes | None, step: str | None) -> str | None:
    """The key behind `call_key`."""
    return step_key(run_id, step) if kept == _STEP and run_id is not None and step is not None else kept


def tags_text(tags: tuple[str, ...]) -> str | None:
    """Tags as their row holds them."""
    return _encode(tags).decode() if tags else None


def tags_of(value: str | None) -> tuple[str, ...]:
    """The tags of a row."""
    return _decode_tags(value) if value else ()


def insert(
    tx: Tx, project_id: str, call: NewCall, *, process_id: bytes, at_us: int, body: Kept | None, tip: bytes | None
) -> None:
    """Write what a caller asked for."""
    run = call.run
    tx.execute(
        "INSERT INTO calls (id, project_id, kind, name, state, trace_id, parent_span_id, process_id, api_key_id,"
        " call_key, run_id, step, user_name, session_name, tags, release_id, is_stream, started_at_us,"
        " request_codec, request_data, request_tip)"
        " VALUES (?, ?, ?, ?, 'running', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            call.id,
            project_id,
            call.kind,
            call.name,
            None if call.trace_id == (run.run_id if run else call.id) else call.trace_id,
            call.parent_span_id,
            process_id,
            call.api_key_id,
            _STEP if run and call.key == run.key else call.key,
            run.run_id if run else None,
            run.step if run else None,
            call.user,
            call.session,
            tags_text(call.tags),
            call.release_id,
            int(call.is_stream),
            at_us,
            None if body is None else body.codec + (FRAME if body.is_frame else 0),
            None if body is None else body.data,
            tip,
        ),
    )


def take_key(tx: Tx, project_id: str, call: NewCall, at_us: int) -> bytes | None:
    """Bind the call's key to it; the id of the call that holds the key if another one does."""
    expires = None if call.run else at_us + call.key_lifetime_seconds * 1_000_000
    taken = tx.execute(
        "INSERT INTO call_keys (project_id, call_key, call_id, binding, expires_at_us)"
        " VALUES (?, ?, ?, ?, ?) ON CONFLICT (project_id, call_key) DO UPDATE SET call_id = excluded.call_id,"
        " binding = excluded.binding, expires_at_us = excluded.expires_at_us"
        " WHERE call_keys.expires_at_us <= ? OR call_keys.call_id = excluded.call_id",
        (project_id, call.key, call.id, call.binding or b"", expires, at_us),
    )
    if taken:
        return None
    row = tx.one("SELECT call_id FROM call_keys WHERE project_id = ? AND call_key = ?", (project_id, call.key))
    return bytes(row[0]) if row else None


def find_key(tx: Tx, project_id: str, key: str, at_us: int) -> tuple[CallRecord, bytes] | None:
    """The call that holds a key which is still in force, and what the key is bound to."""
    row = tx.one(
        "SELECT call_id, binding FROM call_keys WHERE project_id = ? AND call_key = ?"
        " AND (expires_at_us IS NULL OR expires_at_us > ?)",
        (project_id, key, at_us),
    )
    call = find(tx, project_id, row[0]) if row else None
    return (call, bytes(row[1])) if row and call else None


def with_keys(tx: Tx, project_id: str, prefix: str, at_us: int, limit: int, before: str | None) -> list[CallRecord]:
    """Calls that hold a key which begins so and is still in force, by key, the last first."""
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    rows = tx.all(
        "SELECT call_id FROM call_keys WHERE project_id = ? AND call_key >= ? AND call_key < ?"
        " AND (expires_at_us IS NULL OR expires_at_us > ?) ORDER BY call_key DESC LIMIT ?",
        (project_id, prefix, end if before is None else before, at_us, limit),
    )
    found = (find(tx, project_id, row[0]) for row in rows)
    return [call for call in found if call is not None]


def answered(tx: Tx, project_id: str, prefix: str, at_us: int, limit: int) -> list[tuple[str, bytes]]:
    """Keys that begin so, are still in force, and whose call has a whole answer; with the call, the newest first."""
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    rows = tx.all(
        "SELECT k.call_key, k.call_id FROM call_keys k JOIN calls c ON c.id = k.call_id"
        " WHERE k.project_id = ? AND k.call_key >= ? AND k.call_key < ? AND k.expires_at_us > ?"
        " AND c.project_id = ? AND c.state = 'completed' AND c.answer_codec IS NOT NULL"
        " ORDER BY k.call_id DESC LIMIT ?",
        (project_id, prefix, end, at_us, project_id, limit),
    )
    return [(row[0], bytes(row[1])) for row in rows]


def free_key(tx: Tx, project_id: str, key: str, call_id: bytes) -> None:
    """Let the next call have the key."""
    tx.execute(
        "DELETE FROM call_keys WHERE project_id = ? AND call_key = ? AND call_id = ?",
        (project_id, key, call_id),
    )


@cross_project("a call's id is known only to who opened it, and its answer is always taken")
def close(
    tx: Tx, call_id: bytes, answer: CallAnswer, *, body: Kept | None, state: CallState, at_us: int
) -> Closed | None:
    """Give a call in this state its answer; None when it is in another."""
    row = tx.one(
        "UPDATE calls SET state = ?, finished_at_us = ?, status = ?, content_type = ?, error_code = ?,"
        " attributes = ?, answer_codec = ?, answer_data = ?"
        " WHERE id = ? AND state = ? RETURNING project_id, kind, call_key, run_id, step",
        (
            answer.state,
            at_us,
            answer.status,
            None if answer.content_type == _JSON else answer.content_type,
            answer.error_code,
            _encode(answer.attributes).decode() if answer.attributes else None,
            None if body is None else body.codec,
            None if body is None else body.data,
            call_id,
            state,
        ),
    )
    return Closed(call_id, row[0], row[1], key_of(*row[2:5]), row[3]) if row else None


@cross_project("a call's id is known only to who opened it")
def project_of(tx: Tx, call_id: bytes) -> str | None:
    """The project of a call."""
    row = tx.one("SELECT project_id FROM calls WHERE id = ?", (call_id,))
    return row[0] if row else None


def is_needed(tx: Tx, project_id: str, call_id: bytes) -> bool:
    """Whether somebody may come again for the answer: a caller with its key, or its run."""
    row = tx.one("SELECT call_key, run_id FROM calls WHERE project_id = ? AND id = ?", (project_id, call_id))
    return row is not None and (row[0] is not None or row[1] is not None)


def set_uncertain(tx: Tx, project_id: str, call_id: bytes) -> bool:
    """Nobody can know what became of the call, unless another attempt of it is under way."""
    return bool(
        tx.execute(
            "UPDATE calls SET state = 'uncertain' WHERE project_id = ? AND id = ? AND state = 'running'"
            " AND NOT EXISTS (SELECT 1 FROM attempts WHERE call_id = ? AND outcome = 'intended')",
            (project_id, call_id, call_id),
        )
    )


def reopen(tx: Tx, project_id: str, call_id: bytes, process_id: bytes) -> bool:
    """An uncertain call is tried again, by somebody's decision."""
    return bool(
        tx.execute(
            "UPDATE calls SET state = 'running', process_id = ? WHERE project_id = ? AND id = ?"
            " AND state IN ('uncertain', 'running')",
            (process_id, project_id, call_id),
        )
    )


@cross_project("a dead process takes calls of every project with it")
def open_of(tx: Tx, process_id: bytes) -> list[tuple[bytes, str]]:
    """Calls that a process had open and that no attempt can finish any more."""
    rows = tx.all(
        "SELECT id, project_id FROM calls WHERE process_id = ? AND finished_at_us IS NULL AND state = 'running'"
        " AND NOT EXISTS (SELECT 1 FROM attempts WHERE call_id = calls.id AND outcome = 'intended')",
        (process_id,),
    )
    return [(bytes(call_id), project_id) for call_id, project_id in rows]


def count_running(tx: Tx, project_id: str, per: PlacePer, subject: bytes | str, most: int) -> int:
    """Calls that callers have running at this moment, in any process, counted up to `most`; not what runs do."""
    row = tx.one(_COUNT_RUNNING[per], (project_id, subject, most))
    return int(row[0]) if row else 0


def is_open(tx: Tx, project_id: str, call_id: bytes) -> bool:
    """Whether the call has no answer yet."""
    row = tx.one(
        "SELECT 1 FROM calls WHERE project_id = ? AND id = ? AND finished_at_us IS NULL", (project_id, call_id)
    )
    return row is not None


def find(tx: Tx, project_id: str, call_id: bytes) -> CallRecord | None:
    """A call with the sums of its attempts."""
    row = tx.one(_SELECT + " WHERE c.project_id = ? AND c.id = ?", (project_id, call_id))
    return record(row) if row else None


def find_step(tx: Tx, project_id: str, run_id: bytes, step: str) -> CallRecord | None:
    """The latest call of a step; one that somebody decided to repeat does not count."""
    row = tx.one(
        _SELECT + " WHERE c.project_id = ? AND c.run_id = ? AND c.step = ?"
        " AND (c.error_code IS NULL OR c.error_code <> 'resolved_retry') ORDER BY c.id DESC LIMIT 1",
        (project_id, run_id, step),
    )
    return record(row) if row else None


def recent(tx: Tx, project_id: str, limit: int, before: bytes | None) -> list[CallRecord]:
    """Calls of a project, newest first."""
    rows = tx.all(
        _SELECT + " WHERE c.project_id = ? AND c.id < ? ORDER BY c.id DESC LIMIT ?",
        (project_id, before or b"\xff" * 16, limit),
    )
    return [record(row) for row in rows]


def of_run(tx: Tx, project_id: str, run_id: bytes, limit: int, before: bytes | None) -> list[CallRecord]:
    """Calls of a run, newest first."""
    rows = tx.all(
        _SELECT + " WHERE c.project_id = ? AND c.run_id = ? AND c.id < ? ORDER BY c.id DESC LIMIT ?",
        (project_id, run_id, before or b"\xff" * 16, limit),
    )
    return [record(row) for row in rows]


def of_trace(tx: Tx, project_id: str, trace_id: bytes) -> list[CallRecord]:
    """Calls of a trace, oldest first."""
    rows = tx.all(f"{_SELECT} WHERE {OF_TRACE} ORDER BY c.id", (project_id, trace_id, trace_id, trace_id))
    return [record(row) for row in rows]


def uncertain(tx: Tx, project_id: str) -> list[CallRecord]:
    """Calls of which nobody can know whether they happened."""
    rows = tx.all(  # through the index of open calls, which are few, and not through all calls of the project
        _SELECT + " WHERE c.project_id || '' = ? AND c.finished_at_us IS NULL AND c.state = 'uncertain' ORDER BY c.id",
        (project_id,),
    )
    return [record(row) for row in rows]


def request(tx: Tx, project_id: str, call_id: bytes) -> tuple[int | None, bytes | None, bytes | None] | None:
    """How a call's request is kept: codec, data, last element."""
    return tx.one(
        "SELECT request_codec, request_data, request_tip FROM calls WHERE project_id = ? AND id = ?",
        (project_id, call_id),
    )


def answer(tx: Tx, project_id: str, call_id: bytes) -> tuple[int | None, bytes | None] | None:
    """How a call's answer is kept: codec and data."""
    return tx.one("SELECT answer_codec, answer_data FROM calls WHERE project_id = ? AND id = ?", (project_id, call_id))


def record(row: tuple[Any, ...]) -> CallRecord:
    """A row of `_SELECT` as its record."""
    attributes = _decode_attributes(row[21]) if row[21] else {}
    sums = (int(row[22] or 0), int(row[23] or 0))
    content_type = _JSON if row[19] is None and row[18] is not None else row[19]
    fields = (
        *row[:10],
        key_of(row[10], row[8], row[9]),
        *row[11:15],
        tags_of(row[15]),
        row[16],
        bool(row[17]),
        row[18],
        content_type,
        row[20],
        attributes,
        *sums,
    )
    return CallRecord(*fields)
