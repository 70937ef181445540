"""Traffic: bytes by hop, how much more of them there is than the caller's own, and what was sent again.

`serve` counts at its sockets and writes one row a second (`Edge`); the attempts' own bytes are the journal's. A hop on
which nothing was counted is unknown, never zero.
"""

import asyncio
import contextlib
import logging
import struct
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from mooring.core import ids
from mooring.core.clock import Clock
from mooring.core.errors import InvalidRequest, MooringError
from mooring.core.ids import NewId, show
from mooring.journal.contents import BlobStore, Contents
from mooring.journal.journal import Journal
from mooring.journal.repository.outbox import OutboxRow
from mooring.storage import Database, Tx

from .repository import traffic as rows
from .repository.traffic import Exchanged
from .spans import Spans
from .tracing import Trace

log = logging.getLogger("mooring.tracing")

Hop = Literal["client-serve", "worker-serve", "serve-provider", "serve-local"]
HOPS: tuple[Hop, ...] = ("client-serve", "worker-serve", "serve-provider", "serve-local")
CLIENT, WORKER = 0, 1
_RECORD = struct.Struct("<16sBqq")
FLUSH_SECONDS = 1.0
PRUNE_SECONDS = 3_600
MOST_BYTES = 1 << 20  # waiting in memory: what comes beyond it is counted as lost, not kept


class HopTraffic(msgspec.Struct, frozen=True):
    """Bytes of a trace on one hop; up is away from the caller."""

    hop: Hop
    exchanges: int
    bytes_up: int
    bytes_down: int


class StepTraffic(msgspec.Struct, frozen=True):
    """What one model call of a run sent of its conversation: in all, and of it again."""

    call_id: bytes
    conversation_bytes: int
    resent_bytes: int


class Report(msgspec.Struct, frozen=True):
    """The traffic of a trace. `amplification`: bytes on all hops for each byte of the caller's; `resend_factor`: bytes
    of the conversation that were sent for each new one. None: not known, or there is none.
    """

    hops: tuple[HopTraffic, ...]
    caller_bytes: int | None
    amplification: float | None
    steps: tuple[StepTraffic, ...]
    resend_factor: float | None


class Edge:
    """Counts exchanges: an addition to a buffer for each, one row a second for all."""

    def __init__(self, database: Database, *, process_id: bytes, clock: Clock, new_id: NewId) -> None:
        self._database = database
        self._process_id = process_id
        self._clock = clock
        self._new_id = new_id
        self._buffer = bytearray()
        self.lost = 0

    def count(self, shown_call_id: str, *, is_service: bool, bytes_up: int, bytes_down: int) -> None:
        """One exchange that answered a call; whole, heads included, as the socket saw it."""
        self._count("call", shown_call_id, WORKER if is_service else CLIENT, bytes_up, bytes_down)

    def count_run(self, shown_run_id: str, *, bytes_up: int, bytes_down: int) -> None:
        """One exchange about a run as a whole: its start, a look at it, its followed events. Workers make none."""
        self._count("run", shown_run_id, CLIENT, bytes_up, bytes_down)

    def _count(self, kind: Literal["call", "run"], shown_id: str, hop: int, bytes_up: int, bytes_down: int) -> None:
        try:
            subject_id = ids.read(kind, shown_id)
        except InvalidRequest:
            return
        if len(self._buffer) >= MOST_BYTES:
            self.lost += 1
            return
        self._buffer += _RECORD.pack(subject_id, hop, bytes_up, bytes_down)

    async def prune(self, *, before_us: int) -> int:
        """Forget what was counted before this time."""
        return await self._database.write_async(lambda tx: rows.prune(tx, before_us))

    async def flush(self) -> None:
        """Write what was counted."""
        if not self._buffer:
            return
        data, self._buffer = bytes(self._buffer), bytearray()
        row = OutboxRow(self._new_id(), "", rows.TOPIC, self._new_id(), self._clock.now_us())
        try:
            await self._database.write_async(lambda tx: rows.put(tx, row, self._process_id, data))
        except MooringError as error:
            log.warning("bytes were counted and not kept: %s", error)
            self.lost += len(data) // _RECORD.size

    async def run(self, *, keep_days: int) -> None:
        """Until cancelled; what was counted last is written then. Once an hour what is too old is forgotten."""
        prune_at = self._clock.monotonic()
        try:
            while True:
                await asyncio.sleep(FLUSH_SECONDS)
                await self.flush()
                if self._clock.monotonic() >= prune_at:
                    prune_at += PRUNE_SECONDS
                    with contextlib.suppress(MooringError):
                        await self.prune(before_us=self._clock.now_us() - keep_days * 86_400_000_000)
        finally:
            await asyncio.shield(self.flush())


class TrafficFollower:
    """Applies the batches to the projection."""

    def __init__(self, journal: Journal, spans: Spans) -> None:
        self._journal = journal
        self._spans = spans

    async def catch_up(self) -> int:
        """Apply what there is; how many batches that were."""
        done = 0
        while pending := await self._journal.outbox(rows.TOPIC):
            await self.apply([row.subject_id for row in pending])
            await self._journal.outbox_done([row.id for row in pending])
            done += len(pending)
        return done

    async def apply(self, batch_ids: Sequence[bytes]) -> None:
        """Write these batches' exchanges; twice is once."""
        found = await self._journal.read(lambda tx: rows.batches(tx, batch_ids))

        def write(tx: Tx) -> None:
            for batch_id, data in found:
                rows.apply(tx, batch_id, [Exchanged(*record) for record in _RECORD.iter_unpack(data)])

        await (await self._spans.opened()).write_async(write)

    async def rebuild(self) -> None:
        """Apply everything again."""
        last = b""
        while batch_ids := await self._journal.read(lambda tx, a=last: rows.after(tx, a, 100)):  # type: ignore[misc]
            await self.apply(batch_ids)
            last = batch_ids[-1]


async def report(journal: Journal, spans: Spans, blobs: BlobStore, trace: Trace) -> Report:
    """The traffic of a trace."""
    calls = trace.calls
    own = await spans.opened()
    subjects = [one.call.id for one in calls] + ([trace.run.id] if trace.run is not None else [])
    exchanged = await own.read_async(lambda tx: rows.of_subjects(tx, subjects))
    hops = (*_edges(exchanged), *_upstream(trace))
    steps: tuple[StepTraffic, ...] = ()
    run = trace.run
    if run is not None:
        contents = Contents(blobs)
        steps = await journal.read(lambda tx: resent(tx, contents, trace.project_id, run.id))
    at_client = [hop.bytes_up + hop.bytes_down for hop in hops if hop.hop == "client-serve" and hop.exchanges]
    caller = at_client[0] if at_client else None
    if caller is None and run is not None:  # started on this machine, not over HTTP: its input and output
        caller = len(run.input) + len(run.output or b"")
    sent = sum(step.conversation_bytes for step in steps)
    new = sent - sum(step.resent_bytes for step in steps)
    total = sum(hop.bytes_up + hop.bytes_down for hop in hops)
    return Report(hops, caller, total / caller if caller else None, steps, sent / new if new else None)


def _edges(exchanged: Iterable[Exchanged]) -> list[HopTraffic]:
    found: list[HopTraffic] = []
    for number, hop in ((CLIENT, HOPS[0]), (WORKER, HOPS[1])):
        some = [one for one in exchanged if one.hop == number]
        found.append(HopTraffic(hop, len(some), sum(o.bytes_up for o in some), sum(o.bytes_down for o in some)))
    return found


def _upstream(trace: Trace) -> list[HopTraffic]:
    sends = [one for call in trace.calls if call.call.kind != "tool" for one in call.attempts]
    found: list[HopTraffic] = []
    for is_local, hop in ((False, HOPS[2]), (True, HOPS[3])):
        some = [one for one in sends if one.target.startswith("local/") == is_local and one.bytes_up]
        found.append(HopTraffic(hop, len(some), sum(o.bytes_up for o in some), sum(o.bytes_down for o in some)))
    return found


def resent(tx: Tx, contents: Contents, project_id: str, run_id: bytes) -> tuple[StepTraffic, ...]:
    """Each model call's conversation, and how much of it the run had sent before.

    Every row of elements is read once, whatever the length of the run: a chain's size is its parent's and its own.
    """
    sizes: dict[bytes, int] = {}
    found: list[StepTraffic] = []
    for call_id, tip in rows.tips(tx, project_id, run_id):
        known = _known_size(tx, contents, project_id, tip, sizes)
        found.append(StepTraffic(call_id, sizes[tip], known))
    return tuple(found)


def _known_size(tx: Tx, contents: Contents, project_id: str, tip: bytes, sizes: dict[bytes, int]) -> int:
    """Fill in the sizes up to `tip`; how much of it was known before."""
    new: list[tuple[bytes, int]] = []
    at: bytes | None = tip
    while at is not None and at not in sizes:
        element = rows.element(tx, project_id, at)
        if element is None:
            break
        parent, codec, data = element
        new.append((at, sum(map(len, contents.elements_of(project_id, codec, data)))))
        at = parent
    before = sizes.get(at, 0) if at is not None else 0
    size = before
    for element_id, length in reversed(new):
        size += length
        sizes[element_id] = size
    sizes.setdefault(tip, size)
    return before


def to_json(found: Report) -> dict[str, object]:
    """As JSON values; a hop on which nothing was counted has null bytes."""
    return {
        "hops": [
            {
                "hop": hop.hop,
                "exchanges": hop.exchanges,
                "bytes_up": hop.bytes_up if hop.exchanges else None,
                "bytes_down": hop.bytes_down if hop.exchanges else None,
            }
            for hop in found.hops
        ],
        "caller_bytes": found.caller_bytes,
        "amplification": None if found.amplification is None else round(found.amplification, 2),
        "steps": [
            {
                "call": show("call", step.call_id),
                "conversation_bytes": step.conversation_bytes,
                "resent_bytes": step.resent_bytes,
            }
            for step in found.steps
        ],
        "resend_factor": None if found.resend_factor is None else round(found.resend_factor, 2),
    }


def to_text(found: Report) -> list[str]:
    """A line each."""
    lines = ["traffic"]
    for hop in found.hops:
        bytes_ = f"{hop.bytes_up:>12,} up {hop.bytes_down:>12,} down" if hop.exchanges else "not counted".rjust(15)
        lines.append(f"  {hop.hop:15} {hop.exchanges:6,} exchanges  {bytes_}")
    if found.amplification is not None:
        lines.append(f"  amplification {found.amplification:.1f}: bytes on all hops for each of the caller's")
    if found.resend_factor is not None:
        sent = sum(step.conversation_bytes for step in found.steps)
        again = sum(step.resent_bytes for step in found.steps)
        lines.append(
            f"  resend factor {found.resend_factor:.1f}: {again:,} of {sent:,} bytes of conversation were sent again"
        )
        most = max(found.steps, key=lambda step: step.resent_bytes)
        lines.append(
            f"  most at {show('call', most.call_id)}: {most.resent_bytes:,} of {most.conversation_bytes:,} bytes"
        )
    return lines
