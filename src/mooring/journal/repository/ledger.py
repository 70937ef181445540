"""Budgets and their windows: what is held and settled per fixed window, changed only by guarded statements."""

import functools
from collections.abc import Iterable
from typing import Any, NamedTuple

from mooring.storage.transaction import Tx

from ..windows import Period
from . import cross_project
from .calls import OF_TRACE

_TOKENS = (
    "a.input_tokens, a.output_tokens, a.cached_input_tokens, a.cache_write_tokens, a.input_audio_tokens,"
    " a.reasoning_tokens, a.output_audio_tokens"
)
_LAST_ID = b"\xff" * 16


class BudgetRow(NamedTuple):
    """A budget without its windows."""

    id: bytes
    project_id: str
    scope: str
    subject: str
    period: Period
    cap_nanos: int
    removed_at_us: int | None = None


def put(tx: Tx, project_id: str, row: BudgetRow, created_at_us: int) -> bytes:
    """Create a budget, or change the cap of the one with the same scope, subject and period; its id."""
    found: Any = tx.one(
        "INSERT INTO budgets (id, project_id, scope, subject, period, cap_nanos, created_at_us)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (project_id, scope, subject, period) WHERE removed_at_us IS NULL"
        " DO UPDATE SET cap_nanos = excluded.cap_nanos RETURNING id",
        (row.id, project_id, row.scope, row.subject, row.period, row.cap_nanos, created_at_us),
    )
    return bytes(found[0])


def remove(tx: Tx, project_id: str, scope: str, subject: str, period: Period, at_us: int) -> bytes | None:
    """Mark a budget as removed; its id, or None where there is none. Attempts still settle in its windows."""
    row = tx.one(
        "UPDATE budgets SET removed_at_us = ? WHERE project_id = ? AND scope = ? AND subject = ? AND period = ?"
        " AND removed_at_us IS NULL RETURNING id",
        (at_us, project_id, scope, subject, period),
    )
    return bytes(row[0]) if row else None


def of_project(tx: Tx, project_id: str) -> list[BudgetRow]:
    """Every budget that holds in a project, the newest last."""
    rows = tx.all(
        "SELECT id, project_id, scope, subject, period, cap_nanos FROM budgets"
        " WHERE project_id = ? AND removed_at_us IS NULL ORDER BY id",
        (project_id,),
    )
    return [BudgetRow(*row) for row in rows]


def removed(tx: Tx, project_id: str, limit: int) -> list[BudgetRow]:
    """Budgets that hold no more, those that were removed last first."""
    rows = tx.all(
        "SELECT id, project_id, scope, subject, period, cap_nanos, removed_at_us FROM budgets"
        " WHERE project_id = ? AND removed_at_us IS NOT NULL ORDER BY removed_at_us DESC, id DESC LIMIT ?",
        (project_id, limit),
    )
    return [BudgetRow(*row) for row in rows]


def newest(tx: Tx, project_id: str) -> bytes:
    """The budget that was made last, of those that hold; empty where there is none. Ids rise with time."""
    row = tx.one(
        "SELECT id FROM budgets WHERE project_id = ? AND removed_at_us IS NULL ORDER BY id DESC LIMIT 1", (project_id,)
    )
    return bytes(row[0]) if row else b""


def window(tx: Tx, project_id: str, budget_id: bytes, starts_at_us: int) -> tuple[int, int]:
    """Settled and held amounts of one window of a budget; zeros where nothing was reserved yet."""
    row = tx.one(
        "SELECT w.settled_nanos, w.held_nanos FROM budget_windows w JOIN budgets b ON b.id = w.budget_id"
        " WHERE b.project_id = ? AND w.budget_id = ? AND w.starts_at_us = ?",
        (project_id, budget_id, starts_at_us),
    )
    return (row[0], row[1]) if row else (0, 0)


def reserve(
    tx: Tx, project_id: str, budget_id: bytes, starts_at_us: int, *, held_nanos: int, newest: bytes | None
) -> bool:
    """Hold an amount in a window, if settled + held stays within the cap of a budget that holds, and none is newer."""
    return bool(
        tx.execute(
            "INSERT INTO budget_windows (budget_id, starts_at_us, held_nanos, settled_nanos)"
            " SELECT id, ?, ?, 0 FROM budgets"
            " WHERE id = ? AND project_id = ? AND cap_nanos >= ? AND removed_at_us IS NULL AND NOT EXISTS"
            " (SELECT 1 FROM budgets newer WHERE newer.project_id = ? AND newer.id > ? AND newer.removed_at_us IS NULL)"
            " ON CONFLICT (budget_id, starts_at_us) DO UPDATE"
            " SET held_nanos = budget_windows.held_nanos + excluded.held_nanos"
            " WHERE budget_windows.settled_nanos + budget_windows.held_nanos + excluded.held_nanos"
            " <= (SELECT cap_nanos FROM budgets WHERE id = excluded.budget_id)",
            (starts_at_us, held_nanos, budget_id, project_id, held_nanos, project_id, newest or _LAST_ID),
        )
    )


@cross_project("a reservation names its budget's id, which the intent took from the project's own list")
def settle(tx: Tx, windows: Iterable[tuple[bytes, int]], held_nanos: int, settled_nanos: int) -> None:
    """Move a reservation to what it cost, in the windows where it was made, whatever the caps are by now."""
    params: list[object] = []
    for budget_id, starts_at_us in windows:
        params += (budget_id, starts_at_us, settled_nanos)
    if params:
        params.append(held_nanos)
        tx.execute(_settling(len(params) // 3), params)


@functools.cache
def _settling(count: int) -> str:
    rows = ", ".join(["(?, ?, 0, ?)"] * count)
    return (
        f"INSERT INTO budget_windows (budget_id, starts_at_us, held_nanos, settled_nanos) VALUES {rows}"  # noqa: S608
        " ON CONFLICT (budget_id, starts_at_us) DO UPDATE SET held_nanos = budget_windows.held_nanos - ?,"
        " settled_nanos = budget_windows.settled_nanos + excluded.settled_nanos"
    )


def bill(tx: Tx, project_id: str, run_id: bytes | None, trace_id: bytes | None) -> list[tuple[Any, ...]]:
    """Attempts, money and tokens by target, of a project, a run or a trace."""
    where = "c.project_id = ?"
    named: list[object] = [project_id]
    if trace_id is not None:
        where, named = OF_TRACE, [project_id, trace_id, trace_id, trace_id]
    if run_id is not None:
        where, named = f"{where} AND c.run_id = ?", [*named, run_id]
    return tx.all(
        "SELECT a.target, COUNT(*), SUM(a.settled_nanos), SUM(a.held_nanos), SUM(a.input_tokens),"  # noqa: S608
        " SUM(a.output_tokens), SUM(a.cached_input_tokens), SUM(a.cache_write_tokens), SUM(a.input_audio_tokens),"
        " SUM(a.reasoning_tokens), SUM(a.output_audio_tokens), MAX(a.is_estimated), SUM(a.units)"
        f" FROM calls c JOIN attempts a ON a.call_id = c.id WHERE {where} AND c.kind <> 'tool'"
        " GROUP BY a.target ORDER BY a.target",
        named,
    )


def usages(tx: Tx, project_id: str, since_us: int, user: str | None) -> list[tuple[Any, ...]]:
    """What chat attempts metered and cost, those of the same tokens together."""
    by_user = " AND c.user_name = ?" if user is not None else ""
    return tx.all(
        f"SELECT a.target, COUNT(*), SUM(a.settled_nanos), {_TOKENS}"  # noqa: S608
        " FROM calls c JOIN attempts a ON a.call_id = c.id WHERE c.project_id = ? AND c.kind = 'chat'"
        " AND a.intended_at_us >= ? AND a.settlement = 'settled' AND a.input_tokens IS NOT NULL"
        f"{by_user} GROUP BY a.target, {_TOKENS}",
        (project_id, since_us, *(() if user is None else (user,))),
    )


def without_usage(tx: Tx, project_id: str, since_us: int, user: str | None) -> int:
    """How many chat attempts are held, because nobody knows yet what they metered."""
    by_user = " AND c.user_name = ?" if user is not None else ""
    row = tx.one(
        "SELECT COUNT(*) FROM calls c JOIN attempts a ON a.call_id = c.id"  # noqa: S608
        " WHERE c.project_id = ? AND c.kind = 'chat' AND a.intended_at_us >= ? AND a.settlement <> 'settled'"
        f"{by_user}",
        (project_id, since_us, *(() if user is None else (user,))),
    )
    return int(row[0]) if row else 0


def cached(tx: Tx, project_id: str, since_us: int) -> list[tuple[Any, ...]]:
    """Tokens that settled attempts read from a vendor's cache and wrote to it, by target and price."""
    return tx.all(
        "SELECT a.target, a.price, COUNT(*), SUM(a.cached_input_tokens), SUM(a.cache_write_tokens)"
        " FROM calls c JOIN attempts a ON a.call_id = c.id WHERE c.project_id = ? AND a.intended_at_us >= ?"
        " AND a.settlement = 'settled' AND (a.cached_input_tokens > 0 OR a.cache_write_tokens > 0)"
        " GROUP BY a.target, a.price ORDER BY a.target",
        (project_id, since_us),
    )


def hits(tx: Tx, project_id: str, since_us: int) -> list[tuple[Any, ...]]:
    """The attributes of calls that an earlier answer has answered."""
    return tx.all(
        "SELECT attributes FROM calls WHERE project_id = ? AND started_at_us >= ? AND state = 'completed'"
        " AND attributes LIKE ?",
        (project_id, since_us, '%"saved_nanos"%'),
    )


def of_keys(tx: Tx, project_id: str, prefix: str, since_us: int) -> int:
    """What attempts have settled, in nano-dollars, of calls whose key begins so."""
    row = tx.one(
        "SELECT SUM(a.settled_nanos) FROM calls c JOIN attempts a ON a.call_id = c.id"
        " WHERE c.project_id = ? AND c.started_at_us >= ? AND c.call_key LIKE ?",
        (project_id, since_us, f"{prefix}%"),
    )
    return int(row[0] or 0) if row else 0
