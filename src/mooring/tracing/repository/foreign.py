"""Foreign spans: one row each, named by project, trace and span, so that a batch sent twice is there once."""

import msgspec

from mooring.storage.transaction import Tx

from ..records import ForeignSpan
from . import cross_project

MOST = 1_000  # of a trace that are shown at once


def put(tx: Tx, project_id: str, span: ForeignSpan, at_us: int) -> None:
    """Write a span, or write it anew."""
    tx.execute(
        "INSERT INTO trace_foreign (project_id, trace_id, span_id, parent_id, service, name, kind, state,"
        " started_at_us, finished_at_us, received_at_us, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (project_id, trace_id, span_id) DO UPDATE SET parent_id = excluded.parent_id,"
        " service = excluded.service, name = excluded.name, kind = excluded.kind, state = excluded.state,"
        " started_at_us = excluded.started_at_us, finished_at_us = excluded.finished_at_us,"
        " received_at_us = excluded.received_at_us, data = excluded.data",
        (
            project_id,
            span.trace_id,
            span.span_id,
            span.parent_id,
            span.service,
            span.name,
            span.kind,
            span.state,
            span.started_at_us,
            span.finished_at_us,
            at_us,
            msgspec.json.encode(span.facts),
        ),
    )


def of_trace(tx: Tx, project_id: str, trace_id: bytes, limit: int) -> list[ForeignSpan]:
    """Those of a trace, oldest first."""
    rows = tx.all(
        "SELECT trace_id, span_id, parent_id, service, name, kind, state, started_at_us, finished_at_us, data"
        " FROM trace_foreign WHERE project_id = ? AND trace_id = ? ORDER BY started_at_us, span_id LIMIT ?",
        (project_id, trace_id, limit),
    )
    return [
        ForeignSpan(
            bytes(row[0]),
            bytes(row[1]),
            None if row[2] is None else bytes(row[2]),
            *(*row[3:9], msgspec.json.decode(bytes(row[9]))),
        )
        for row in rows
    ]


def count(tx: Tx, project_id: str, trace_id: bytes) -> int:
    """How many a trace has."""
    row = tx.one("SELECT COUNT(*) FROM trace_foreign WHERE project_id = ? AND trace_id = ?", (project_id, trace_id))
    return int(row[0]) if row else 0


def forget(tx: Tx, project_id: str, trace_id: bytes) -> None:
    """Delete those of a trace."""
    tx.execute("DELETE FROM trace_foreign WHERE project_id = ? AND trace_id = ?", (project_id, trace_id))


@cross_project("retention is of the whole installation")
def prune(tx: Tx, before_us: int) -> int:
    """Forget those that came before this time."""
    return tx.execute("DELETE FROM trace_foreign WHERE received_at_us < ?", (before_us,))
