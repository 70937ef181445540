"""Taking contents out of the journal for good: a row lets go of what it names, and what nobody names is deleted.

Contents belong to a project and may be named by several of its rows. Each look goes through a narrow index that holds
only rows with contents beside them (`journal/tables.py`, `_named`), whose condition is repeated here word by word.
"""

from collections.abc import Sequence
from typing import NamedTuple

from mooring.storage.blobs import BlobRef
from mooring.storage.transaction import Tx

from . import cross_project
from .calls import free_key, key_of
from .contents import BLOB, CONTENT, FRAME, Kept

_NAMED = (
    ("calls", "request_data", "request_codec IN (2, 3, 18, 19)"),
    ("calls", "answer_data", "answer_codec IN (2, 3)"),
    ("runs", "input_data", "input_codec IN (2, 3)"),
    ("runs", "output_data", "output_codec IN (2, 3)"),
    ("run_events", "payload_data", "payload_codec IN (2, 3)"),
    ("elements", "data", "codec = 3"),
)

# What providers wrote into their errors may quote what they were sent.
_DROP_WORDS = "UPDATE attempts SET error_message = NULL WHERE project_id = ? AND call_id = ?"


class Held(NamedTuple):
    """What the row of a call keeps."""

    request: tuple[int | None, bytes | None]
    tip: bytes | None
    answer: tuple[int | None, bytes | None]


class OldCall(NamedTuple):
    """A call that may be old enough."""

    id: bytes
    is_free: bool  # it is over, so is its run, and no key in force answers with it
    is_settled: bool
    has_run: bool
    has_payload: bool
    is_redacted: bool


def candidates(tx: Tx, project_id: str, after: bytes, before: bytes, at_us: int, limit: int) -> list[OldCall]:
    """Calls between two ids, oldest first."""
    rows = tx.all(
        "SELECT c.id, CASE WHEN c.finished_at_us IS NULL THEN 0"
        " WHEN c.run_id IS NOT NULL AND EXISTS"
        " (SELECT 1 FROM runs r WHERE r.id = c.run_id AND r.finished_at_us IS NULL) THEN 0"
        " WHEN c.run_id IS NULL AND c.call_key IS NOT NULL AND EXISTS (SELECT 1 FROM call_keys k WHERE k.project_id ="
        " c.project_id AND k.call_key = c.call_key AND k.call_id = c.id AND k.expires_at_us > ?) THEN 0 ELSE 1 END,"
        " CASE WHEN EXISTS (SELECT 1 FROM attempts a WHERE a.call_id = c.id AND a.settlement <> 'settled')"
        " THEN 0 ELSE 1 END, CASE WHEN c.run_id IS NULL THEN 0 ELSE 1 END,"
        " CASE WHEN c.request_codec IS NULL AND c.request_tip IS NULL AND c.answer_codec IS NULL"
        " AND c.attributes IS NULL THEN 0 ELSE 1 END,"
        ' CASE WHEN c.attributes LIKE \'%"payloads":"redacted"%\' THEN 1 ELSE 0 END'
        " FROM calls c WHERE c.project_id = ? AND c.id > ? AND c.id < ? ORDER BY c.id LIMIT ?",
        (at_us, project_id, after, before, limit),
    )
    return [OldCall(bytes(row[0]), *map(bool, row[1:])) for row in rows]


def held(tx: Tx, project_id: str, call_id: bytes) -> Held | None:
    """What a call keeps."""
    row = tx.one(
        "SELECT request_codec, request_data, request_tip, answer_codec, answer_data FROM calls"
        " WHERE project_id = ? AND id = ?",
        (project_id, call_id),
    )
    return Held((row[0], row[1]), row[2], (row[3], row[4])) if row else None


def empty_call(tx: Tx, project_id: str, call_id: bytes) -> list[BlobRef]:
    """Take request and answer out of a call; what it cost stays. The blobs that nobody names any more."""
    kept = held(tx, project_id, call_id)
    if kept is None:
        return []
    tx.execute(
        "UPDATE calls SET request_codec = NULL, request_data = NULL, request_tip = NULL, answer_codec = NULL,"
        " answer_data = NULL, attributes = NULL WHERE project_id = ? AND id = ?",
        (project_id, call_id),
    )
    tx.execute(_DROP_WORDS, (project_id, call_id))
    return release_all(tx, project_id, kept)


def anonymise_call(tx: Tx, project_id: str, call_id: bytes) -> None:
    """Take out who asked: user, session, tags, key."""
    drop_key(tx, project_id, call_id)
    tx.execute(
        "UPDATE calls SET user_name = NULL, session_name = NULL, tags = NULL, call_key = NULL"
        " WHERE project_id = ? AND id = ?",
        (project_id, call_id),
    )


def trace_of(tx: Tx, project_id: str, call_id: bytes) -> bytes:
    """The trace of a call that is there."""
    row = tx.one("SELECT trace_id FROM calls WHERE project_id = ? AND id = ?", (project_id, call_id))
    return bytes(row[0]) if row and row[0] else b""


def delete_call(tx: Tx, project_id: str, call_id: bytes) -> list[BlobRef]:
    """Delete a call, its attempts and its key; what the attempts had settled in budgets is kept as a sum."""
    kept = held(tx, project_id, call_id)
    if kept is None:
        return []
    for reservations, settled_nanos in tx.all(
        "SELECT reservations, SUM(settled_nanos) FROM attempts WHERE project_id = ? AND call_id = ?"
        " AND reservations IS NOT NULL GROUP BY reservations",
        (project_id, call_id),
    ):
        tx.execute(
            "INSERT INTO deleted_reservations (reservations, settled_nanos) VALUES (?, ?) ON CONFLICT (reservations)"
            " DO UPDATE SET settled_nanos = deleted_reservations.settled_nanos + excluded.settled_nanos",
            (reservations, int(settled_nanos)),
        )
    drop_key(tx, project_id, call_id)
    tx.execute("DELETE FROM attempts WHERE project_id = ? AND call_id = ?", (project_id, call_id))
    tx.execute("DELETE FROM calls WHERE project_id = ? AND id = ?", (project_id, call_id))
    return release_all(tx, project_id, kept)


def replace_call(
    tx: Tx, project_id: str, call_id: bytes, *, request: Kept | None, tip: bytes | None, answer: Kept | None, facts: str
) -> Held | None:
    """Put other bodies in the place of a call's own; what it kept before, to be let go of."""
    kept = held(tx, project_id, call_id)
    tx.execute(
        "UPDATE calls SET request_codec = ?, request_data = ?, request_tip = ?, answer_codec = ?, answer_data = ?,"
        " attributes = ? WHERE project_id = ? AND id = ?",
        (
            None if request is None else request.codec + (FRAME if request.is_frame else 0),
            None if request is None else request.data,
            tip,
            *((answer.codec, answer.data) if answer else (None, None)),
            facts,
            project_id,
            call_id,
        ),
    )
    tx.execute(_DROP_WORDS, (project_id, call_id))
    return kept


def replace_run(
    tx: Tx, project_id: str, run_id: bytes, *, given: Kept | None, output: Kept | None, error: str | None
) -> None:
    """Put another input, output and error in the place of a run's own."""
    tx.execute(
        "UPDATE runs SET input_codec = ?, input_data = ?, output_codec = ?, output_data = ?, error_message = ?"
        " WHERE project_id = ? AND id = ?",
        (
            *((given.codec, given.data) if given else (None, None)),
            *((output.codec, output.data) if output else (None, None)),
            error,
            project_id,
            run_id,
        ),
    )


def replace_event(tx: Tx, project_id: str, run_id: bytes, seq: int, payload: Kept) -> None:
    """Put another payload in the place of an event's own."""
    tx.execute(
        "UPDATE run_events SET payload_codec = ?, payload_data = ? WHERE project_id = ? AND run_id = ? AND seq = ?",
        (payload.codec, payload.data, project_id, run_id, seq),
    )


def empty_run(tx: Tx, project_id: str, run_id: bytes) -> list[BlobRef]:
    """Take input, output and the events' payloads out of a run; that they happened stays."""
    kept = of_run(tx, project_id, run_id)
    tx.execute(
        "UPDATE runs SET input_codec = NULL, input_data = NULL, output_codec = NULL, output_data = NULL,"
        " error_message = NULL WHERE project_id = ? AND id = ?",
        (project_id, run_id),
    )
    tx.execute(
        "UPDATE run_events SET payload_codec = 0, payload_data = ? WHERE project_id = ? AND run_id = ?",
        (b"{}", project_id, run_id),
    )
    return [blob for codec, data in kept for blob in release(tx, project_id, codec, data)]


def anonymise_run(tx: Tx, project_id: str, run_id: bytes) -> None:
    """Take out for whom it ran."""
    tx.execute(
        "UPDATE runs SET user_name = NULL, session_name = NULL, tags = NULL, run_key = NULL"
        " WHERE project_id = ? AND id = ?",
        (project_id, run_id),
    )


def delete_run(tx: Tx, project_id: str, run_id: bytes) -> list[BlobRef]:
    """Delete a run and its events; its calls are deleted before."""
    kept = of_run(tx, project_id, run_id)
    tx.execute("DELETE FROM run_events WHERE project_id = ? AND run_id = ?", (project_id, run_id))
    tx.execute("DELETE FROM runs WHERE project_id = ? AND id = ?", (project_id, run_id))
    return [blob for codec, data in kept for blob in release(tx, project_id, codec, data)]


def of_run(tx: Tx, project_id: str, run_id: bytes) -> list[tuple[int | None, bytes | None]]:
    """What a run and its events keep."""
    row = tx.one(
        "SELECT input_codec, input_data, output_codec, output_data FROM runs WHERE project_id = ? AND id = ?",
        (project_id, run_id),
    )
    events = tx.all(
        "SELECT payload_codec, payload_data FROM run_events WHERE project_id = ? AND run_id = ?"
        " AND payload_codec IN (2, 3)",
        (project_id, run_id),
    )
    return [*([(row[0], row[1]), (row[2], row[3])] if row else []), *((event[0], event[1]) for event in events)]


def release_all(tx: Tx, project_id: str, kept: Held) -> list[BlobRef]:
    """Let go of what a call kept."""
    return [
        *release(tx, project_id, *kept.request),
        *release(tx, project_id, *kept.answer),
        *release_chain(tx, project_id, kept.tip),
    ]


def release(tx: Tx, project_id: str, codec: int | None, data: bytes | None) -> list[BlobRef]:
    """A row names this no more: delete it where no other does. Blobs are handed back, to be removed afterwards."""
    if codec is None or data is None or codec % FRAME not in (CONTENT, BLOB) or is_named(tx, project_id, data):
        return []
    if codec % FRAME == BLOB:
        return [BlobRef(project_id, data)]
    tx.execute("DELETE FROM contents WHERE project_id = ? AND digest = ?", (project_id, data))
    return []


def release_chain(tx: Tx, project_id: str, tip: bytes | None) -> list[BlobRef]:
    """From the last message back: each that ends no other call's messages and is followed by none is deleted."""
    blobs: list[BlobRef] = []
    while tip is not None:
        row = tx.one("SELECT parent_id, codec, data FROM elements WHERE project_id = ? AND id = ?", (project_id, tip))
        if row is None or _is_tip(tx, project_id, tip) or _is_parent(tx, project_id, tip):
            return blobs
        tx.execute("DELETE FROM elements WHERE project_id = ? AND id = ?", (project_id, tip))
        blobs += release(tx, project_id, row[1] if row[1] == BLOB else None, row[2])
        tip = row[0]
    return blobs


def is_named(tx: Tx, project_id: str, digest: bytes) -> bool:
    """Whether any row of the project names this content or blob."""
    return any(
        tx.one(
            f"SELECT 1 FROM {table} WHERE substr({column}, 1, 4) = substr(?, 1, 4) AND {where}"  # noqa: S608
            f" AND {column} = ? AND project_id = ? LIMIT 1",
            (digest, digest, project_id),
        )
        for table, column, where in _NAMED
    )


def _is_tip(tx: Tx, project_id: str, element_id: bytes) -> bool:
    row = tx.one(
        "SELECT 1 FROM calls WHERE substr(request_tip, 1, 4) = substr(?, 1, 4) AND request_tip IS NOT NULL"
        " AND request_tip = ? AND project_id = ? LIMIT 1",
        (element_id, element_id, project_id),
    )
    return row is not None


def _is_parent(tx: Tx, project_id: str, element_id: bytes) -> bool:
    row = tx.one(
        "SELECT 1 FROM elements WHERE substr(parent_id, 1, 4) = substr(?, 1, 4) AND parent_id IS NOT NULL"
        " AND parent_id = ? AND project_id = ? LIMIT 1",
        (element_id, element_id, project_id),
    )
    return row is not None


def old_runs(tx: Tx, project_id: str, before: bytes, limit: int) -> list[bytes]:
    """Runs that were made before an id and are over, oldest first."""
    rows = tx.all(
        "SELECT id FROM runs WHERE project_id = ? AND id < ? AND finished_at_us IS NOT NULL ORDER BY id LIMIT ?",
        (project_id, before, limit),
    )
    return [bytes(row[0]) for row in rows]


def runs_between(tx: Tx, project_id: str, after: bytes, before: bytes, limit: int) -> list[tuple[bytes, bool, bool]]:
    """Runs between two ids, oldest first: whether each is over, and whether it has payloads and no call to go with."""
    rows = tx.all(
        "SELECT r.id, CASE WHEN r.finished_at_us IS NULL THEN 0 ELSE 1 END, CASE WHEN r.finished_at_us IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM calls c WHERE c.run_id = r.id) AND (r.input_codec IS NOT NULL"
        " OR r.output_codec IS NOT NULL OR r.error_message IS NOT NULL OR EXISTS (SELECT 1 FROM run_events e"
        " WHERE e.run_id = r.id AND e.project_id = r.project_id AND (e.payload_codec <> 0 OR e.payload_data <> ?)))"
        " THEN 1 ELSE 0 END FROM runs r WHERE r.project_id = ? AND r.id > ? AND r.id < ? ORDER BY r.id LIMIT ?",
        (b"{}", project_id, after, before, limit),
    )
    return [(bytes(row[0]), bool(row[1]), bool(row[2])) for row in rows]


def calls_of_run(tx: Tx, project_id: str, run_id: bytes) -> list[bytes]:
    """Every call of a run."""
    rows = tx.all("SELECT id FROM calls WHERE run_id = ? AND project_id || '' = ?", (run_id, project_id))
    return [bytes(row[0]) for row in rows]


def of_user(tx: Tx, project_id: str, user: str, after: bytes, limit: int) -> tuple[list[bytes], bytes | None]:
    """A user's calls among the next so many of the project, and where to go on; None at the end."""
    rows = tx.all(
        "SELECT id, user_name FROM calls WHERE project_id = ? AND id > ? ORDER BY id LIMIT ?",
        (project_id, after, limit),
    )
    found = [bytes(row[0]) for row in rows if row[1] == user]
    return found, bytes(rows[-1][0]) if len(rows) == limit else None


def runs_of_user(tx: Tx, project_id: str, user: str) -> list[tuple[bytes, bool]]:
    """A user's runs, and whether each is over."""
    rows = tx.all(
        "SELECT id, finished_at_us FROM runs WHERE project_id = ? AND user_name = ? ORDER BY id", (project_id, user)
    )
    return [(bytes(row[0]), row[1] is not None) for row in rows]


@cross_project("retention is the installation's, and goes through each project")
def projects(tx: Tx) -> list[str]:
    """Projects with calls or runs: one step of an index each, not a look at every row."""
    found: list[str] = []
    for table in ("calls", "runs"):
        last = ""
        while (row := tx.one(f"SELECT MIN(project_id) FROM {table} WHERE project_id > ?", (last,))) and row[0]:  # noqa: S608
            last = row[0]
            found.append(last)
    return sorted(set(found))


@cross_project("sizes are the installation's")
def older(tx: Tx, before: bytes) -> dict[str, int]:
    """Calls without a run, and finished runs, that were made before an id."""
    calls = tx.one("SELECT COUNT(*) FROM calls WHERE id < ? AND run_id IS NULL", (before,))
    runs = tx.one("SELECT COUNT(*) FROM runs WHERE id < ? AND finished_at_us IS NOT NULL", (before,))
    return {"calls": int(calls[0]) if calls else 0, "runs": int(runs[0]) if runs else 0}


def mark(tx: Tx, project_id: str, walk: str) -> bytes:
    """How far a walk has come."""
    row = tx.one("SELECT call_id FROM upkeep_marks WHERE project_id = ? AND walk = ?", (project_id, walk))
    return bytes(row[0]) if row else b""


def set_mark(tx: Tx, project_id: str, walk: str, call_id: bytes) -> None:
    """Everything before this call needs no second look."""
    tx.execute(
        "INSERT INTO upkeep_marks (project_id, walk, call_id) VALUES (?, ?, ?) ON CONFLICT (project_id, walk)"
        " DO UPDATE SET call_id = excluded.call_id",
        (project_id, walk, call_id),
    )


def drop_key(tx: Tx, project_id: str, call_id: bytes) -> None:
    """The key of a call without an answer answers nothing."""
    row = tx.one("SELECT call_key, run_id, step FROM calls WHERE project_id = ? AND id = ?", (project_id, call_id))
    if row is not None and row[0] is not None:
        free_key(tx, project_id, key_of(*row) or "", call_id)


def runs_of(tx: Tx, project_id: str, call_ids: Sequence[bytes]) -> set[bytes]:
    """The runs to which calls belong."""
    rows = [tx.one("SELECT run_id FROM calls WHERE project_id = ? AND id = ?", (project_id, one)) for one in call_ids]
    return {bytes(row[0]) for row in rows if row and row[0] is not None}


def attempts_of(tx: Tx, project_id: str, call_id: bytes) -> list[tuple[bytes, bool]]:
    """A call's attempts, and whether each is settled."""
    rows = tx.all(
        "SELECT id, CASE WHEN settlement = 'settled' THEN 1 ELSE 0 END FROM attempts"
        " WHERE call_id = ? AND project_id = ?",
        (call_id, project_id),
    )
    return [(bytes(row[0]), bool(row[1])) for row in rows]


@cross_project("it changes how this connection deletes, and no row")
def secure(tx: Tx, is_on: bool) -> None:
    """On SQLite what this connection deletes is overwritten with zeros, while it is on."""
    if tx.dialect == "sqlite":
        tx.all(f"PRAGMA secure_delete = {'ON' if is_on else 'OFF'}")
