"""With `serve` away a run waits; it finds it again at whatever address it comes back."""

import asyncio
from pathlib import Path

import pytest

from mooring import App, AsyncClient
from mooring.agents import AgentRunner
from mooring.client.encoding import canonical
from mooring.core import ids
from mooring.journal.records import NewRun
from mooring.sim import SimServer
from mooring.storage import Home
from mooring.wiring import build

from .conftest import config_for, serving


def test_a_run_waits_for_serve_and_follows_it_to_another_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOORING_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MOORING_URL", raising=False)
    app = App("test")
    began, may_end = asyncio.Event(), asyncio.Event()

    @app.tool
    async def look() -> str:
        began.set()
        await may_end.wait()
        return "found"

    app.agent("a", model="sim/agent", tools=[look])

    async def scenario() -> None:
        home = Home(tmp_path / "home")
        async with SimServer() as sim, build(config_for(sim), home, kind="worker") as worker:
            run = NewRun(id=ids.new_id(), project_id="default", handler="agent", name="a", input=canonical("Go."))
            record = await worker.journal.create_run(run)
            claimed = await worker.journal.claim_run(["agent"])
            assert claimed is not None
            handler = AgentRunner(worker.journal, AsyncClient, app)
            working = asyncio.create_task(handler.run(claimed))
            await worker.journal.wait_events("default", record.id, after=0, timeout_seconds=10)
            async with serving(config_for(sim), home):
                await began.wait()
            may_end.set()
            async with serving(config_for(sim), home):
                await working
                await handler.close()
            assert (await worker.journal.get_run("default", record.id)).state == "completed"
            assert sim.meter.totals().rows == 2

    asyncio.run(scenario())


def test_another_homes_serve_on_the_port_of_ours_is_not_mistaken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOORING_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MOORING_URL", raising=False)
    app = App("test")
    began, may_end = asyncio.Event(), asyncio.Event()

    @app.tool
    async def look() -> str:
        began.set()
        await may_end.wait()
        return "found"

    app.agent("a", model="sim/agent", tools=[look])

    async def scenario() -> None:
        home, other = Home(tmp_path / "home"), Home(tmp_path / "other")
        async with SimServer() as sim, build(config_for(sim), home, kind="worker") as worker:
            run = NewRun(id=ids.new_id(), project_id="default", handler="agent", name="a", input=canonical("Go."))
            record = await worker.journal.create_run(run)
            claimed = await worker.journal.claim_run(["agent"])
            assert claimed is not None
            handler = AgentRunner(worker.journal, AsyncClient, app)
            async with serving(config_for(sim), home) as (_, url):
                working = asyncio.create_task(handler.run(claimed))
                await began.wait()
            refused = asyncio.Event()
            async with serving(config_for(sim), other, port=int(url.rpartition(":")[2])) as (foreign, _):
                verify = foreign.keys.verify

                async def watched(secret: str) -> object:
                    refused.set()
                    return await verify(secret)

                monkeypatch.setattr(foreign.keys, "verify", watched)
                may_end.set()
                await refused.wait()
            async with serving(config_for(sim), home):
                await working
                await handler.close()
            assert (await worker.journal.get_run("default", record.id)).state == "completed"

    asyncio.run(scenario())
