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
    teller = Teller(rooms, caller_of(exchange).project_id, run_id, after)
    telling = asyncio.create_task(teller.tell_events())
    leaving = [asyncio.create_task(exchange.disconnected()), asyncio.create_task(rooms.draining.wait())]
    beside = [
        asyncio.create_task(teller.tell_text()),
        asyncio.create_task(teller.tell_end([telling, *leaving])),
    ]
    try:
        while (piece := await teller.pieces.get()) is not None:
            yield piece
        if telling.done():
            telling.result()
            yield END
    finally:
        tasks = [telling, *leaving, *beside]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Teller:
    """One follower: two sources, events and live text, told in the order in which they happened."""

    def __init__(self, rooms: Server, project_id: str, run_id: bytes, after: int) -> None:
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue(MOST_WAITING)
        self._rooms = rooms
        self._project_id = project_id
        self._run_id = run_id
        self._after = after
        self._told: set[str] = set()  # steps whose text the journal has told whole
        self._turn = asyncio.Lock()  # one source at a time, so that neither overtakes the other

    async def tell_events(self) -> None:
        """Until the run has ended and its last event is told."""
        journal = self._rooms.journal
        while True:
            has_ended = (await journal.get_run(self._project_id, self._run_id)).state in ENDED
            seconds = 0.0 if has_ended else QUIET_SECONDS
            found = await journal.wait_events(
                self._project_id, self._run_id, after=self._after, timeout_seconds=seconds
            )
            if found:
                async with self._turn:
                    await self._tell(found)
            elif has_ended:
                return
            else:
                await self.pieces.put(b": keep-alive\n\n")

    async def tell_text(self) -> None:
        """What the models say; before the first text of a step, the events that came before it."""
        step = None
        async for said in self._rooms.gateway.live_text(self._project_id, self._run_id):
            async with self._turn:
                if said.step != step:
                    step = said.step
                    await self._tell(
                        await self._rooms.journal.events(self._project_id, self._run_id, after=self._after)
                    )
                if step not in self._told:
                    data = msgspec.json.encode({"kind": "text.delta", "payload": {"step": step, "text": said.text}})
                    await self.pieces.put(b"event: text.delta\ndata: %s\n\n" % data)

    async def tell_end(self, tasks: "list[asyncio.Task[Any]]") -> None:
        """After the first of these nothing more is told."""
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await self.pieces.put(None)

    async def _tell(self, found: list[RunEvent]) -> None:
        for event in found:
            if event.seq <= self._after:
                continue  # the other source has told it meanwhile
            self._after = event.seq
            if event.kind == "model.finished":
                self._told.add(str(msgspec.json.decode(event.payload).get("step")))
            data = msgspec.json.encode(show_event(event))
            await self.pieces.put(b"id: %d\nevent: %s\ndata: %s\n\n" % (event.seq, event.kind.encode(), data))


def show_event(event: RunEvent) -> dict[str, Any]:
    """JSON of one event of a run."""
    return {
        "seq": event.seq,
        "kind": event.kind,
        "at_us": event.at_us,
        "call_id": ids.show("call", event.call_id) if event.call_id else None,
        "payload": msgspec.Raw(event.payload),
    }
