"""What waits for a person, a worker or a projection. Each statement walks a small index, whatever the history."""

from mooring.storage.transaction import Tx

from . import cross_project


@cross_project("an operator looks after every project")
def uncertain(tx: Tx) -> int:
    """Calls of which nobody can know whether they happened."""
    return _number(tx, "SELECT COUNT(*) FROM calls WHERE finished_at_us IS NULL AND state = 'uncertain'")


@cross_project("an operator looks after every project")
def unsettled(tx: Tx) -> int:
    """Attempts that are over and whose cost is not known."""
    return _number(
        tx,
        "SELECT COUNT(*) FROM attempts WHERE settlement <> 'settled'"
        " AND (settlement = 'unknown' OR (outcome = 'uncertain' AND held_nanos > 0))",
    )


@cross_project("an operator looks after every project")
def open_runs(tx: Tx) -> int:
    """Runs that are not over."""
    return _number(tx, "SELECT COUNT(*) FROM runs WHERE finished_at_us IS NULL")


@cross_project("an operator looks after every project")
def overdue(tx: Tx, before_us: int) -> int:
    """Runs that a worker could have taken since before this moment."""
    return _number(
        tx,
        "SELECT COUNT(*) FROM runs WHERE finished_at_us IS NULL AND ((state = 'queued' AND"
        " COALESCE(due_at_us, created_at_us) < ?) OR (state = 'waiting' AND due_at_us < ?)"
        " OR (state = 'running' AND lease_until_us < ?))",
        before_us,
        before_us,
        before_us,
    )


@cross_project("a projection follows every project")
def outbox(tx: Tx) -> tuple[int, int | None]:
    """Facts that no projection has applied yet, and when the oldest was written."""
    row = tx.one("SELECT COUNT(*), MIN(created_at_us) FROM outbox")
    return (int(row[0]), row[1]) if row else (0, None)


@cross_project("a clock is the installation's")
def newest_at_us(tx: Tx) -> int:
    """When the newest attempt was written; 0 where there is none."""
    return _number(tx, "SELECT intended_at_us FROM attempts ORDER BY id DESC LIMIT 1")


def recent_targets(tx: Tx, project_id: str, limit: int) -> list[str]:
    """The different targets of a project's newest attempts."""
    rows = tx.all(
        "SELECT DISTINCT target FROM (SELECT target, project_id FROM attempts ORDER BY id DESC LIMIT ?) AS newest"
        " WHERE project_id = ? ORDER BY target",
        (limit, project_id),
    )
    return [row[0] for row in rows]


@cross_project("sizes are the installation's")
def calls_at_most(tx: Tx) -> int:
    """About how many calls there are, without counting them: SQLite's highest row number, PostgreSQL's own estimate."""
    if tx.dialect == "sqlite":
        return _number(tx, "SELECT MAX(rowid) FROM calls")
    return max(0, _number(tx, "SELECT reltuples::bigint FROM pg_class WHERE relname = 'calls'"))


@cross_project("it runs the statements above")
def _number(tx: Tx, sql: str, *params: object) -> int:
    row = tx.one(sql, params)
    return int(row[0] or 0) if row else 0
