"""Upkeep of a whole journal: what a restored copy must not do again, and whether a journal is in order."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from mooring.storage import Tx
from mooring.storage.blobs import BlobRef

from .folding import Folding
from .repository import backlog, checks, processes, runs
from .repository.contents import BLOB, FRAME, RAW, Kept
from .runs import RunParked
from .windows import reservations_of


class Restored(NamedTuple):
    """What a copy set aside: calls that were in flight, and runs that were not over."""

    uncertain: int
    parked: int


class Backlog(NamedTuple):
    """What waits for a person, a worker or a projection."""

    uncertain: int
    unsettled: int
    open_runs: int
    overdue: int
    outbox: int
    outbox_age_us: int
    calls_at_most: int


class Upkeep(Folding):
    """Set a restored copy to rest; check it; say what waits."""

    async def backlog(self, *, overdue_us: int) -> Backlog:
        """What waits. A run is overdue if a worker could have taken it for so long."""
        at_us = self._now()

        def query(tx: Tx) -> Backlog:
            count, oldest = backlog.outbox(tx)
            return Backlog(
                uncertain=backlog.uncertain(tx),
                unsettled=backlog.unsettled(tx),
                open_runs=backlog.open_runs(tx),
                overdue=backlog.overdue(tx, at_us - overdue_us),
                outbox=count,
                outbox_age_us=at_us - oldest if oldest is not None else 0,
                calls_at_most=backlog.calls_at_most(tx),
            )

        return await self._database.read_async(query)

    async def newest_at_us(self) -> int:
        """When the newest attempt was written."""
        return await self._database.read_async(backlog.newest_at_us)

    async def recent_targets(self, project_id: str, limit: int = 10_000) -> list[str]:
        """The targets of the newest attempts."""
        return await self._database.read_async(lambda tx: backlog.recent_targets(tx, project_id, limit))

    async def set_to_rest(self, *, reason: str | None) -> Restored:
        """This database is a copy: nothing of it may be sent again by itself.

        What was in flight in any process is uncertain; with a `reason` every run that is not over is parked with it,
        because its original may go on elsewhere; without one the runs go on here.
        """
        return await self._database.write_async(lambda tx: self.set_to_rest_in(tx, reason=reason))

    def set_to_rest_in(self, tx: Tx, *, reason: str | None) -> Restored:
        """The same, within the transaction that made the copy."""
        uncertain = sum(self._bury(tx, row.id) for row in processes.living(tx))
        if reason is None:
            return Restored(uncertain, 0)
        payload = Kept(RAW, msgspec.json.encode(RunParked("parked", reason)))
        parked = runs.park_all(tx, reason)
        for run_id, project_id, seq in parked:
            runs.add_event(
                tx, project_id, run_id, seq, kind="run.parked", payload=payload, call_id=None, at_us=self._now()
            )
        return Restored(uncertain, len(parked))

    async def faults(self) -> list[str]:
        """What is wrong with the journal as a whole, one line each; none when all that rows name is there."""
        found = await self._database.read_async(faults_in)
        named = await self._database.read_async(checks.blobs)
        gone = [digest for project_id, digest in named if not self._contents.has_blob(project_id, digest)]
        return [*found, *([f"{len(gone)} blobs that rows name are missing"] if gone else [])]


def faults_in(tx: Tx) -> list[str]:
    """The faults that the database alone can show."""
    found = [
        f"{count} rows of {table}.{data} have lost their content" for table, data, count in checks.missing_contents(tx)
    ]
    tips, parents = checks.missing_elements(tx)
    attempts, keys, events = checks.orphans(tx)
    counted = (
        (tips, "calls have lost their last message"),
        (parents, "messages have lost their predecessor"),
        (attempts, "attempts belong to no call"),
        (keys, "keys belong to no call"),
        (events, "events belong to no run"),
        (checks.broken_runs(tx), "runs have a gap in their events"),
        (checks.runs_with_other_sums(tx), "runs have other sums than their attempts"),
        (windows_with_other_sums(tx), "budget windows have other sums than their attempts"),
    )
    return [*found, *(f"{count} {what}" for count, what in counted if count)]


def windows_with_other_sums(tx: Tx) -> int:
    """Budget windows whose sums are not those of the attempts that reserved in them."""
    held: Counter[tuple[bytes, int]] = Counter()
    settled: Counter[tuple[bytes, int]] = Counter()
    for packed, held_nanos, settled_nanos in checks.reserved_sums(tx):
        for window in reservations_of(packed):
            held[window] += held_nanos
            settled[window] += settled_nanos
    return sum(
        (held[budget_id, start], settled[budget_id, start]) != (held_nanos, settled_nanos)
        for budget_id, start, held_nanos, settled_nanos in checks.windows(tx)
    )


def blobs_of(columns: list[str]) -> Callable[[tuple[Any, ...]], Iterator[BlobRef]] | None:
    """How to find the blobs that a table's rows name: `*_codec` says how the `*_data` beside it is kept.

    None: rows with these columns name none.
    """
    pairs = [
        (place, columns.index(name.removesuffix("codec") + "data"))
        for place, name in enumerate(columns)
        if name.endswith("codec")
    ]
    if not pairs:
        return None
    project = columns.index("project_id")

    def find(row: tuple[Any, ...]) -> Iterator[BlobRef]:
        for codec, data in pairs:
            if row[codec] is not None and row[codec] % FRAME == BLOB:
                yield BlobRef(row[project], row[data])

    return find
