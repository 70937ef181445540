"""A followed run tells what its model says while it says it, and the journal's events with their numbers."""

import asyncio

from mooring import App
from mooring.client import Finished, TextDelta
from mooring.core import ids

from .conftest import Open


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
