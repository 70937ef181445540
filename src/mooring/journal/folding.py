"""The bill of the past is folded by the hour, so that a year of it is read at once and old attempts may go.

An hour is folded once it has been over for a while and every attempt of it is settled: a settled attempt never changes.
What is folded and what is not make up the bill together; nothing is in both.
"""

from collections.abc import Iterator
from typing import NamedTuple

from mooring.storage import Tx

from .ledger import Bill, BillLine, bill_line
from .liveness import Liveness
from .repository import folding
from .windows import HOUR_US

QUIET_US = HOUR_US // 4  # an attempt is written within milliseconds of its id
HOURS_AT_ONCE = 24
LAST_ID = b"\xff" * 16


class Deleted(NamedTuple):
    """What was spent by attempts that are no longer there, all of them sent before this moment."""

    before_us: int
    attempts: int
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    settled_nanos: int


class Folding(Liveness):
    """Fold hours; read the bill."""

    async def fold(self, *, most: int = HOURS_AT_ONCE) -> int:
        """Fold the oldest hours that can be, a few; how many."""
        until = self._now() - QUIET_US
        found = await self._database.read_async(lambda tx: _foldable(tx, until, most))
        for hour in found:
            rows = await self._database.read_async(
                lambda tx, first=hour: (folding.count(tx, *ids_of(first)), folding.sums(tx, *ids_of(first)))  # type: ignore[misc]
            )

            def write(tx: Tx, hour: int = hour, read: tuple[int, list[tuple[object, ...]]] = rows) -> None:
                if folding.count(tx, *ids_of(hour)) == read[0]:  # nothing came meanwhile
                    folding.put(tx, hour, read[1])

            await self._database.write_async(write)
        return len(found)

    async def bill(self, project_id: str, *, run_id: bytes | None = None, trace_id: bytes | None = None) -> Bill:
        """The bill of a project, a run or a trace."""
        if run_id is not None or trace_id is not None:
            return await super().bill(project_id, run_id=run_id, trace_id=trace_id)

        def query(tx: Tx) -> dict[str, BillLine]:
            rows = folding.past(tx, project_id)
            for first, end in _gaps(folding.hours(tx)):
                rows += folding.present(tx, project_id, first, end)
            lines: dict[str, BillLine] = {}
            for row in rows:
                line = bill_line(row)
                lines[line.target] = line + lines[line.target] if line.target in lines else line
            return lines

        lines = await self._database.read_async(query)
        ordered = tuple(lines[target] for target in sorted(lines))
        return Bill(sum(line.settled_nanos for line in ordered), sum(line.held_nanos for line in ordered), ordered)


def deleted(tx: Tx, project_id: str, since_us: int, until_us: int) -> Deleted | None:
    """What the bill of whole hours of this time holds of attempts that are gone; None when all of them are there."""
    sums, last = [0, 0, 0, 0, 0], None
    for hour_us, *folded in folding.by_hour(tx, project_id, since_us, until_us):
        left = [bill_line(row) for row in folding.present(tx, project_id, *ids_of(hour_us))]
        there = (
            sum(line.attempts for line in left),
            sum(line.usage.input_tokens for line in left),
            sum(line.usage.output_tokens for line in left),
            sum(line.usage.cached_input_tokens for line in left),
            sum(line.settled_nanos for line in left),
        )
        if there[0] < folded[0]:
            last = hour_us
            sums = [total + was - now for total, was, now in zip(sums, folded, there, strict=True)]
    return None if last is None else Deleted(last + HOUR_US, *sums)


def ids_of(hour_us: int) -> tuple[bytes, bytes]:
    """The first id of an hour, and the first of the next."""
    return first_id(hour_us), first_id(hour_us + HOUR_US)


def first_id(at_us: int) -> bytes:
    """No id that is made at this moment or later is smaller."""
    return (max(0, at_us) // 1000).to_bytes(6) + bytes(10)


def hour_of(identifier: bytes) -> int:
    """The hour in which an id was made."""
    at_us = int.from_bytes(identifier[:6]) * 1000
    return at_us - at_us % HOUR_US


def _foldable(tx: Tx, until_us: int, most: int) -> list[int]:
    done, open_hours = set(folding.hours(tx)), {hour_of(one) for one in folding.unsettled_ids(tx)}
    found: list[int] = []
    position = b""
    while len(found) < most and (identifier := folding.oldest(tx, position)) is not None:
        hour = hour_of(identifier)
        if hour + HOUR_US > until_us:
            break
        if hour not in done and hour not in open_hours:
            found.append(hour)
        position = first_id(hour + HOUR_US)
    return found


def _gaps(done: list[int]) -> Iterator[tuple[bytes, bytes]]:
    """The ranges of ids that lie in no folded hour."""
    start = b""
    for hour in done:
        first, end = ids_of(hour)
        if start < first:
            yield start, first
        start = end
    yield start, LAST_ID
