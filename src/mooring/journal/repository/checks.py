"""Does everything that a row names exist, and do the sums agree? Questions about the whole journal, for verifying."""

from mooring.storage.transaction import Tx

from . import cross_project
from .contents import BLOB, CONTENT, FRAME

_KEPT = (
    # table, codec column, data column
    ("calls", "request_codec", "request_data"),
    ("calls", "answer_codec", "answer_data"),
    ("runs", "input_codec", "input_data"),
    ("runs", "output_codec", "output_data"),
    ("run_events", "payload_codec", "payload_data"),
)


@cross_project("a whole journal is checked")
def missing_contents(tx: Tx) -> list[tuple[str, str, int]]:
    """Table, column and number of rows whose content under a digest is gone."""
    found = []
    for table, codec, data in _KEPT:
        count = _count(
            tx,
            f"SELECT COUNT(*) FROM {table} t WHERE t.{codec} IN (?, ?) AND NOT EXISTS"  # noqa: S608 - names from above
            f" (SELECT 1 FROM contents c WHERE c.project_id = t.project_id AND c.digest = t.{data})",
            CONTENT,
            CONTENT + FRAME,
        )
        if count:
            found.append((table, data, count))
    return found


@cross_project("a whole journal is checked")
def missing_elements(tx: Tx) -> tuple[int, int]:
    """Calls whose last message is gone, and messages whose predecessor is."""
    tips = _count(
        tx,
        "SELECT COUNT(*) FROM calls c WHERE c.request_tip IS NOT NULL AND NOT EXISTS"
        " (SELECT 1 FROM elements e WHERE e.project_id = c.project_id AND e.id = c.request_tip)",
    )
    parents = _count(
        tx,
        "SELECT COUNT(*) FROM elements e WHERE e.parent_id IS NOT NULL AND NOT EXISTS"
        " (SELECT 1 FROM elements p WHERE p.project_id = e.project_id AND p.id = e.parent_id)",
    )
    return tips, parents


@cross_project("a whole journal is checked")
def orphans(tx: Tx) -> tuple[int, int, int]:
    """Attempts, keys and events that belong to no call or run."""
    return (
        _count(tx, "SELECT COUNT(*) FROM attempts a WHERE NOT EXISTS (SELECT 1 FROM calls c WHERE c.id = a.call_id)"),
        _count(tx, "SELECT COUNT(*) FROM call_keys k WHERE NOT EXISTS (SELECT 1 FROM calls c WHERE c.id = k.call_id)"),
        _count(tx, "SELECT COUNT(*) FROM run_events e WHERE NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = e.run_id)"),
    )


@cross_project("a whole journal is checked")
def broken_runs(tx: Tx) -> int:
    """Runs whose events are not numbered 1, 2, 3… up to the last."""
    return _count(
        tx,
        "SELECT COUNT(*) FROM runs r WHERE r.next_seq - 1 <> (SELECT COUNT(*) FROM run_events e WHERE e.run_id = r.id)"
        " OR r.next_seq - 1 <> COALESCE((SELECT MAX(e.seq) FROM run_events e WHERE e.run_id = r.id), 0)",
    )


@cross_project("a whole journal is checked")
def reserved_sums(tx: Tx) -> list[tuple[bytes, int, int]]:
    """What attempts hold and have settled, by the budget windows in which they reserved."""
    rows = tx.all(
        "SELECT reservations, SUM(held_nanos), SUM(settled_nanos) FROM attempts WHERE reservations IS NOT NULL"
        " GROUP BY reservations"
    )
    gone = tx.all("SELECT reservations, 0, settled_nanos FROM deleted_reservations")
    return [(bytes(row[0]), int(row[1]), int(row[2])) for row in [*rows, *gone]]


@cross_project("a whole journal is checked")
def windows(tx: Tx) -> list[tuple[bytes, int, int, int]]:
    """Every budget window: budget, start, held, settled."""
    rows = tx.all("SELECT budget_id, starts_at_us, held_nanos, settled_nanos FROM budget_windows")
    return [(bytes(row[0]), row[1], row[2], row[3]) for row in rows]


@cross_project("a whole journal is checked")
def runs_with_other_sums(tx: Tx) -> int:
    """Runs whose own sums are not those of their attempts."""
    return _count(
        tx,
        "SELECT COUNT(*) FROM runs r LEFT JOIN (SELECT run_id, SUM(held_nanos) AS held, SUM(settled_nanos) AS settled"
        " FROM attempts WHERE run_id IS NOT NULL GROUP BY run_id) a ON a.run_id = r.id"
        " WHERE r.held_nanos <> COALESCE(a.held, 0) OR r.settled_nanos <> COALESCE(a.settled, 0)",
    )


@cross_project("a whole journal is checked")
def totals(tx: Tx) -> dict[str, int]:
    """Sums that a copy must have too."""
    row = tx.one("SELECT COUNT(*), SUM(settled_nanos), SUM(held_nanos) FROM attempts") or (0, 0, 0)
    open_attempts = _count(tx, "SELECT COUNT(*) FROM attempts WHERE settlement <> 'settled' AND outcome = 'intended'")
    return {
        "attempts": int(row[0]),
        "settled_nanos": int(row[1] or 0),
        "held_nanos": int(row[2] or 0),
        "in_flight": open_attempts,
    }


@cross_project("a whole journal is checked")
def blobs(tx: Tx) -> set[tuple[str, bytes]]:
    """Every blob that a row names, as project and digest."""
    found: set[tuple[str, bytes]] = set()
    for table, codec, data in (*_KEPT, ("contents", "codec", "data"), ("elements", "codec", "data")):
        rows = tx.all(
            f"SELECT DISTINCT project_id, {data} FROM {table} WHERE {codec} IN (?, ?)",  # noqa: S608 - names from above
            (BLOB, BLOB + FRAME),
        )
        found.update((row[0], bytes(row[1])) for row in rows)
    return found


@cross_project("it runs the statements above")
def _count(tx: Tx, sql: str, *params: object) -> int:
    row = tx.one(sql, params)
    return int(row[0]) if row else 0
