"""The projection's rows: spans, what lies beside them, and the sums by trace."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from mooring.storage.compression import compress, decompress
from mooring.storage.transaction import Dialect, Tx

from ..records import Filter, Projected, Span
from ..words import words
from . import cross_project

_SELECT = (
    "SELECT id, project_id, trace_id, parent_id, kind, name, state, error_code, run_id, step, user_name, session_name,"
    " tags, api_key_id, started_at_us, finished_at_us, first_byte_at_us, input_tokens, output_tokens,"
    " cached_input_tokens, settled_nanos, held_nanos, bytes_up, bytes_down FROM trace_spans"
)
_UPSERT = (
    "INSERT INTO trace_spans (id, project_id, trace_id, parent_id, kind, name, state, error_code, run_id, step,"
    " user_name, session_name, tags, api_key_id, started_at_us, finished_at_us, first_byte_at_us, input_tokens,"
    " output_tokens, cached_input_tokens, settled_nanos, held_nanos, bytes_up, bytes_down)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (id) DO UPDATE SET project_id = excluded.project_id, trace_id = excluded.trace_id,"
    " parent_id = excluded.parent_id, kind = excluded.kind, name = excluded.name, state = excluded.state,"
    " error_code = excluded.error_code, run_id = excluded.run_id, step = excluded.step,"
    " user_name = excluded.user_name, session_name = excluded.session_name, tags = excluded.tags,"
    " api_key_id = excluded.api_key_id, started_at_us = excluded.started_at_us,"
    " finished_at_us = excluded.finished_at_us, first_byte_at_us = excluded.first_byte_at_us,"
    " input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens,"
    " cached_input_tokens = excluded.cached_input_tokens, settled_nanos = excluded.settled_nanos,"
    " held_nanos = excluded.held_nanos, bytes_up = excluded.bytes_up, bytes_down = excluded.bytes_down"
    " RETURNING seq"
)
_ADD = (
    "INSERT INTO trace_summaries AS s (project_id, trace_id, first_id, started_at_us, finished_at_us, spans, calls,"
    " failed, attempts, input_tokens, output_tokens, settled_nanos, held_nanos, bytes_up, bytes_down)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (project_id, trace_id) DO UPDATE SET"
    " first_id = CASE WHEN excluded.first_id < s.first_id THEN excluded.first_id ELSE s.first_id END,"
    " started_at_us ="
    " CASE WHEN excluded.started_at_us < s.started_at_us THEN excluded.started_at_us ELSE s.started_at_us END,"
    " finished_at_us ="
    " CASE WHEN excluded.finished_at_us > s.finished_at_us THEN excluded.finished_at_us ELSE s.finished_at_us END,"
    " spans = s.spans + excluded.spans, calls = s.calls + excluded.calls, failed = s.failed + excluded.failed,"
    " attempts = s.attempts + excluded.attempts, input_tokens = s.input_tokens + excluded.input_tokens,"
    " output_tokens = s.output_tokens + excluded.output_tokens,"
    " settled_nanos = s.settled_nanos + excluded.settled_nanos, held_nanos = s.held_nanos + excluded.held_nanos,"
    " bytes_up = s.bytes_up + excluded.bytes_up, bytes_down = s.bytes_down + excluded.bytes_down"
)
# Each condition holds for some span of the trace; a value of NULL is no condition.
_SUMMARIES = (
    "SELECT trace_id, first_id, started_at_us, finished_at_us, spans, calls, failed, attempts, input_tokens,"
    " output_tokens, settled_nanos, held_nanos, bytes_up, bytes_down FROM trace_summaries"
    " WHERE project_id = ? AND first_id < ?"
    " AND (CAST(? AS TEXT) IS NULL OR trace_id IN"
    " (SELECT trace_id FROM trace_spans WHERE project_id = ? AND user_name = ?))"
    " AND (CAST(? AS TEXT) IS NULL OR trace_id IN"
    " (SELECT trace_id FROM trace_spans WHERE project_id = ? AND session_name = ?))"
    " AND (CAST(? AS TEXT) IS NULL OR trace_id IN"
    " (SELECT trace_id FROM trace_spans WHERE project_id = ? AND name = ?))"
    " AND (CAST(? AS TEXT) IS NULL OR trace_id IN"
    " (SELECT trace_id FROM trace_spans WHERE project_id = ? AND kind = ?))"
    " AND (CAST(? AS TEXT) IS NULL OR trace_id IN"
    " (SELECT trace_id FROM trace_spans WHERE project_id = ? AND state = ? AND kind <> 'attempt'))"
    " AND (CAST(? AS TEXT) IS NULL OR trace_id IN"
    " (SELECT trace_id FROM trace_spans WHERE project_id = ? AND tags LIKE ? ESCAPE '!'))"
    " AND (CAST(? AS TEXT) IS NULL OR trace_id IN"
    " (SELECT s.trace_id FROM ({hits}) h JOIN trace_spans s ON s.seq = h.seq WHERE s.project_id = ?))"
    " AND finished_at_us >= ? AND started_at_us < ? ORDER BY first_id DESC LIMIT ?"
)
# A word is looked up in the newest 10,000 spans that hold it: one that every call holds says nothing.
_HITS: dict[Dialect, str] = {
    "sqlite": "SELECT rowid AS seq FROM trace_words WHERE trace_words MATCH ? ORDER BY rowid DESC LIMIT 10000",
    "postgresql": "SELECT seq FROM trace_words WHERE to_tsvector('simple', words) @@ plainto_tsquery('simple', ?)"
    " ORDER BY seq DESC LIMIT 10000",
}
_BY_TEXT = {dialect: _SUMMARIES.replace("{hits}", hits) for dialect, hits in _HITS.items()}
_FORGET_WORDS: dict[Dialect, str] = {
    "sqlite": "DELETE FROM trace_words WHERE rowid = ?",
    "postgresql": "DELETE FROM trace_words WHERE seq = ?",
}
_PUT_WORDS: dict[Dialect, str] = {
    "sqlite": "INSERT INTO trace_words (rowid, words) VALUES (?, ?)",
    "postgresql": "INSERT INTO trace_words (seq, words) VALUES (?, ?)",
}
FOREVER_US = 1 << 62
RAW, ZSTD = 0, 1


class Total(NamedTuple):
    """What a span adds to its trace."""

    project_id: str
    trace_id: bytes
    first_id: bytes
    started_at_us: int
    finished_at_us: int
    counts: tuple[int, ...]


class SummaryRow(NamedTuple):
    """A trace's sums."""

    trace_id: bytes
    first_id: bytes
    started_at_us: int
    finished_at_us: int
    spans: int
    calls: int
    failed: int
    attempts: int
    input_tokens: int
    output_tokens: int
    settled_nanos: int
    held_nanos: int
    bytes_up: int
    bytes_down: int


def span_of(row: Sequence[Any]) -> Span:
    """A row of `_COLUMNS`."""
    return Span(*row)


@cross_project("a projection follows every project; ids of spans are unique")
def found(tx: Tx, ids: Iterable[bytes]) -> dict[bytes, Span]:
    """Of these spans, what is there already."""
    rows = (tx.one(_SELECT + " WHERE id = ?", (span_id,)) for span_id in ids)
    return {bytes(row[0]): span_of(row) for row in rows if row is not None}


def children(tx: Tx, project_id: str, parent_id: bytes) -> list[Span]:
    """The spans that are part of this one."""
    rows = tx.all(
        _SELECT + " WHERE parent_id = ? AND project_id = ? ORDER BY id",
        (parent_id, project_id),
    )
    return [span_of(row) for row in rows]


def put(tx: Tx, project_id: str, projected: Projected) -> None:
    """Write a span, or write it again as it is now."""
    row = tx.one(_UPSERT, msgspec.structs.astuple(projected.span))
    assert row is not None
    seq = row[0]
    _put_words(tx, seq, projected.words)
    tx.execute("DELETE FROM trace_contents WHERE seq = ?", (seq,))
    if projected.facts:
        data = msgspec.json.encode(projected.facts)
        small = compress(data) if len(data) > 256 else data
        codec = ZSTD if len(small) < len(data) else RAW
        tx.execute(
            "INSERT INTO trace_contents (seq, codec, data) VALUES (?, ?, ?)",
            (seq, codec, small if codec == ZSTD else data),
        )


def _put_words(tx: Tx, seq: int, found_words: Sequence[str]) -> None:
    tx.execute(_FORGET_WORDS[tx.dialect], (seq,))
    if found_words:
        tx.execute(_PUT_WORDS[tx.dialect], (seq, " ".join(found_words)))


@cross_project("the ids come from spans that the caller has read")
def remove(tx: Tx, ids: Iterable[bytes]) -> None:
    """Forget these spans and all that lies beside them."""
    for span_id in ids:
        row = tx.one("DELETE FROM trace_spans WHERE id = ? RETURNING seq", (span_id,))
        if row is not None:
            tx.execute("DELETE FROM trace_contents WHERE seq = ?", row)
            tx.execute(_FORGET_WORDS[tx.dialect], row)
            tx.execute("DELETE FROM trace_exports WHERE id = ?", (span_id,))
            tx.execute("DELETE FROM trace_traffic WHERE call_id = ?", (span_id,))


def add(tx: Tx, project_id: str, total: Total) -> None:
    """Add to a trace's sums; one that comes to nothing is forgotten."""
    head = (project_id, total.trace_id, total.first_id, total.started_at_us, total.finished_at_us)
    tx.execute(_ADD, (*head, *total.counts))
    tx.execute(
        "DELETE FROM trace_summaries WHERE project_id = ? AND trace_id = ? AND spans <= 0", (project_id, total.trace_id)
    )


def summaries(tx: Tx, project_id: str, which: Filter, *, limit: int, before: bytes | None) -> list[SummaryRow]:
    """Traces newest first, of those that have a span for each condition."""
    tag = None if which.tag is None else tag_pattern(which.tag)
    text = None if which.text is None else _match(tx, which.text)
    conditions = (which.user, which.session, which.model, which.kind, which.state, tag)
    rows = tx.all(
        _BY_TEXT[tx.dialect],
        (
            project_id,
            before or b"\xff" * 16,
            *(value for condition in conditions for value in (condition, project_id, condition)),
            *(text, text, project_id),
            which.since_us or 0,
            FOREVER_US if which.until_us is None else which.until_us,
            limit,
        ),
    )
    return [SummaryRow(bytes(row[0]), bytes(row[1]), *row[2:]) for row in rows]


def _match(tx: Tx, text: str) -> str:
    """Every word of it; nothing of it is read as syntax."""
    wanted = words(text)[:20] or ["\N{REPLACEMENT CHARACTER}"]
    return " ".join(f'"{word}"' for word in wanted) if tx.dialect == "sqlite" else " ".join(wanted)


def tag_pattern(tag: str) -> str:
    """A tag within the JSON list of a row; a quote in a tag is escaped there, so none is taken for another's part."""
    text = msgspec.json.encode(tag).decode()
    return "%" + "".join(f"!{sign}" if sign in "!%_" else sign for sign in text) + "%"


def heads(tx: Tx, project_id: str, trace_id: bytes) -> list[Span]:
    """The span that names a trace: its run, else its first call that is more than a vector for another one."""
    rows = tx.all(
        _SELECT + " WHERE project_id = ? AND trace_id = ? AND kind <> 'attempt'"
        " ORDER BY CASE kind WHEN 'run' THEN 0 WHEN 'embedding' THEN 2 ELSE 1 END, id LIMIT 1",
        (project_id, trace_id),
    )
    return [span_of(row) for row in rows]


def of_trace(tx: Tx, project_id: str, trace_id: bytes, *, after: bytes, limit: int) -> list[Span]:
    """Spans of a trace in the order of their ids, which is that of time."""
    rows = tx.all(
        _SELECT + " WHERE project_id = ? AND trace_id = ? AND id > ? ORDER BY id LIMIT ?",
        (project_id, trace_id, after, limit),
    )
    return [span_of(row) for row in rows]


def sums(tx: Tx, project_id: str, trace_id: bytes) -> tuple[int, int, int, int, int, int]:
    """Attempts, settled, held, tokens in and out, bytes both ways, of the attempts of a trace."""
    row = tx.one(
        "SELECT COUNT(*), COALESCE(SUM(settled_nanos), 0), COALESCE(SUM(held_nanos), 0),"
        " COALESCE(SUM(input_tokens), 0), COALESCE(SUM(output_tokens), 0), COALESCE(SUM(bytes_up + bytes_down), 0)"
        " FROM trace_spans WHERE project_id = ? AND trace_id = ? AND kind = 'attempt'",
        (project_id, trace_id),
    )
    assert row is not None
    return (int(row[0]), int(row[1]), int(row[2]), int(row[3]), int(row[4]), int(row[5]))


def facts(tx: Tx, project_id: str, span_id: bytes) -> dict[str, Any]:
    """What lies beside a span."""
    row = tx.one(
        "SELECT c.codec, c.data FROM trace_spans s JOIN trace_contents c ON c.seq = s.seq"
        " WHERE s.project_id = ? AND s.id = ?",
        (project_id, span_id),
    )
    if row is None:
        return {}
    data = decompress(row[1]) if row[0] == ZSTD else bytes(row[1])
    value: dict[str, Any] = msgspec.json.decode(data)
    return value


@cross_project("a sweep looks at every project")
def after(tx: Tx, span_id: bytes, limit: int) -> list[Span]:
    """The next spans in the order of their ids."""
    rows = tx.all(_SELECT + " WHERE id > ? ORDER BY id LIMIT ?", (span_id, limit))
    return [span_of(row) for row in rows]


@cross_project("the size report is of the whole installation")
def counts(tx: Tx) -> dict[str, int]:
    """Rows of the tables that grow."""
    row = tx.one(
        "SELECT (SELECT COUNT(*) FROM trace_spans), (SELECT COUNT(*) FROM trace_summaries),"
        " (SELECT COUNT(*) FROM trace_rollups)"
    )
    assert row is not None
    return {"trace_spans": int(row[0]), "trace_summaries": int(row[1]), "trace_rollups": int(row[2])}
