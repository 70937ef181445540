"""What stands in the journal at this moment, for the metrics: each figure by an index of what is open."""

from typing import NamedTuple

from mooring.storage.transaction import Tx

from . import cross_project


class Now(NamedTuple):
    """The installation at this moment."""

    running: int
    uncertain: int
    held_nanos: int
    runs: list[tuple[str, int]]
    outbox: list[tuple[str, int]]


@cross_project("the metrics are of the whole installation")
def now(tx: Tx) -> Now:
    """Open calls, held amounts, the queue and the backlog."""
    states = dict(tx.all("SELECT state, COUNT(*) FROM calls WHERE finished_at_us IS NULL GROUP BY state"))
    held = tx.one("SELECT COALESCE(SUM(held_nanos), 0) FROM attempts WHERE settlement <> 'settled'")
    runs = tx.all("SELECT state, COUNT(*) FROM runs WHERE finished_at_us IS NULL GROUP BY state ORDER BY state")
    waiting = tx.all("SELECT topic, COUNT(*) FROM outbox GROUP BY topic ORDER BY topic")
    return Now(
        int(states.get("running", 0)),
        int(states.get("uncertain", 0)),
        int(held[0]) if held else 0,
        [(state, int(count)) for state, count in runs],
        [(topic, int(count)) for topic, count in waiting],
    )
