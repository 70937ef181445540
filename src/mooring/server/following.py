"""A run as it happens: its events from the journal, each with its number, and between them what its models say.

Text that comes live has no number and is provisional; the event of its step holds it whole.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from mooring.core import ids
from mooring.journal.records import RunEvent
from mooring.wiring import Server

ENDED = ("completed", "failed", "cancelled", "parked")
QUIET_SECONDS = 15.0  # then a comment keeps proxies from closing the stream
MOST_WAITING = 256  # pieces for a slow reader; beyond that the run's models are read no faster than it reads
END = b"event: end\ndata: {}\n\n"


async def follow(rooms: Server, project_id: str, run_id: bytes, *, after: int) -> AsyncIterator[bytes]:
    """The run as server-sent events, from the event behind `after` until it has ended or is parked."""
    pieces: asyncio.Queue[bytes] = asyncio.Queue(MOST_WAITING)
    told: set[str] = set()
    telling = [
        asyncio.create_task(_tell_events(rooms, project_id, run_id, after, pieces, told)),
        asyncio.create_task(_tell_text(rooms, project_id, run_id, pieces, told)),
    ]
    try:
        while (piece := await pieces.get()) != END:
            yield piece
        yield END
    finally:
        for task in telling:
            task.cancel()
        await asyncio.gather(*telling, return_exceptions=True)


async def _tell_events(
    rooms: Server, project_id: str, run_id: bytes, after: int, pieces: "asyncio.Queue[bytes]", told: set[str]
) -> None:
    try:
        while True:
            found = await rooms.journal.wait_events(project_id, run_id, after=after, timeout_seconds=QUIET_SECONDS)
            for event in found:
                after = event.seq
                if event.kind == "model.finished":
                    told.add(str(msgspec.json.decode(event.payload).get("step")))
                data = msgspec.json.encode(show_event(event))
                await pieces.put(b"id: %d\nevent: %s\ndata: %s\n\n" % (event.seq, event.kind.encode(), data))
            has_ended = (await rooms.journal.get_run(project_id, run_id)).state in ENDED
            if has_ended and not await rooms.journal.events(project_id, run_id, after=after):
                return
            if not found:
                await pieces.put(b": keep-alive\n\n")
    finally:
        await pieces.put(END)


async def _tell_text(
    rooms: Server, project_id: str, run_id: bytes, pieces: "asyncio.Queue[bytes]", told: set[str]
) -> None:
    async for said in rooms.gateway.live_text(project_id, run_id):
        if said.step not in told:
            data = msgspec.json.encode({"kind": "text.delta", "payload": {"step": said.step, "text": said.text}})
            await pieces.put(b"event: text.delta\ndata: %s\n\n" % data)


def show_event(event: RunEvent) -> dict[str, Any]:
    """JSON of one event of a run."""
    return {
        "seq": event.seq,
        "kind": event.kind,
        "at_us": event.at_us,
        "call_id": ids.show("call", event.call_id) if event.call_id else None,
        "payload": msgspec.Raw(event.payload),
    }
