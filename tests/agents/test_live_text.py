"""A followed run tells what its model says while it says it, and the journal's events with their numbers."""

import asyncio

from mooring import App
from mooring.client import Finished, TextDelta
from mooring.core import ids
from mooring.server.following import Teller

from .conftest import PROJECT, Open


def test_text_comes_live_and_is_not_told_twice(world: Open) -> None:
    app = App("live")
    app.agent("talk", model="sim/writer-24words-2ms")

    async def scenario() -> None:
        async with world() as w, w.client() as client:
            record = await w.start("talk")
            run = await client.runs.get(ids.show("run", record.id))
            working = asyncio.create_task(w.work(app))
            events = [event async for event in run.stream()]
            await working
        texts = [event.text for event in events if isinstance(event, TextDelta)]
        assert len(texts) > 4
        assert isinstance(events[-1], Finished)
        assert "".join(texts) == events[-1].output

    asyncio.run(scenario())


def test_live_text_never_overtakes_the_events_before_its_step(world: Open) -> None:
    app = App("live")

    @app.tool
    def refund(order: str) -> str:
        return f"refunded {order}"

    app.agent("talk", model="sim/agent", tools=[refund])

    async def scenario() -> list[bytes]:
        async with world() as w:
            record = await w.start("talk", "Order 81 came broken")
            teller = Teller(w.serve, PROJECT, record.id, 0)
            telling = asyncio.create_task(teller.tell_text())  # nobody reads the events: text alone brings them
            await w.work(app)
            pieces = [await teller.pieces.get()]
            while b"text.delta" not in (pieces[-1] or b""):
                pieces.append(await teller.pieces.get())
            telling.cancel()
            return [piece.partition(b"event: ")[2].partition(b"\n")[0] for piece in pieces if piece]

    assert asyncio.run(scenario())[-2:] == [b"tool.finished", b"text.delta"]
