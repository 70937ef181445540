"""What a tool's context does for it, in both kinds of tools."""

import asyncio
import time
from pathlib import Path

import msgspec

from mooring import App, AsyncContext, Context
from mooring.agents.online import OnlineEffects
from mooring.agents.serving import Serve
from mooring.core import ids
from mooring.core.clock import ManualClock, SystemClock
from mooring.journal.records import RunRecord

from .conftest import Open, World


async def results(w: World, run: RunRecord) -> list[str]:
    return [msgspec.json.decode(e.payload)["text"] for e in await w.events(run) if e.kind == "tool.finished"]


def test_a_blocking_tool_has_steps_models_and_sleep_too(world: Open) -> None:
    app = App("test")

    @app.tool
    def work(ctx: Context) -> str:
        ctx.sleep(0)
        return ctx.step("ask", lambda: ctx.model("Say hi", model="sim/echo").text)

    @app.tool
    async def work_too(ctx: AsyncContext) -> str:
        async def ask() -> str:
            return (await ctx.model("Say ho", model="sim/echo")).text

        await ctx.sleep(0)
        return await ctx.step("ask", ask)

    app.agent("a", model="sim/agent", tools=[work, work_too])

    async def scenario() -> None:
        async with world() as w:
            run = await w.run(app, "a")
            assert await results(w, run) == ["Say hi", "Say ho"]

    asyncio.run(scenario())


def test_a_sleep_that_began_before_waits_for_the_rest_only(world: Open) -> None:
    clock = ManualClock()
    app = App("test")

    @app.tool
    async def nap(ctx: AsyncContext) -> str:
        await ctx.sleep(3600)
        return "awake"

    app.agent("a", model="sim/agent", tools=[nap])

    async def scenario() -> None:
        async with world() as w:
            record = await w.start("a")
            first = asyncio.create_task(w.work(app, clock=clock))
            seen = 0
            while "step.finished" not in await w.kinds(record):
                found = await w.worker.journal.wait_events("default", record.id, after=seen, timeout_seconds=10)
                seen = found[-1].seq
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            await w.worker.database.write_async(
                lambda tx: tx.execute("UPDATE runs SET lease_until_us = 0 WHERE id = ?", (record.id,))
            )
            clock.advance(3601)
            began = time.monotonic()
            await w.work(app, clock=clock)
            assert await results(w, record) == ["awake"]
            assert time.monotonic() - began < 600

    asyncio.run(scenario())


def test_dependencies_are_made_once_per_worker_and_handed_to_tools(world: Open) -> None:
    made: list[dict[str, str]] = []

    def make() -> dict[str, str]:
        made.append({"shop": "open"})
        return made[-1]

    app = App("test", deps=make)

    @app.tool
    def look(ctx: Context) -> str:
        return f"{ctx.deps['shop']} {ctx.user} {ctx.session} {ctx.run_id[:4]}"

    app.agent("a", model="sim/agent", tools=[look, app.tool(name="again")(lambda: "x")])

    async def scenario() -> None:
        async with world() as w:
            run = await w.run(app, "a")
            assert (await results(w, run))[0] == "open u_1 None run_"
            assert len(made) == 1

    asyncio.run(scenario())


def test_a_collections_search_is_a_tool_that_finds_passages(world: Open, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "returns.md").write_text("# Returns\n\nA broken order may be returned within thirty days.\n")
    app = App("test")
    app.agent("a", model="sim/agent", tools=[app.collection("handbook").search])

    async def scenario() -> None:
        async with world() as w:
            await w.serve.rag.ingest("default", "handbook", folder)
            run = await w.run(app, "a", "broken order")
            [found] = await results(w, run)
            assert "thirty days" in msgspec.json.decode(found)[0]["text"]
            async with w.client() as client:
                hits = await client.search("broken order", collection="handbook")
                assert hits[0].path == "returns.md"

    asyncio.run(scenario())


def test_a_collections_filter_holds_for_its_tool_and_ctx_search_takes_one(world: Open, tmp_path: Path) -> None:
    folder = handbook(tmp_path)
    (folder / "hr").mkdir()
    (folder / "hr" / "secret.md").write_text("# Orders\n\nA broken order is a secret.\n")
    app = App("test")

    @app.tool(name="look", touches="read")
    async def look(ctx: AsyncContext) -> list[str]:
        hits = await ctx.search("handbook", "broken order", filter={"file.folder": "hr"})
        return [hit.path for hit in hits]

    searchable = app.collection("handbook", filter={"file.path": "returns.md"})
    app.agent("a", model="sim/agent", tools=[searchable.search, look])

    async def scenario() -> None:
        async with world() as w:
            await w.serve.rag.ingest("default", "handbook", folder)
            run = await w.run(app, "a", "broken order")
            found = [msgspec.json.decode(each) for each in await results(w, run)]
            assert [each["path"] for each in found[0]] == ["returns.md"]
            assert found[1] == ["hr/secret.md"]

    asyncio.run(scenario())


def handbook(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "returns.md").write_text("# Returns\n\nA broken order may be returned within thirty days.\n")
    return folder


def test_a_search_in_a_tool_is_part_of_the_run_and_on_its_users_bill(world: Open, tmp_path: Path) -> None:
    app = App("test")
    app.agent("a", model="sim/agent", tools=[app.collection("handbook").search])

    async def scenario() -> None:
        async with world(rag={"embedding_model": "sim/embed"}) as w:
            await w.serve.rag.ingest("default", "handbook", handbook(tmp_path))
            run = await w.run(app, "a", "broken order")
            assert run.state == "completed"
            calls = [call for call in await w.serve.journal.list_calls("default") if call.run_id == run.id]
            searched = [call for call in calls if call.kind in ("retrieval", "embedding")]
            assert {call.kind for call in searched} == {"retrieval", "embedding"}
            assert {(call.user, call.trace_id) for call in searched} == {("u_1", run.id)}
            assert all(call.step and call.step.startswith("1.tool.0/search#1") for call in searched)
            assert run.settled_nanos == sum(call.settled_nanos for call in calls)

    asyncio.run(scenario())


def test_a_search_that_is_run_again_gets_the_recorded_passages(world: Open, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(rag={"embedding_model": "sim/embed"}) as w:
            await w.serve.rag.ingest("default", "handbook", handbook(tmp_path))
            record = await w.start("a")
            effects = OnlineEffects(
                record, journal=w.worker.journal, serve=Serve(w.client), clock=SystemClock(), new_id=ids.new_id
            )
            claimed = await w.worker.journal.claim_run(["agent"])
            assert claimed is not None
            effects.record = claimed
            first = await effects.search("1.tool.0/search#1", "handbook", "broken order", 3)
            billed = w.sim.meter.totals().rows
            await w.serve.rag.remove("default", "handbook", "returns.md")
            assert await effects.search("1.tool.0/search#1", "handbook", "broken order", 3) == first
            assert await effects.search("1.tool.0/search#2", "handbook", "broken order", 3) == []
            assert w.sim.meter.totals().rows == billed
            await effects.serve.close()

    asyncio.run(scenario())


def test_a_budget_that_is_spent_ends_the_run_with_its_code(world: Open) -> None:
    app = App("test")
    app.agent("a", model="sim/writer", max_tokens=20)

    async def scenario() -> None:
        async with world() as w:
            await w.serve.journal.put_budget("default", scope="project", subject="", window="day", cap_nanos=1)
            run = await w.run(app, "a")
            assert (run.state, run.error_code) == ("failed", "budget_exceeded")
            assert w.sim.meter.totals().rows == 0

    asyncio.run(scenario())


def test_ids_of_calls_are_told_with_the_model_steps(world: Open) -> None:
    app = App("test")
    app.agent("a", model="sim/echo")

    async def scenario() -> None:
        async with world() as w:
            run = await w.run(app, "a")
            [event] = [event for event in await w.events(run) if event.kind == "model.finished"]
            assert event.call_id is not None
            call = await w.worker.journal.get_call("default", event.call_id)
            assert (call.step, call.run_id, call.trace_id) == ("1.model", run.id, run.id)
            assert call.key == f"run/{ids.show('run', run.id)}/1.model"

    asyncio.run(scenario())
