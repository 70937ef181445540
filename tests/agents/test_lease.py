"""Who lost the lease stops silently; what it was doing is not written twice."""

import asyncio

from mooring import App

from .conftest import Open


def test_a_worker_whose_run_was_taken_over_stops_silently(world: Open) -> None:
    began, may_end = asyncio.Event(), asyncio.Event()
    app = App("test")
    calls: list[int] = []

    @app.tool
    async def look() -> str:
        calls.append(1)
        if len(calls) == 1:
            began.set()
            await may_end.wait()
        return f"call {len(calls)}"

    app.agent("a", model="sim/agent", tools=[look])

    async def scenario() -> None:
        async with world() as w:
            record = await w.start("a")
            first = asyncio.create_task(w.work(app))
            await began.wait()
            await w.worker.database.write_async(
                lambda tx: tx.execute("UPDATE runs SET lease_until_us = 0 WHERE id = ?", (record.id,))
            )
            await w.work(app)
            kinds = await w.kinds(record)
            may_end.set()
            await first
            assert await w.kinds(record) == kinds
            assert kinds.count("tool.finished") == 1
            assert (await w.worker.journal.get_run("default", record.id)).state == "completed"

    asyncio.run(scenario())


def test_the_lease_is_renewed_while_a_tool_works(world: Open) -> None:
    app = App("test")
    untils: list[int | None] = []

    async def scenario() -> None:
        async with world() as w:
            record = await w.start("a")

            @app.tool
            async def wait() -> str:
                """Until the lease was renewed twice."""
                while len(set(untils)) < 3:
                    untils.append((await w.worker.journal.get_run("default", record.id)).lease_until_us)
                return "done"

            app.agent("a", model="sim/agent", tools=[wait])
            await w.work(app, lease_seconds=0.3)
            assert (await w.worker.journal.get_run("default", record.id)).state == "completed"

    asyncio.run(scenario())
