"""Sums by stretch of time: what a span adds is taken away again when the span is written anew."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mooring.storage.transaction import Tx

from ..histogram import Buckets, merged, pack, unpack
from ..records import Dimension, Rollup, Spent, Width
from . import cross_project

_SELECT = (
    "SELECT starts_at_us, value, calls, failed, blocked, input_tokens, output_tokens, cached_input_tokens,"
    " settled_nanos, duration_us, latencies FROM trace_rollups"
)


class Place(NamedTuple):
    """Where a sum is kept."""

    project_id: str
    width: Width
    dimension: Dimension
    starts_at_us: int
    value: str


class Amount(NamedTuple):
    """What is added there: the eight sums in their order, and latencies."""

    sums: tuple[int, ...]
    latencies: Buckets


@cross_project("a batch adds to the sums of every project that is in it")
def add(tx: Tx, amounts: Mapping[Place, Amount]) -> None:
    """Add to many sums."""
    for place in sorted(amounts):
        amount = amounts[place]
        row = tx.one(
            "SELECT latencies FROM trace_rollups WHERE project_id = ? AND width = ? AND dimension = ?"
            " AND starts_at_us = ? AND value = ?",
            place,
        )
        if row is None:
            tx.execute(
                "INSERT INTO trace_rollups (project_id, width, dimension, starts_at_us, value, calls, failed, blocked,"
                " input_tokens, output_tokens, cached_input_tokens, settled_nanos, duration_us, latencies)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*place, *amount.sums, pack(amount.latencies)),
            )
        else:
            tx.execute(
                "UPDATE trace_rollups SET calls = calls + ?, failed = failed + ?, blocked = blocked + ?,"
                " input_tokens = input_tokens + ?, output_tokens = output_tokens + ?,"
                " cached_input_tokens = cached_input_tokens + ?, settled_nanos = settled_nanos + ?,"
                " duration_us = duration_us + ?, latencies = ? WHERE project_id = ? AND width = ? AND dimension = ?"
                " AND starts_at_us = ? AND value = ?",
                (*amount.sums, pack(merged((unpack(row[0]), amount.latencies))), *place),
            )


@cross_project("whoever was taken out is named by no project's sums")
def drop_empty(tx: Tx) -> None:
    """Sums of nothing still name the user or tag that they were of."""
    tx.execute("DELETE FROM trace_rollups WHERE calls = 0")


def of_time(
    tx: Tx, project_id: str, width: Width, dimension: Dimension, *, since_us: int, until_us: int
) -> list[Rollup]:
    """The sums of a time, oldest first."""
    rows = tx.all(
        _SELECT + " WHERE project_id = ? AND width = ?"
        " AND dimension = ? AND starts_at_us >= ? AND starts_at_us < ? AND calls > 0 ORDER BY starts_at_us, value",
        (project_id, width, dimension, since_us, until_us),
    )
    return [_rollup(row) for row in rows]


def dearest(
    tx: Tx, project_id: str, width: Width, dimension: Dimension, *, since_us: int, until_us: int, limit: int
) -> list[Spent]:
    """Each value's sum over a time, dearest first. As many rows are read as there are stretches, not calls."""
    rows = tx.all(
        "SELECT value, SUM(calls), SUM(failed), SUM(input_tokens), SUM(output_tokens), SUM(settled_nanos)"
        " FROM trace_rollups WHERE project_id = ? AND width = ? AND dimension = ? AND starts_at_us >= ?"
        " AND starts_at_us < ? AND calls > 0 GROUP BY value ORDER BY 6 DESC, 2 DESC, 1 LIMIT ?",
        (project_id, width, dimension, since_us, until_us, limit),
    )
    return [Spent(row[0], *map(int, row[1:])) for row in rows]


@cross_project("the metrics are of the whole installation")
def totals(tx: Tx, dimension: Dimension) -> list[Rollup]:
    """Everything so far, over all projects."""
    rows = tx.all(
        _SELECT + " WHERE width = 'total' AND dimension = ? AND calls > 0 ORDER BY value",
        (dimension,),
    )
    return [_rollup(row) for row in rows]


@cross_project("retention is of the whole installation")
def prune(tx: Tx, width: Width, before_us: int) -> int:
    """Forget the sums of a width from before this time."""
    return tx.execute("DELETE FROM trace_rollups WHERE width = ? AND starts_at_us < ?", (width, before_us))


def _rollup(row: Sequence[Any]) -> Rollup:
    fields: tuple[Any, ...] = (row[0], row[1], *map(int, row[2:10]), unpack(row[10]))
    return Rollup(*fields)
