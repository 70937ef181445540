"""Runs and calls summed up by user, session, tag, agent or model: of the rows that a list looks at, never of more."""

from typing import Any, Literal, NamedTuple

from mooring.storage.transaction import Dialect, Tx

from .listing import FROM_CALLS, FROM_RUNS, WHERE_CALLS, WHERE_RUNS, Wanted, call_values, run_values

By = Literal["user", "session", "tag", "name"]
MOST_GROUPS = 200  # the dearest; the list behind a filter has the rest


class GroupRow(NamedTuple):
    """What belongs to one value; None: to none."""

    value: str | None
    number: int
    failed: int
    settled_nanos: int
    held_nanos: int
    last_at_us: int


_RUNS = (
    "SELECT {value}, COUNT(*), SUM(CASE WHEN r.state = 'failed' THEN 1 ELSE 0 END), SUM(r.settled_nanos),"
    " SUM(r.held_nanos), MAX(r.created_at_us)"
    + FROM_RUNS
    + "{tags}"
    + WHERE_RUNS
    + " GROUP BY 1 ORDER BY 4 DESC, 2 DESC, 1 LIMIT ?"
)
_CALLS = (
    "SELECT {value}, COUNT(DISTINCT c.id), COUNT(DISTINCT CASE WHEN c.state = 'failed' THEN c.id END),"
    " SUM(COALESCE(a.settled_nanos, 0)), SUM(COALESCE(a.held_nanos, 0)), MAX(c.started_at_us)"
    + FROM_CALLS
    + " LEFT JOIN attempts a ON a.call_id = c.id{tags}"
    + WHERE_CALLS
    + " GROUP BY 1 ORDER BY 4 DESC, 2 DESC, 1 LIMIT ?"
)
_COLUMNS: dict[By, str] = {"user": "user_name", "session": "session_name", "name": "name"}
_TAGS: dict[Dialect, str] = {
    "sqlite": " LEFT JOIN json_each(COALESCE({row}.tags, '[]')) t ON 1 = 1",
    "postgresql": " LEFT JOIN LATERAL json_array_elements_text(COALESCE({row}.tags, '[]')::json) AS t(value) ON TRUE",
}


def _statement(text: str, row: str, by: By, dialect: Dialect) -> str:
    value = "t.value" if by == "tag" else f"{row}.{_COLUMNS[by]}"
    tags = _TAGS[dialect].replace("{row}", row) if by == "tag" else ""
    return text.replace("{value}", value).replace("{tags}", tags)


_KINDS: tuple[By, ...] = ("user", "session", "tag", "name")
_BY_RUN = {(by, dialect): _statement(_RUNS, "r", by, dialect) for by in _KINDS for dialect in _TAGS}
_BY_CALL = {(by, dialect): _statement(_CALLS, "c", by, dialect) for by in _KINDS for dialect in _TAGS}


def runs(tx: Tx, project_id: str, wanted: Wanted, before: bytes, floor: bytes, by: By) -> list[GroupRow]:
    """Dearest first; a run with two tags counts in both."""
    values = run_values(project_id, wanted, before, floor)
    return _rows(tx.all(_BY_RUN[by, tx.dialect], (*values, MOST_GROUPS)))


def calls(tx: Tx, project_id: str, wanted: Wanted, before: bytes, floor: bytes, by: By) -> list[GroupRow]:
    """Dearest first; a call with two tags counts in both."""
    values = call_values(project_id, wanted, before, floor)
    return _rows(tx.all(_BY_CALL[by, tx.dialect], (*values, MOST_GROUPS)))


def _rows(rows: list[tuple[Any, ...]]) -> list[GroupRow]:
    return [GroupRow(row[0], *(int(value) for value in row[1:])) for row in rows]
