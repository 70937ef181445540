"""The meter: what the double bills, recorded while it generates, so that a client's death changes nothing.

A row appears when generation starts and grows with it; a client that hangs up is billed for what was generated so far.
Cost is this file's own arithmetic: whole pico-dollars summed, rounded up to nano-dollars once per request.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from .models import SimPrice

_COLUMNS = (
    "sequence",
    "request_id",
    "attempt",
    "model",
    "operation",
    "started_at_us",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_nanos",
    "is_finished",
    "disconnected",
    "cache_write_tokens",
    "units",
)


class MeterRow(msgspec.Struct, gc=False):
    """One billed request. `is_finished` is false while it generates and stays so if it was cut.

    `attempt` is the caller's `x-mooring-attempt`, or "". `disconnected`: the caller hung up before it had everything.
    """

    sequence: int
    request_id: str
    attempt: str
    model: str
    operation: str
    started_at_us: int
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nanos: int = 0
    is_finished: bool = False
    disconnected: bool = False
    cache_write_tokens: int = 0
    units: int = 0


class MeterTotals(msgspec.Struct):
    """Sums over all rows, dropped ones included."""

    rows: int = 0
    dropped_rows: int = 0
    unfinished_rows: int = 0
    disconnected_rows: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nanos: int = 0


def cost_nanos(row: MeterRow, price: SimPrice) -> int:
    """What a row costs: parts with a price of their own, then the rest at the total's price."""
    cached = row.cached_input_tokens if price.cached_input_picos is not None else 0
    thought = row.reasoning_tokens if price.reasoning_picos is not None else 0
    written = row.cache_write_tokens if price.cache_write_picos is not None else 0
    picos = (row.input_tokens - cached - written) * price.input_picos + cached * (price.cached_input_picos or 0)
    picos += written * (price.cache_write_picos or 0)
    picos += (row.output_tokens - thought) * price.output_picos + thought * (price.reasoning_picos or 0)
    picos += row.units * price.unit_picos
    return (picos + 999) // 1000 + price.request_nanos


class Entry:
    """A row that is still growing."""

    __slots__ = ("_is_closed", "_meter", "_price", "row")

    def __init__(self, meter: "Meter", row: MeterRow, price: SimPrice) -> None:
        self._meter = meter
        self._price = price
        self._is_closed = False
        self.row = row
        row.cost_nanos = cost_nanos(row, price)

    def grow(self, output_tokens: int, reasoning_tokens: int) -> None:
        """So many more tokens were generated."""
        row = self.row
        row.output_tokens += output_tokens
        row.reasoning_tokens += reasoning_tokens
        row.cost_nanos = cost_nanos(row, self._price)

    def finish(self) -> None:
        """Generation is complete, whether or not anyone takes delivery."""
        self.row.is_finished = True

    def close(self, *, disconnected: bool) -> None:
        """Nothing more happens to this row."""
        if not self._is_closed:
            self._is_closed = True
            self.row.disconnected = disconnected
            self._meter.closed(self.row)


class Meter:
    """All rows, at most `most_rows` of them: the oldest are dropped and counted. A file gets a line per closed row."""

    def __init__(self, *, most_rows: int = 1_000_000, path: Path | None = None) -> None:
        self.rows: deque[MeterRow] = deque(maxlen=most_rows)
        self._most_rows = most_rows
        self._count = 0
        self._dropped = MeterTotals()
        self._open: dict[int, MeterRow] = {}
        self._written = 0
        self._waiting: list[tuple[Callable[[MeterRow], bool], asyncio.Future[MeterRow]]] = []
        self._file: IO[bytes] | None = path.open("ab") if path else None

    def open(
        self,
        *,
        request_id: str,
        attempt: str,
        model: str,
        operation: str,
        started_at_us: int,
        price: SimPrice,
        input_tokens: int,
        cached_input_tokens: int = 0,
        cache_write_tokens: int = 0,
        units: int = 0,
    ) -> Entry:
        """Start to bill: the input is charged from here on."""
        row = MeterRow(
            self._count, request_id, attempt, model, operation, started_at_us, input_tokens, cached_input_tokens
        )
        row.cache_write_tokens = cache_write_tokens
        row.units = units
        self._count += 1
        if len(self.rows) == self._most_rows:
            self._drop(self.rows[0])
        self.rows.append(row)
        self._open[row.sequence] = row
        return Entry(self, row, price)

    def closed(self, row: MeterRow) -> None:
        """Called by the entry when its row is final."""
        del self._open[row.sequence]
        self._write(row)
        if self._waiting:
            self._tell(row)

    async def wait(self, accepts: Callable[[MeterRow], bool]) -> MeterRow:
        """The first closed row that is accepted, past or future."""
        for row in self.rows:
            if row.sequence not in self._open and accepts(row):
                return row
        future: asyncio.Future[MeterRow] = asyncio.get_running_loop().create_future()
        self._waiting.append((accepts, future))
        return await future

    def totals(self) -> MeterTotals:
        """Sums over everything ever billed."""
        total = MeterTotals(**msgspec.structs.asdict(self._dropped))
        for row in self.rows:
            _add(total, row)
        return total

    def as_json(self, *, after: int = -1, limit: int | None = None) -> bytes:
        """The rows after a sequence number, as a JSON list."""
        rows = [row for row in self.rows if row.sequence > after]
        return msgspec.json.encode(rows[:limit])

    def as_csv(self) -> bytes:
        """The export that `cost reconcile` reads; booleans are `true` and `false`."""
        lines = [",".join(_COLUMNS)]
        for row in self.rows:
            values = [getattr(row, column) for column in _COLUMNS]
            lines.append(
                ",".join([str(value).lower() if isinstance(value, bool) else _cell(value) for value in values])
            )
        return ("\n".join(lines) + "\n").encode()

    def clear(self) -> None:
        """Forget what is closed, totals too; rows that still grow stay."""
        kept = [row for row in self.rows if row.sequence in self._open]
        self.rows.clear()
        self.rows.extend(kept)
        self._dropped = MeterTotals()

    def close(self) -> None:
        """Write what is still open, as unfinished, and close the file."""
        for row in list(self._open.values()):
            self._write(row)
        self._open.clear()
        for _, future in self._waiting:
            future.cancel()
        self._waiting.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _drop(self, row: MeterRow) -> None:
        _add(self._dropped, row)
        self._dropped.dropped_rows += 1

    def _write(self, row: MeterRow) -> None:
        if self._file is not None and self._written < self._most_rows:
            self._written += 1
            self._file.write(msgspec.json.encode(row) + b"\n")
            self._file.flush()  # to the kernel: survives a kill of this process too

    def _tell(self, row: MeterRow) -> None:
        waiting = [pair for pair in self._waiting if not pair[1].done()]
        self._waiting = [pair for pair in waiting if not pair[0](row)]
        for accepts, future in waiting:
            if accepts(row):
                future.set_result(row)


def _add(total: MeterTotals, row: MeterRow) -> None:
    total.rows += 1
    total.unfinished_rows += not row.is_finished
    total.disconnected_rows += row.disconnected
    total.input_tokens += row.input_tokens
    total.output_tokens += row.output_tokens
    total.cost_nanos += row.cost_nanos


def _cell(value: object) -> str:
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text
