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

from .exchange import Exchange
from .server import caller_of

ENDED = ("completed", "failed", "cancelled", "parked")
QUIET_SECONDS = 15.0  # then a comment keeps proxies from closing the stream
MOST_WAITING = 256  # pieces for a slow reader; beyond that the run's models are read no faster than it reads
END = b"event: end\ndata: {}\n\n"


async def follow(rooms: Server, exchange: Exchange, run_id: bytes, *, after: int) -> AsyncIterator[bytes]:
    """The run as server-sent events, from the event behind `after` until it has ended or is parked.

    Without its end where the client hangs up, or this server must: whoever follows goes on elsewhere.
    """
    project_id = caller_of(exchange).project_id
    pieces: asyncio.Queue[bytes | None] = asyncio.Queue(MOST_WAITING)
    told: set[str] = set()
    telling = asyncio.create_task(_tell_events(rooms, project_id, run_id, after, pieces, told))
    leaving = [asyncio.create_task(exchange.disconnected()), asyncio.create_task(rooms.draining.wait())]
    beside = [
        asyncio.create_task(_tell_text(rooms, project_id, run_id, pieces, told)),
        asyncio.create_task(_tell_end(pieces, [telling, *leaving])),
    ]
    try:
        while (piece := await pieces.get()) is not None:
            yield piece
        if telling.done():
            telling.result()
            yield END
    finally:
        tasks = [telling, *leaving, *beside]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _tell_end(pieces: "asyncio.Queue[bytes | None]", tasks: "list[asyncio.Task[Any]]") -> None:
    """After the first of these nothing more is told."""
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    await pieces.put(None)


async def _tell_events(
    rooms: Server, project_id: str, run_id: bytes, after: int, pieces: "asyncio.Queue[bytes | None]", told: set[str]
) -> None:
    while True:
        has_ended = (await rooms.journal.get_run(project_id, run_id)).state in ENDED
        seconds = 0.0 if has_ended else QUIET_SECONDS
        found = await rooms.journal.wait_events(project_id, run_id, after=after, timeout_seconds=seconds)
        for event in found:
            after = event.seq
            if event.kind == "model.finished":
                told.add(str(msgspec.json.decode(event.payload).get("step")))
            data = msgspec.json.encode(show_event(event))
            await pieces.put(b"id: %d\nevent: %s\ndata: %s\n\n" % (event.seq, event.kind.encode(), data))
        if not found:
            if has_ended:
                return
            await pieces.put(b": keep-alive\n\n")


async def _tell_text(
    rooms: Server, project_id: str, run_id: bytes, pieces: "asyncio.Queue[bytes | None]", told: set[str]
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
