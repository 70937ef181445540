"""What traces read of the journal's own tables, in bulk: a run of thousands of steps is three statements."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from mooring.core.clock import to_datetime
from mooring.core.ids import show
from mooring.journal.folding import deleted
from mooring.journal.records import AttemptRecord, CallRecord
from mooring.journal.repository import attempts as attempt_rows
from mooring.journal.repository import calls as call_rows
from mooring.journal.repository.calls import OF_TRACE, TRACE
from mooring.storage.transaction import Dialect, Tx

from ..records import Filter, Group, GroupBy, Span, SpanKind
from . import cross_project
from .spans import tag_pattern

_CALL = (
    f"SELECT c.id, c.project_id, c.kind, c.name, c.state, {TRACE}, c.started_at_us, c.finished_at_us, c.run_id,"  # noqa: S608
    " c.step, c.call_key, c.process_id, c.api_key_id, c.user_name, c.session_name, c.tags, c.release_id, c.is_stream,"
    " c.status, c.content_type, c.error_code, c.attributes, 0, 0, c.request_codec, c.request_data, c.request_tip,"
    " c.answer_codec, c.answer_data FROM calls c"
)
_ATTEMPT = (
    "SELECT a.id, a.call_id, a.project_id, a.number, a.target, a.reason, a.outcome, a.settlement, a.held_nanos,"
    " a.settled_nanos, a.price, a.process_id, a.intended_at_us, a.finished_at_us, a.sent_at_us, a.first_byte_at_us,"
    " a.provider_request_id, a.upstream_status, a.error_code, a.error_message, a.bytes_up, a.bytes_down,"
    " a.input_tokens, a.output_tokens, a.cached_input_tokens, a.cache_write_tokens, a.input_audio_tokens,"
    " a.reasoning_tokens, a.output_audio_tokens, a.is_estimated, a.units FROM attempts a"
)
_KNOWN_CALL = "SELECT 1 FROM calls WHERE id = ?"
_KNOWN: dict[SpanKind, str] = {
    "run": "SELECT 1 FROM runs WHERE id = ?",
    "attempt": "SELECT 1 FROM attempts WHERE id = ?",
}


class Recorded(NamedTuple):
    """A call with its attempts, and where its bodies lie."""

    call: CallRecord
    attempts: tuple[AttemptRecord, ...]
    request: tuple[int | None, bytes | None, bytes | None]
    answer: tuple[int | None, bytes | None]


class RunFacts(NamedTuple):
    """A run without its input and output."""

    id: bytes
    project_id: str
    name: str
    handler: str
    state: str
    error_code: str | None
    user: str | None
    session: str | None
    tags: str | None
    created_at_us: int
    finished_at_us: int | None
    settled_nanos: int
    held_nanos: int


class Standing(NamedTuple):
    """A trace as the journal knows it now."""

    run_id: bytes | None
    state: str | None
    settled_nanos: int
    held_nanos: int


_RUN = (
    "SELECT id, project_id, name, handler, state, error_code, user_name, session_name, tags, created_at_us,"
    " finished_at_us, settled_nanos, held_nanos FROM runs"
)


@cross_project("a projection follows every project; the ids come from the outbox")
def changed(tx: Tx, call_ids: Iterable[bytes]) -> list[Recorded]:
    """These calls, of those that are there."""
    found: list[Recorded] = []
    for call_id in call_ids:
        row = tx.one(_CALL + " WHERE c.id = ?", (call_id,))
        if row is not None:
            sends = tx.all(_ATTEMPT + " WHERE a.call_id = ? ORDER BY a.number, a.id", (call_id,))
            found.append(_recorded(row, [attempt_rows.record(one) for one in sends]))
    return found


@cross_project("a projection follows every project; the ids come from the outbox")
def runs(tx: Tx, run_ids: Iterable[bytes]) -> list[RunFacts]:
    """These runs, of those that are there."""
    rows = (tx.one(_RUN + " WHERE id = ?", (run_id,)) for run_id in run_ids)
    return [RunFacts(*row) for row in rows if row is not None]


def of_run(tx: Tx, project_id: str, run_id: bytes) -> list[Recorded]:
    """Every call of a run, oldest first."""
    rows = tx.all(_CALL + " WHERE c.project_id = ? AND c.run_id = ?", (project_id, run_id))
    sends = tx.all(
        _ATTEMPT + " JOIN calls c ON c.id = a.call_id WHERE c.project_id = ? AND c.run_id = ?", (project_id, run_id)
    )
    return _joined(rows, sends)


def of_trace(tx: Tx, project_id: str, trace_id: bytes) -> list[Recorded]:
    """Every call of a trace, oldest first."""
    which = (project_id, trace_id, trace_id, trace_id)
    rows = tx.all(f"{_CALL} WHERE {OF_TRACE}", which)
    sends = tx.all(f"{_ATTEMPT} JOIN calls c ON c.id = a.call_id WHERE {OF_TRACE}", which)
    return _joined(rows, sends)


def parents(tx: Tx, project_id: str, trace_id: bytes) -> dict[bytes, bytes]:
    """By a call's id the span of another program that it came with, where it came with one."""
    rows = tx.all(
        "SELECT id, parent_span_id FROM calls WHERE project_id = ? AND trace_id = ? AND parent_span_id IS NOT NULL",
        (project_id, trace_id),
    )
    return {bytes(row[0]): bytes(row[1]) for row in rows}


def _joined(rows: Sequence[tuple[object, ...]], sends: Sequence[tuple[object, ...]]) -> list[Recorded]:
    by_call: dict[bytes, list[AttemptRecord]] = {}
    for send in sends:
        record = attempt_rows.record(send)
        by_call.setdefault(record.call_id, []).append(record)
    found = [
        _recorded(row, sorted(by_call.get(row[0], ()), key=lambda one: (one.number, one.id)))  # type: ignore[call-overload]
        for row in rows
    ]
    return sorted(found, key=lambda one: (one.call.started_at_us, one.call.id))


def _recorded(row: Sequence[object], sends: Sequence[AttemptRecord]) -> Recorded:
    call = msgspec.structs.replace(
        call_rows.record(tuple(row[:24])),
        settled_nanos=sum(one.settled_nanos for one in sends),
        held_nanos=sum(one.held_nanos for one in sends),
    )
    return Recorded(call, tuple(sends), tuple(row[24:27]), tuple(row[27:29]))  # type: ignore[arg-type]


def standing(tx: Tx, project_id: str, trace_ids: Sequence[bytes]) -> dict[bytes, Standing]:
    """How these traces stand now; one that the journal does not know (any more) is not among them."""
    found: dict[bytes, Standing] = {}
    for trace_id in trace_ids:
        run = tx.one(
            "SELECT id, state, settled_nanos, held_nanos FROM runs WHERE project_id = ? AND id = ?",
            (project_id, trace_id),
        )
        if run is not None:
            found[trace_id] = Standing(bytes(run[0]), run[1], run[2], run[3])
            continue
        row = tx.one(
            "SELECT COUNT(DISTINCT c.id), SUM(a.settled_nanos), SUM(a.held_nanos) FROM calls c"  # noqa: S608
            f" LEFT JOIN attempts a ON a.call_id = c.id WHERE {OF_TRACE}",
            (project_id, trace_id, trace_id, trace_id),
        )
        if row is not None and row[0]:
            found[trace_id] = Standing(None, None, int(row[1] or 0), int(row[2] or 0))
    return found


@cross_project("a sweep looks at every project")
def missing(tx: Tx, spans: Iterable[Span]) -> list[bytes]:
    """The ids of those spans that the journal does not have (any more)."""
    return [span.id for span in spans if tx.one(_KNOWN.get(span.kind, _KNOWN_CALL), (span.id,)) is None]


@cross_project("a rebuild follows every project")
def closed_after(tx: Tx, call_id: bytes, limit: int) -> list[bytes]:
    """The next calls that are over or uncertain, in the order of their ids."""
    rows = tx.all("SELECT id FROM calls WHERE id > ? AND state <> 'running' ORDER BY id LIMIT ?", (call_id, limit))
    return [bytes(row[0]) for row in rows]


@cross_project("a rebuild follows every project")
def finished_after(tx: Tx, run_id: bytes, limit: int) -> list[bytes]:
    """The next runs that are over, in the order of their ids."""
    rows = tx.all(
        "SELECT id FROM runs WHERE id > ? AND finished_at_us IS NOT NULL ORDER BY id LIMIT ?", (run_id, limit)
    )
    return [bytes(row[0]) for row in rows]


@cross_project("the backlog is of the whole installation")
def backlog(tx: Tx) -> dict[str, int]:
    """What projections have still to apply, by topic."""
    return {row[0]: int(row[1]) for row in tx.all("SELECT topic, COUNT(*) FROM outbox GROUP BY topic")}


def tail(tx: Tx, project_id: str, tip: bytes, depth: int) -> list[tuple[int, bytes]]:
    """Codec and bytes of the last rows of a chain, first to last; each holds one element or more."""
    rows = tx.all(
        "WITH RECURSIVE walk (parent_id, depth, codec, data, steps) AS ("
        " SELECT parent_id, depth, codec, data, 1 FROM elements WHERE project_id = ? AND id = ?"
        " UNION ALL SELECT e.parent_id, e.depth, e.codec, e.data, w.steps + 1 FROM elements e"
        " JOIN walk w ON e.id = w.parent_id WHERE e.project_id = ? AND w.steps < ?"
        ") SELECT codec, data FROM walk ORDER BY depth",
        (project_id, tip, project_id, depth),
    )
    return [(codec, bytes(data)) for codec, data in rows]


# Of attempts, by what their call says of itself; a value of NULL is no condition.
_BILL = (
    "SELECT {value}, COUNT(DISTINCT c.id), COUNT(DISTINCT CASE WHEN c.state IN ('failed', 'uncertain') THEN c.id END),"
    " SUM(COALESCE(a.input_tokens, 0)), SUM(COALESCE(a.output_tokens, 0)), SUM(COALESCE(a.cached_input_tokens, 0)),"
    " SUM(a.settled_nanos), SUM(a.held_nanos) FROM attempts a JOIN calls c ON c.id = a.call_id{tags}"
    " WHERE a.project_id = ? AND (CAST(? AS TEXT) IS NULL OR c.user_name = ?)"
    " AND (CAST(? AS TEXT) IS NULL OR c.session_name = ?) AND (CAST(? AS TEXT) IS NULL OR c.name = ?)"
    " AND (CAST(? AS TEXT) IS NULL OR c.tags LIKE ? ESCAPE '!') AND a.intended_at_us >= ? AND a.intended_at_us < ?"
    " GROUP BY 1 ORDER BY 7 DESC, 2 DESC, 1"
)
_TAGS: dict[Dialect, str] = {
    "sqlite": " LEFT JOIN json_each(COALESCE(c.tags, '[]')) t ON 1 = 1",
    "postgresql": " LEFT JOIN LATERAL json_array_elements_text(COALESCE(c.tags, '[]')::json) AS t(value) ON TRUE",
}
_VALUES: dict[GroupBy, str] = {
    "project": "a.project_id",
    "user": "c.user_name",
    "model": "c.name",
    "session": "c.session_name",
    "key": "c.api_key_id",
    "target": "a.target",
    "day": "a.intended_at_us / 86400000000",
    "tag": "t.value",
}
_BILLS = {
    (group_by, dialect): _BILL.replace("{value}", value).replace("{tags}", tags if group_by == "tag" else "")
    for group_by, value in _VALUES.items()
    for dialect, tags in _TAGS.items()
}
FOREVER_US = 1 << 62


def bill_by(tx: Tx, project_id: str, group_by: GroupBy, which: Filter) -> list[Group]:
    """The ledger's own sums, dearest first; an attempt with two tags counts in both.

    What was spent by calls that were deleted is a line of its own, the last; nobody knows any more whose it was, so it
    is no part of one user's, session's, model's or tag's bill.
    """
    tag = None if which.tag is None else tag_pattern(which.tag)
    rows = tx.all(
        _BILLS[group_by, tx.dialect],
        (
            project_id,
            *(value for one in (which.user, which.session, which.model, tag) for value in (one, one)),
            which.since_us or 0,
            FOREVER_US if which.until_us is None else which.until_us,
        ),
    )
    groups = [Group(_shown(group_by, row[0]), *(int(one) for one in row[1:])) for row in rows]
    if which.user is which.session is which.model is which.tag is None:
        groups += _deleted(tx, project_id, which)
    return groups


def _deleted(tx: Tx, project_id: str, which: Filter) -> list[Group]:
    gone = deleted(tx, project_id, which.since_us or 0, FOREVER_US if which.until_us is None else which.until_us)
    if gone is None:
        return []
    before = to_datetime(gone.before_us).strftime("%Y-%m-%d %H:%M")
    tokens = (gone.input_tokens, gone.output_tokens, gone.cached_input_tokens)
    return [Group(f"before {before}: deleted", gone.attempts, 0, *tokens, gone.settled_nanos, 0)]


def _shown(group_by: GroupBy, value: object) -> str | None:
    if value is None:
        return None
    if group_by == "key":
        return show("key", bytes(value))  # type: ignore[call-overload]  # a column of bytes
    if group_by == "day":
        return to_datetime(int(value) * 86_400_000_000).date().isoformat()  # type: ignore[call-overload]
    return str(value)


def run_ids(tx: Tx, project_id: str, which: Filter, *, limit: int, before: bytes | None) -> list[bytes]:
    """Runs, newest first, by what they say of themselves."""
    tag = None if which.tag is None else tag_pattern(which.tag)
    rows = tx.all(
        "SELECT id FROM runs WHERE project_id = ? AND id < ? AND (CAST(? AS TEXT) IS NULL OR user_name = ?)"
        " AND (CAST(? AS TEXT) IS NULL OR session_name = ?) AND (CAST(? AS TEXT) IS NULL OR state = ?)"
        " AND (CAST(? AS TEXT) IS NULL OR name = ?) AND (CAST(? AS TEXT) IS NULL OR tags LIKE ? ESCAPE '!')"
        " AND created_at_us >= ? ORDER BY id DESC LIMIT ?",
        (
            project_id,
            before or b"\xff" * 16,
            *(value for one in (which.user, which.session, which.state, which.model, tag) for value in (one, one)),
            which.since_us or 0,
            limit,
        ),
    )
    return [bytes(row[0]) for row in rows]


def call_ids(tx: Tx, project_id: str, which: Filter, *, limit: int, before: bytes | None) -> list[bytes]:
    """Calls, newest first, by what they say of themselves."""
    tag = None if which.tag is None else tag_pattern(which.tag)
    given = (which.user, which.session, which.state, which.model, which.kind, tag)
    rows = tx.all(
        "SELECT id FROM calls WHERE project_id = ? AND id < ? AND (CAST(? AS TEXT) IS NULL OR user_name = ?)"
        " AND (CAST(? AS TEXT) IS NULL OR session_name = ?) AND (CAST(? AS TEXT) IS NULL OR state = ?)"
        " AND (CAST(? AS TEXT) IS NULL OR name = ?) AND (CAST(? AS TEXT) IS NULL OR kind = ?)"
        " AND (CAST(? AS TEXT) IS NULL OR tags LIKE ? ESCAPE '!')"
        " AND started_at_us >= ? ORDER BY id DESC LIMIT ?",
        (
            project_id,
            before or b"\xff" * 16,
            *(value for one in given for value in (one, one)),
            which.since_us or 0,
            limit,
        ),
    )
    return [bytes(row[0]) for row in rows]
