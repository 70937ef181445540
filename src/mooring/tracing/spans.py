"""The store of spans: opened at its first use, filled by the projector, asked by pages, HTTP and the command line.

What it finds is joined with the journal: a trace that the journal does not know any more is not shown, and amounts and
the states of runs are the journal's of this moment.
"""

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from mooring.storage import Database, Tx

from .records import CALLS, Dimension, Filter, Projected, Rollup, Span, Spent, Summary, Width
from .repository import exports, foreign, journal, rollups, schema, spans
from .repository.journal import Standing
from .repository.spans import FOREVER_US, SummaryRow
from .sums import changes


class Page(msgspec.Struct, frozen=True):
    """Some of a list; `next` is what to ask with for the rest, None at its end."""

    traces: list[Summary]
    next: bytes | None = None


class Spans:
    """The projection of one installation. `path` is used where the journal's database is SQLite."""

    def __init__(self, database: Database, path: Path) -> None:
        self._journal = database
        self._path = path
        self._own: Database | None = None
        self._opening = asyncio.Lock()

    async def opened(self) -> Database:
        """Where the spans are.

        Raises:
            StorageError: the file cannot be opened.
        """
        async with self._opening:
            if self._own is None:
                if self._journal.dialect == "sqlite":
                    self._own = await asyncio.to_thread(Database.beside, self._path, schema.create)
                else:
                    await self._journal.write_async(schema.create)
                    self._own = self._journal
        return self._own

    def close(self) -> None:
        own, self._own = self._own, None
        if own is not None and own is not self._journal:
            own.close()

    async def scrub(self, *, is_whole: bool) -> None:
        """What was taken out leaves the file: `is_whole` merges the index of words and rewrites the database."""
        own = await self.opened()
        await own.write_async(rollups.drop_empty)
        if is_whole:
            await own.write_async(schema.merge_words)
        await asyncio.to_thread(partial(own.scrub, is_whole=is_whole))

    # writing -----------------------------------------------------------------

    async def apply(self, batch: Iterable[Projected], gone: Iterable[bytes] = (), *, is_exported: bool = False) -> None:
        """Write these spans and take those out, with every sum that follows; twice is the same as once."""
        latest = {one.span.id: one for one in batch}
        removed = set(gone) - latest.keys()

        def write(tx: Tx) -> None:
            schema.lock(tx)
            before = spans.found(tx, [*latest, *removed])
            for one in latest.values():
                spans.put(tx, one.span.project_id, one)
            spans.remove(tx, removed)
            totals, amounts = changes(before.values(), [one.span for one in latest.values()])
            for total in totals:
                spans.add(tx, total.project_id, total)
            rollups.add(tx, amounts)
            if is_exported:
                exports.queue(tx, latest)

        await (await self.opened()).write_async(write)

    async def clear(self) -> None:
        """Forget everything, to be filled again."""

        def write(tx: Tx) -> None:
            schema.lock(tx)
            schema.drop(tx)
            schema.create(tx)

        await (await self.opened()).write_async(write)

    async def prune(self, *, minutes_before_us: int, hours_before_us: int, foreign_before_us: int = 0) -> int:
        """Forget sums, and spans of other programs, that are older than they are kept."""

        def write(tx: Tx) -> int:
            schema.lock(tx)
            sums = rollups.prune(tx, "minute", minutes_before_us) + rollups.prune(tx, "hour", hours_before_us)
            return sums + foreign.prune(tx, foreign_before_us)

        return await (await self.opened()).write_async(write)

    async def forget_foreign(self, traces: Sequence[tuple[str, bytes]]) -> None:
        """Forget what other programs told of these traces, each named with its project."""

        def write(tx: Tx) -> None:
            schema.lock(tx)
            for project_id, trace_id in traces:
                foreign.forget(tx, project_id, trace_id)

        await (await self.opened()).write_async(write)

    # reading -----------------------------------------------------------------

    async def page(
        self, project_id: str, which: Filter | None = None, *, limit: int = 50, before: bytes | None = None
    ) -> Page:
        """Traces, newest first; `before` is the `next` of the page before."""
        which = which or Filter()
        own = await self.opened()

        def query(tx: Tx) -> list[tuple[SummaryRow, Span | None]]:
            rows = spans.summaries(tx, project_id, which, limit=limit + 1, before=before)
            return [(row, next(iter(spans.heads(tx, project_id, row.trace_id)), None)) for row in rows]

        rows = await own.read_async(query)
        known = await self._journal.read_async(
            lambda tx: journal.standing(tx, project_id, [row.trace_id for row, _ in rows])
        )
        found = [
            summary(row, head, known[row.trace_id])
            for row, head in rows[:limit]
            if head is not None and row.trace_id in known
        ]
        return Page(found, rows[limit - 1][0].first_id if len(rows) > limit else None)

    async def of_trace(
        self, project_id: str, trace_id: bytes, *, after: bytes | None = None, limit: int = 1_000
    ) -> list[Span]:
        """Spans of a trace, in the order of their ids."""
        own = await self.opened()
        return await own.read_async(
            lambda tx: spans.of_trace(tx, project_id, trace_id, after=after or b"", limit=limit)
        )

    async def after(self, span_id: bytes, limit: int) -> list[Span]:
        """The next spans of all projects, in the order of their ids."""
        own = await self.opened()
        return await own.read_async(lambda tx: spans.after(tx, span_id, limit))

    async def facts(self, project_id: str, span_id: bytes) -> dict[str, Any]:
        """What lies beside a span's columns: guard verdicts, hits with scores, price, ids of the provider."""
        own = await self.opened()
        return await own.read_async(lambda tx: spans.facts(tx, project_id, span_id))

    async def sums(self, project_id: str, trace_id: bytes) -> tuple[int, int, int, int, int, int]:
        """Attempts, settled, held, tokens in and out, bytes, as the spans of a trace add up."""
        own = await self.opened()
        return await own.read_async(lambda tx: spans.sums(tx, project_id, trace_id))

    async def rollups(
        self, project_id: str, width: Width, dimension: Dimension, *, since_us: int = 0, until_us: int = FOREVER_US
    ) -> list[Rollup]:
        """Sums of a time, oldest first."""
        own = await self.opened()
        return await own.read_async(
            lambda tx: rollups.of_time(tx, project_id, width, dimension, since_us=since_us, until_us=until_us)
        )

    async def dearest(
        self, project_id: str, dimension: Dimension, *, since_us: int, until_us: int = FOREVER_US, limit: int = 1_000
    ) -> list[Spent]:
        """Each value's sum over whole hours, dearest first: what is over and projected, about a second behind."""
        own = await self.opened()
        return await own.read_async(
            lambda tx: rollups.dearest(
                tx, project_id, "hour", dimension, since_us=since_us, until_us=until_us, limit=limit
            )
        )

    async def totals(self, dimension: Dimension) -> list[Rollup]:
        """Everything so far, over all projects."""
        own = await self.opened()
        return await own.read_async(lambda tx: rollups.totals(tx, dimension))

    async def exports(self) -> tuple[int, int]:
        """Spans that wait for the collector, and spans that were dropped."""
        return await (await self.opened()).read_async(exports.standing)

    async def counts(self) -> dict[str, int]:
        """Rows of the tables that grow."""
        return await (await self.opened()).read_async(spans.counts)


def summary(row: SummaryRow, head: Span, standing: Standing) -> Summary:
    """A line of the list: sums of the projection, amounts and state of the journal."""
    sums = row[4:10]
    is_run = standing.run_id is not None
    state = standing.state or head.state
    if not is_run and head.kind in CALLS and row.failed:
        state = "failed" if head.state == "completed" else head.state
    return Summary(
        row.trace_id,
        row.first_id,
        standing.run_id,
        "run" if is_run else head.kind,
        head.name,
        state,
        head.error_code,
        head.user,
        head.session,
        head.tag_names,
        row.started_at_us,
        row.finished_at_us if state != "running" else None,
        *sums,
        standing.settled_nanos,
        standing.held_nanos,
        row.bytes_up,
        row.bytes_down,
    )
