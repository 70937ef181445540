"""Runs and calls by what they are. Each question looks at so many newest rows and no more, however many there are."""

from typing import Any, NamedTuple

import msgspec

from mooring.storage.transaction import Tx

MOST_SEEN = 50_000  # rows that one page looks at; what is older is behind a link
LAST = b"\xff" * 16


class Wanted(msgspec.Struct, frozen=True):
    """What rows must be; None: anything. `since` and `until` are bounds of ids, which are ordered by time."""

    state: str | None = None
    name: str | None = None
    kind: str | None = None
    user: str | None = None
    session: str | None = None
    tag: str | None = None
    error: str | None = None
    model: str | None = None
    text: str | None = None
    since: bytes = b""
    until: bytes = LAST


class RunRow(NamedTuple):
    """A run without its input and output."""

    id: bytes
    handler: str
    name: str
    state: str
    epoch: int
    user: str | None
    session: str | None
    tags: str | None
    error_code: str | None
    error_message: str | None
    park_reason: str | None
    created_at_us: int
    started_at_us: int | None
    finished_at_us: int | None
    settled_nanos: int
    held_nanos: int


class CallRow(NamedTuple):
    """A call without its bodies."""

    id: bytes
    kind: str
    name: str
    state: str
    run_id: bytes | None
    step: str | None
    user: str | None
    session: str | None
    tags: str | None
    error_code: str | None
    started_at_us: int
    finished_at_us: int | None
    settled_nanos: int
    held_nanos: int


FROM_RUNS, FROM_CALLS = " FROM runs r", " FROM calls c"
WHERE_RUNS = (
    " WHERE r.project_id = ? AND r.id < ? AND r.id >= ? AND (CAST(? AS TEXT) IS NULL OR r.state = ?)"
    " AND (CAST(? AS TEXT) IS NULL OR r.name = ?) AND (CAST(? AS TEXT) IS NULL OR r.handler = ?)"
    " AND (CAST(? AS TEXT) IS NULL OR r.user_name = ?) AND (CAST(? AS TEXT) IS NULL OR r.session_name = ?)"
    " AND (CAST(? AS TEXT) IS NULL OR REPLACE(r.tags, ?, '') <> r.tags)"
    " AND (CAST(? AS TEXT) IS NULL OR r.error_code = ?)"
    " AND (CAST(? AS TEXT) IS NULL OR EXISTS (SELECT 1 FROM calls c WHERE c.run_id = r.id AND c.name = ?))"
)
_OPEN = (
    " FROM runs r WHERE r.project_id = ? AND r.id IN (SELECT id FROM runs WHERE finished_at_us IS NULL AND state = ?)"
)
WHERE_CALLS = (
    " WHERE c.project_id = ? AND c.id < ? AND c.id >= ? AND (CAST(? AS TEXT) IS NULL OR c.state = ?)"
    " AND (CAST(? AS TEXT) IS NULL OR c.name = ?) AND (CAST(? AS TEXT) IS NULL OR c.kind = ?)"
    " AND (CAST(? AS TEXT) IS NULL OR c.user_name = ?) AND (CAST(? AS TEXT) IS NULL OR c.session_name = ?)"
    " AND (CAST(? AS TEXT) IS NULL OR REPLACE(c.tags, ?, '') <> c.tags)"
    " AND (CAST(? AS TEXT) IS NULL OR c.error_code = ?)"
)


_RUN_FIELDS = (
    "SELECT r.id, r.handler, r.name, r.state, r.epoch, r.user_name, r.session_name, r.tags, r.error_code,"
    " r.error_message, r.park_reason, r.created_at_us, r.started_at_us, r.finished_at_us, r.settled_nanos, r.held_nanos"
)
_CALL_FIELDS = (
    "SELECT c.id, c.kind, c.name, c.state, c.run_id, c.step, c.user_name, c.session_name, c.tags, c.error_code,"
    " c.started_at_us, c.finished_at_us,"
    " (SELECT COALESCE(SUM(a.settled_nanos), 0) FROM attempts a WHERE a.call_id = c.id),"
    " (SELECT COALESCE(SUM(a.held_nanos), 0) FROM attempts a WHERE a.call_id = c.id)"
)


def run_values(project_id: str, wanted: Wanted, before: bytes, floor: bytes) -> tuple[object, ...]:
    """What `WHERE_RUNS` asks for."""
    tag = None if wanted.tag is None else msgspec.json.encode(wanted.tag).decode()
    given = (wanted.state, wanted.name, wanted.kind, wanted.user, wanted.session, tag, wanted.error, wanted.model)
    return (project_id, before, floor, *(value for one in given for value in (one, one)))


def call_values(project_id: str, wanted: Wanted, before: bytes, floor: bytes) -> tuple[object, ...]:
    """What `WHERE_CALLS` asks for."""
    return run_values(project_id, wanted, before, floor)[:-2]


def runs_floor(tx: Tx, project_id: str, before: bytes, most: int = MOST_SEEN) -> bytes | None:
    """The run that is as far behind `before` as a page looks; None where the table ends sooner."""
    row = tx.one(
        "SELECT id FROM runs WHERE project_id = ? AND id < ? ORDER BY id DESC LIMIT 1 OFFSET ?",
        (project_id, before, most),
    )
    return bytes(row[0]) if row else None


def calls_floor(tx: Tx, project_id: str, before: bytes) -> bytes | None:
    """The same of calls."""
    row = tx.one(
        "SELECT id FROM calls WHERE project_id = ? AND id < ? ORDER BY id DESC LIMIT 1 OFFSET ?",
        (project_id, before, MOST_SEEN),
    )
    return bytes(row[0]) if row else None


def runs(tx: Tx, project_id: str, wanted: Wanted, before: bytes, floor: bytes, limit: int) -> list[RunRow]:
    """Newest first, of those between two ids that match."""
    rows = tx.all(
        _RUN_FIELDS + FROM_RUNS + WHERE_RUNS + " ORDER BY r.id DESC LIMIT ?",
        (*run_values(project_id, wanted, before, floor), limit),
    )
    return [RunRow(bytes(row[0]), *row[1:]) for row in rows]


def open_runs(tx: Tx, project_id: str, state: str, limit: int) -> list[RunRow]:
    """Runs that are not over, in one state, however old; by the small index of open runs."""
    rows = tx.all(
        _RUN_FIELDS + _OPEN + " ORDER BY r.id DESC LIMIT ?",
        (project_id, state, limit),
    )
    return [RunRow(bytes(row[0]), *row[1:]) for row in rows]


def count_runs(tx: Tx, project_id: str, wanted: Wanted, before: bytes, floor: bytes) -> int:
    """How many match between two ids."""
    row = tx.one("SELECT COUNT(*)" + FROM_RUNS + WHERE_RUNS, run_values(project_id, wanted, before, floor))
    return int(row[0]) if row else 0


def calls(tx: Tx, project_id: str, wanted: Wanted, before: bytes, floor: bytes, limit: int) -> list[CallRow]:
    """Newest first, of those between two ids that match, with the sums of their attempts."""
    rows = tx.all(
        _CALL_FIELDS + FROM_CALLS + WHERE_CALLS + " ORDER BY c.id DESC LIMIT ?",
        (*call_values(project_id, wanted, before, floor), limit),
    )
    return [_call(row) for row in rows]


def _call(row: tuple[Any, ...]) -> CallRow:
    run_id = bytes(row[4]) if row[4] is not None else None
    return CallRow(bytes(row[0]), row[1], row[2], row[3], run_id, *row[5:12], int(row[12]), int(row[13]))  # type: ignore[call-arg]


def count_calls(tx: Tx, project_id: str, wanted: Wanted, before: bytes, floor: bytes) -> int:
    """How many match between two ids."""
    row = tx.one("SELECT COUNT(*)" + FROM_CALLS + WHERE_CALLS, call_values(project_id, wanted, before, floor))
    return int(row[0]) if row else 0


def run_names(tx: Tx, project_id: str) -> tuple[list[str], list[str], list[str]]:
    """The agents, users and handlers of the last 500 runs."""
    rows = tx.all(
        "SELECT name, user_name, handler FROM runs WHERE project_id = ? ORDER BY id DESC LIMIT 500", (project_id,)
    )
    names, users, handlers = ({row[place] for row in rows if row[place]} for place in range(3))
    return sorted(names), sorted(users), sorted(handlers)


def call_names(tx: Tx, project_id: str) -> tuple[list[str], list[str]]:
    """The models (or tools) and users of the last 500 calls."""
    rows = tx.all("SELECT name, user_name FROM calls WHERE project_id = ? ORDER BY id DESC LIMIT 500", (project_id,))
    names, users = ({row[place] for row in rows if row[place]} for place in range(2))
    return sorted(names), sorted(users)
