"""The queue of spans for a collector: ids in the order of their making; bounded, with a count of what was lost."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mooring.storage.transaction import Tx

from ..records import Span
from . import cross_project, schema, spans

MOST_QUEUED = 100_000  # spans, about a day of a collector's absence at one call a second
DROPPED = "exports_dropped"


_OLDEST = "SELECT id, turn FROM trace_exports ORDER BY id LIMIT ?"


class Turn(NamedTuple):
    """A span in the queue; its turn rises each time that it is written anew."""

    id: bytes
    turn: int


@cross_project("a collector gets every project's spans")
def queue(tx: Tx, ids: Iterable[bytes]) -> None:
    """Queue these spans, in the transaction that writes them; of too many the oldest are dropped, and counted."""
    for span_id in ids:
        tx.execute(
            "INSERT INTO trace_exports (id, turn) VALUES (?, 1)"
            " ON CONFLICT (id) DO UPDATE SET turn = trace_exports.turn + 1",
            (span_id,),
        )
    row = tx.one("SELECT COUNT(*) FROM trace_exports")
    over = int(row[0]) - MOST_QUEUED if row else 0
    if over > 0:
        done(tx, _oldest(tx, over), dropped=over)


@cross_project("a collector gets every project's spans")
def oldest(tx: Tx, limit: int) -> list[tuple[Turn, Span]]:
    """The oldest spans of the queue, as they are now."""
    turns = _oldest(tx, limit)
    found = spans.found(tx, [turn.id for turn in turns])
    return [(turn, found[turn.id]) for turn in turns if turn.id in found]


def _oldest(tx: Tx, limit: int) -> list[Turn]:
    return [Turn(bytes(row[0]), row[1]) for row in tx.all(_OLDEST, (limit,))]


@cross_project("a collector gets every project's spans")
def done(tx: Tx, turns: Sequence[Turn], *, dropped: int = 0) -> None:
    """Take these out of the queue; one that has changed since waits again."""
    for turn in turns:
        tx.execute("DELETE FROM trace_exports WHERE id = ? AND turn = ?", turn)
    if dropped:
        schema.note(tx, DROPPED, str(int(schema.fact(tx, DROPPED) or 0) + dropped))


@cross_project("the metrics are of the whole installation")
def standing(tx: Tx) -> tuple[int, int]:
    """How many wait, and how many were dropped since the projection was made."""
    row = tx.one("SELECT COUNT(*) FROM trace_exports")
    return int(row[0]) if row else 0, int(schema.fact(tx, DROPPED) or 0)


@cross_project("the ids come from spans that the caller has read")
def parents(tx: Tx, call_ids: Iterable[bytes]) -> dict[bytes, bytes]:
    """The span of the caller, where the call came with one."""
    found: dict[bytes, bytes] = {}
    for call_id in call_ids:
        row = tx.one("SELECT parent_span_id FROM calls WHERE id = ? AND parent_span_id IS NOT NULL", (call_id,))
        if row is not None:
            found[call_id] = bytes(row[0])
    return found
