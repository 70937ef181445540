"""A batch being worked off: so many lines at once, each asked of serve under its own key, then the two files."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from mooring.core.clock import Clock
from mooring.core.errors import LeaseLost, MooringError, StorageError, Unavailable
from mooring.journal.journal import Journal
from mooring.journal.records import RunRecord

from .batch_lines import Line, read_lines, step_of
from .batches import HANDLER, BatchInput, BatchOutput, Progress, Results
from .files import Files

PROGRESS_LINES = 25
TRIES = 8
RENEW_SECONDS = 2.0
AWAY_SECONDS = 0.5
MOST_WAIT_SECONDS = 30.0
_AGAIN = frozenset({429, 503})  # too much at the moment, and nothing was paid
_encode = msgspec.json.encode


class Answered(NamedTuple):
    """What serve said to one line."""

    status: int
    retry_after_seconds: float | None = None


# Asks serve: the run, the step, the key on whose behalf, the path and the body.
Send = Callable[[RunRecord, str, str | None, str, bytes], Awaitable[Answered]]


class BatchHandler:
    """Runs of the handler `batch`: so many lines at once; an event of progress now and then; then the two files."""

    name = HANDLER

    def __init__(self, journal: Journal, files: Files, send: Send, *, clock: Clock, lines_at_once: int) -> None:
        self._journal = journal
        self._files = files
        self._send = send
        self._clock = clock
        self._places = lines_at_once

    async def run(self, record: RunRecord) -> None:
        """Work it off, and close the run; a lost lease ends it without a word.

        Raises:
            LeaseLost: another worker has the run, or it was cancelled.
        """
        working, renewing = asyncio.create_task(self._work(record)), asyncio.create_task(self._renew(record))
        try:
            await asyncio.wait((working, renewing), return_when=asyncio.FIRST_COMPLETED)
            if renewing.done():
                renewing.result()  # raises LeaseLost
            await working
        finally:
            for task in (working, renewing):
                task.cancel()
            await asyncio.gather(working, renewing, return_exceptions=True)

    async def _renew(self, record: RunRecord) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            with contextlib.suppress(StorageError):  # the next time may do; what is written is fenced anyway
                await self._journal.renew(record.id, record.epoch)

    async def _work(self, record: RunRecord) -> None:
        try:
            wanted = msgspec.json.decode(record.input, type=BatchInput)
            data = await self._files.content(record.project_id, wanted.input_file_id)
            lines, faults = read_lines(data, wanted.endpoint)
            if faults:
                output = BatchOutput(Progress(len(lines)), faults=tuple(faults[:100]))
                await self._end(record, "failed", output, "batch_invalid", "The file holds lines that are no requests.")
                return
            is_expired = await self._lines(record, wanted, lines)
            output = await Results(self._journal, self._files).write(record, wanted, "batch_expired")
        except LeaseLost:
            raise
        except MooringError as error:
            await self._end(record, "failed", BatchOutput(), error.code, str(error))
            return
        if is_expired:
            await self._end(record, "failed", output, "batch_expired", "Its window is over.")
        else:
            await self._end(record, "completed", output)

    async def _end(
        self, record: RunRecord, state: Any, output: BatchOutput, code: str | None = None, message: str | None = None
    ) -> None:
        await self._journal.finish_run(
            record.id, record.epoch, state, output=_encode(output), error_code=code, error_message=message
        )

    async def _lines(self, record: RunRecord, wanted: BatchInput, lines: Sequence[Line]) -> bool:
        """Ask them all; whether the window was over before that."""
        until_us = record.created_at_us + wanted.window_seconds * 1_000_000
        waiting = iter(lines)
        counts = Progress(len(lines))
        is_expired = False

        async def work() -> None:
            nonlocal counts, is_expired
            for line in waiting:
                if self._clock.now_us() >= until_us:
                    is_expired = True
                    return
                is_good = await self._ask(record, wanted, line) < 400
                counts = Progress(counts.total, counts.completed + is_good, counts.failed + (not is_good))
                if (counts.completed + counts.failed) % PROGRESS_LINES == 0:
                    await self._journal.append(record.id, record.epoch, "batch.progress", _encode(counts))

        await self._journal.append(record.id, record.epoch, "batch.progress", _encode(counts))
        tasks = [asyncio.create_task(work()) for _ in range(min(self._places, len(lines)))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return is_expired

    async def _ask(self, record: RunRecord, wanted: BatchInput, line: Line) -> int:
        """One line's status. What is too much at the moment is asked again; with serve away it waits."""
        number = 0
        while True:
            try:
                answer = await self._send(record, step_of(line.custom_id), wanted.key, line.url, bytes(line.body))
            except Unavailable:
                await asyncio.sleep(AWAY_SECONDS)
                continue
            number += 1
            if answer.status not in _AGAIN or number == TRIES:
                return answer.status
            await asyncio.sleep(min(answer.retry_after_seconds or 2.0**number, MOST_WAIT_SECONDS))
