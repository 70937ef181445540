"""What may go: payloads first, then calls and runs, the bill last; and what somebody wants forgotten, at once.

Everything is deleted in small transactions, so that no writer waits long, and each stands alone: a crash between two
leaves nothing half done. Money is never lost: a call goes only after its hour is in the bill of the past (`folding`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from mooring.core.errors import InvalidRequest
from mooring.core.ids import show
from mooring.storage import Tx
from mooring.storage.blobs import BlobRef

from .base import CALL_CLOSED, RUN_FINISHED, TRACE_FORGOTTEN
from .folding import first_id, hour_of
from .redacting import Redacting, Replace
from .repository import erasing, folding

if TYPE_CHECKING:  # the settings bring pydantic, which a verb that only reads does not need
    from .config import RetentionConfig

DAY_US = 86_400_000_000
BATCH = 100  # calls of one transaction: some milliseconds of the only writer
LOOK = 1_000  # calls that one step of a walk looks at


class Gone(NamedTuple):
    """What was deleted or emptied."""

    payloads: int = 0
    calls: int = 0
    runs: int = 0
    hours: int = 0
    blobs: int = 0

    def __add__(self, other: "Gone") -> "Gone":  # type: ignore[override]
        return Gone(*(one + two for one, two in zip(self, other, strict=True)))


class Retention(Redacting):
    """Apply the rules; forget."""

    async def retain(self, config: "RetentionConfig") -> Gone:
        """Apply the rules once, to everything that is old enough by now."""
        gone = Gone()
        while await self.fold():
            continue
        for project_id in await self._database.read_async(erasing.projects):
            if config.payloads == "redacted":
                gone += await self._redact_payloads(project_id)
            gone += await self._age_payloads(project_id, config)
            gone += await self._age_runs(project_id, config)
            gone += await self._age_calls(project_id, config)
        if config.bill_days is not None:
            before = self._before_us(config.bill_days)
            gone += Gone(hours=await self._database.write_async(lambda tx: folding.drop_before(tx, before, LOOK)))
        return gone

    async def forget_run(self, project_id: str, run_id: bytes) -> Gone:
        """Take everything that was said out of a run and its calls, for good; what it cost stays.

        Raises:
            NotFound: the project has no such run.
            InvalidRequest: the run is not over.
        """
        run = await self.get_run(project_id, run_id)
        if run.finished_at_us is None:
            shown = show("run", run_id)
            raise InvalidRequest(f"{shown} is not over.", hint=f"End it first: mooring runs cancel {shown}")
        return await self._forget_run(project_id, run_id)

    async def forget_user(self, project_id: str, user: str) -> Gone:
        """Take a user and everything that was said by and to them out of the project, for good.

        Raises:
            InvalidRequest: a run of theirs is not over.
        """
        runs = await self._database.read_async(lambda tx: erasing.runs_of_user(tx, project_id, user))
        for run_id, is_over in runs:
            if not is_over:
                shown = show("run", run_id)
                raise InvalidRequest(f"{shown} of {user} is not over.", hint=f"End it: mooring runs cancel {shown}")
        gone = Gone()
        for run_id, _ in runs:
            gone += await self._forget_run(project_id, run_id)
        after: bytes | None = b""
        while after is not None:
            found, after = await self._database.read_async(partial(_of_user, project_id, user, after))
            gone += Gone(payloads=len(found)) + await self._erase(project_id, found, self._forget_call)
        return gone

    async def _forget_run(self, project_id: str, run_id: bytes) -> Gone:
        calls = await self._database.read_async(lambda tx: erasing.calls_of_run(tx, project_id, run_id))
        gone = Gone(payloads=len(calls)) + await self._erase(project_id, calls, self._forget_call)
        return gone + Gone(runs=1) + await self._erase(project_id, [run_id], self._take_out_run, RUN_FINISHED)

    async def projects(self) -> list[str]:
        """Projects with calls or runs."""
        return await self._database.read_async(erasing.projects)

    async def older_than(self, days: float) -> dict[str, int]:
        """How many calls without a run, and finished runs, there are from before so many days."""
        before = first_id(self._before_us(days))
        return await self._database.read_async(lambda tx: erasing.older(tx, before))

    def is_named(self, project_id: str, digest: bytes) -> bool:
        """Whether a row names this content or blob. Waits: to be asked from a thread."""
        return self._database.read(lambda tx: erasing.is_named(tx, project_id, digest))

    # by age ----------------------------------------------------------------------------------------------------------

    async def _age_payloads(self, project_id: str, config: "RetentionConfig") -> Gone:
        """Walk on from where every call before has lost its payload; those that are not free yet are met again."""
        days = 0.0 if config.payloads == "off" else config.payload_days
        if days is None:
            return Gone()
        walk, end, at_us = "payloads", first_id(self._before_us(days)), self._now()
        position = start = await self._database.read_async(lambda tx: erasing.mark(tx, project_id, walk))
        first_kept: bytes | None = None
        gone, runs = Gone(), set[bytes]()
        while True:
            found = await self._candidates(project_id, position, end, at_us)
            if not found:
                break
            free = [call.id for call in found if call.is_free and call.has_payload]
            gone += Gone(payloads=len(free)) + await self._erase(project_id, free, _empty_call)
            kept = [call.id for call in found if not call.is_free]
            first_kept = first_kept or (kept[0] if kept else None)
            runs |= await self._runs_of(project_id, [call.id for call in found if call.is_free and call.has_run])
            position = found[-1].id
        for run_id in runs:
            gone += await self._erase(project_id, [run_id], erasing.empty_run, RUN_FINISHED)
        gone += await self._age_callless(project_id, "run payloads", end, _empty_run)
        reached = _before(first_kept) if first_kept is not None else position
        if reached > start:
            await self._database.write_async(lambda tx: erasing.set_mark(tx, project_id, walk, reached))
        return gone

    async def _redact_payloads(self, project_id: str) -> Gone:
        """The same walk; a run before its calls, because a call that was redacted is not looked at again."""
        walk, end, at_us = "redacted", first_id(self._now()), self._now()
        position = start = await self._database.read_async(lambda tx: erasing.mark(tx, project_id, walk))
        first_kept: bytes | None = None
        gone = Gone()
        while found := await self._candidates(project_id, position, end, at_us):
            kept = [call.id for call in found if not call.is_free]
            first_kept = first_kept or (kept[0] if kept else None)
            due = [call for call in found if call.is_free and call.has_payload and not call.is_redacted]
            for run_id in await self._runs_of(project_id, [call.id for call in due if call.has_run]):
                gone += await self._replace_run(project_id, run_id, await self.redacted_run(project_id, run_id))
            for call in due:
                one = await self.redacted_call(project_id, call.id)
                gone += Gone(payloads=1) + await self._erase(project_id, [call.id], one)
            position = found[-1].id
        gone += await self._age_callless(project_id, "redacted runs", end, self.redacted_run)
        reached = _before(first_kept) if first_kept is not None else position
        if reached > start:
            await self._database.write_async(lambda tx: erasing.set_mark(tx, project_id, walk, reached))
        return gone

    async def _age_callless(
        self, project_id: str, walk: str, end: bytes, one: Callable[[str, bytes], Awaitable[Replace | None]]
    ) -> Gone:
        """The payloads of finished runs that made no call; on from where every run before is over."""
        position = start = await self._database.read_async(lambda tx: erasing.mark(tx, project_id, walk))
        first_kept: bytes | None = None
        gone = Gone()
        while found := await self._runs_between(project_id, position, end):
            for run_id, is_over, is_due in found:
                first_kept = first_kept or (None if is_over else run_id)
                if is_due:
                    gone += await self._replace_run(project_id, run_id, await one(project_id, run_id))
            position = found[-1][0]
        reached = _before(first_kept) if first_kept is not None else position
        if reached > start:
            await self._database.write_async(lambda tx: erasing.set_mark(tx, project_id, walk, reached))
        return gone

    async def _replace_run(self, project_id: str, run_id: bytes, how: Replace | None) -> Gone:
        return await self._erase(project_id, [run_id], how, RUN_FINISHED) if how is not None else Gone()

    async def _runs_between(self, project_id: str, after: bytes, end: bytes) -> list[tuple[bytes, bool, bool]]:
        return await self._database.read_async(lambda tx: erasing.runs_between(tx, project_id, after, end, LOOK))

    async def _age_calls(self, project_id: str, config: "RetentionConfig") -> Gone:
        if config.calls_days is None:
            return Gone()
        end, at_us = first_id(self._before_us(config.calls_days)), self._now()
        position, gone = b"", Gone()
        folded = set(await self._database.read_async(folding.hours))
        while found := await self._candidates(project_id, position, end, at_us):
            old = [call.id for call in found if call.is_free and call.is_settled and not call.has_run]
            old = await self._in_the_bill(project_id, old, folded)
            gone += Gone(calls=len(old)) + await self._erase(project_id, old, erasing.delete_call)
            position = found[-1].id
        return gone

    async def _age_runs(self, project_id: str, config: "RetentionConfig") -> Gone:
        """Runs that were made so long ago and are over; one with a call that is not settled stays whole."""
        if config.runs_days is None:
            return Gone()
        before, gone = first_id(self._before_us(config.runs_days)), Gone()
        folded = set(await self._database.read_async(folding.hours))
        for run_id in await self._database.read_async(lambda tx: erasing.old_runs(tx, project_id, before, LOOK)):
            calls = await self._database.read_async(partial(_calls_of_run, project_id, run_id))
            if len(await self._in_the_bill(project_id, calls, folded)) < len(calls):
                continue
            gone += Gone(calls=len(calls)) + await self._erase(project_id, calls, erasing.delete_call)
            gone += Gone(runs=1) + await self._erase(project_id, [run_id], erasing.delete_run, RUN_FINISHED)
        return gone

    async def _candidates(self, project_id: str, after: bytes, end: bytes, at_us: int) -> list[erasing.OldCall]:
        return await self._database.read_async(lambda tx: erasing.candidates(tx, project_id, after, end, at_us, LOOK))

    async def _runs_of(self, project_id: str, call_ids: Sequence[bytes]) -> set[bytes]:
        if not call_ids:
            return set()
        return await self._database.read_async(lambda tx: erasing.runs_of(tx, project_id, call_ids))

    async def _in_the_bill(self, project_id: str, call_ids: Sequence[bytes], folded: set[int]) -> list[bytes]:
        """Those whose attempts are all settled and counted in the bill of the past."""

        def query(tx: Tx) -> list[bytes]:
            return [
                call_id
                for call_id in call_ids
                if all(
                    is_settled and hour_of(attempt_id) in folded
                    for attempt_id, is_settled in erasing.attempts_of(tx, project_id, call_id)
                )
            ]

        return await self._database.read_async(query)

    # the transactions ------------------------------------------------------------------------------------------------

    async def _erase(
        self,
        project_id: str,
        ids: Sequence[bytes],
        one: Callable[[Tx, str, bytes], list[BlobRef]],
        topic: str = CALL_CLOSED,
    ) -> Gone:
        """Do this to each, a few in a transaction; then remove the blobs that nobody names any more."""
        blobs: list[BlobRef] = []
        for start in range(0, len(ids), BATCH):
            some = ids[start : start + BATCH]

            def write(tx: Tx, some: Sequence[bytes] = some) -> list[BlobRef]:
                erasing.secure(tx, True)
                try:
                    for identifier in some:  # the projections take their part out too
                        self._publish(tx, project_id, topic, identifier)
                    return [blob for identifier in some for blob in one(tx, project_id, identifier)]
                finally:
                    erasing.secure(tx, False)

            blobs += await self._database.write_async(write)
        removed = 0
        for blob in blobs:
            if not await self._database.read_async(partial(_is_named, blob)):
                await asyncio.to_thread(self._contents.delete_blob, blob.project_id, blob.digest)
                removed += 1
        return Gone(blobs=removed)

    def _forget_call(self, tx: Tx, project_id: str, call_id: bytes) -> list[BlobRef]:
        blobs = erasing.empty_call(tx, project_id, call_id)
        erasing.anonymise_call(tx, project_id, call_id)
        self._publish(tx, project_id, TRACE_FORGOTTEN, erasing.trace_of(tx, project_id, call_id))
        return blobs

    def _take_out_run(self, tx: Tx, project_id: str, run_id: bytes) -> list[BlobRef]:
        blobs = erasing.empty_run(tx, project_id, run_id)
        erasing.anonymise_run(tx, project_id, run_id)
        self._publish(tx, project_id, TRACE_FORGOTTEN, run_id)  # a run's trace is named like it
        return blobs

    def _before_us(self, days: float) -> int:
        return self._now() - round(days * DAY_US)


def _of_user(project_id: str, user: str, after: bytes, tx: Tx) -> tuple[list[bytes], bytes | None]:
    return erasing.of_user(tx, project_id, user, after, 10 * LOOK)


def _calls_of_run(project_id: str, run_id: bytes, tx: Tx) -> list[bytes]:
    return erasing.calls_of_run(tx, project_id, run_id)


def _is_named(blob: BlobRef, tx: Tx) -> bool:
    return erasing.is_named(tx, blob.project_id, blob.digest)


def _empty_call(tx: Tx, project_id: str, call_id: bytes) -> list[BlobRef]:
    erasing.drop_key(tx, project_id, call_id)
    return erasing.empty_call(tx, project_id, call_id)


async def _empty_run(project_id: str, run_id: bytes) -> Replace:
    return erasing.empty_run


def _before(identifier: bytes) -> bytes:
    """The largest id below this one."""
    return (int.from_bytes(identifier) - 1).to_bytes(16)
