"""A recorded run re-runs offline, byte for byte; what changed is named by its step."""

import asyncio

import pytest

from mooring import App, Context, Limits
from mooring.agents import AgentRunner, replay
from mooring.client import Tool
from mooring.core.errors import NotFound

from .conftest import Open, World


def shop(
    *, instructions: str = "Be brief.", model: str = "sim/agent", greeting: str = "order", **options: object
) -> App:
    app = App("test")

    @app.tool
    def look(ctx: Context, order: str) -> str:
        """Look an order up."""
        ctx.step("inner", lambda: 1)
        if greeting == "raise":
            raise ValueError("no")
        return f"{greeting} {order}"

    @app.tool(touches="write")
    def refund(order: str) -> dict[str, str]:
        return {"order": order}

    app.agent("a", model=model, tools=[look, refund], instructions=instructions, **options)  # type: ignore[arg-type]
    return app


def handler(w: World, app: App) -> AgentRunner:
    def no_client() -> None:
        raise AssertionError("a replay asks nobody")

    return AgentRunner(w.worker.journal, no_client, app)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["sim/agent", "sim/agent-parallel"])
def test_a_run_replays_offline_with_identical_events(world: Open, model: str) -> None:
    async def scenario() -> None:
        async with world() as w:
            app = shop(model=model)
            run = await w.run(app, "a")
            billed = w.sim.meter.totals().rows
            report = await replay(w.worker.journal, "default", run.id, handler(w, app))
            assert report.divergence is None
            assert (report.is_identical, report.is_whole, report.tool_steps) == (True, True, 2)
            assert report.events == report.model_steps + 2 * 2 + 1
            assert w.sim.meter.totals().rows == billed

    asyncio.run(scenario())


def test_a_changed_prompt_is_named(world: Open) -> None:
    async def scenario() -> None:
        async with world() as w:
            run = await w.run(shop(), "a")
            report = await replay(w.worker.journal, "default", run.id, handler(w, shop(instructions="Be long.")))
            assert report.divergence is not None
            assert report.divergence.step == "run.started"
            assert "definition.instructions" in report.divergence.message
            assert not report.is_identical

    asyncio.run(scenario())


def test_a_changed_model_is_named(world: Open) -> None:
    async def scenario() -> None:
        async with world() as w:
            run = await w.run(shop(), "a")
            report = await replay(w.worker.journal, "default", run.id, handler(w, shop(model="sim/echo")))
            assert report.divergence is not None
            assert "definition.model" in report.divergence.message

    asyncio.run(scenario())


def test_code_that_refuses_a_tool_now_is_named_by_its_step(world: Open) -> None:
    async def scenario() -> None:
        async with world() as w:
            run = await w.run(shop(), "a")
            changed = shop()
            old = changed.agents["a"].tools["look"]

            def look(order: int) -> str:
                return ""

            new = Tool(look)
            new.spec = old.spec  # the model sees the same tool, the code takes other arguments
            changed.agents["a"].tools["look"] = new
            report = await replay(w.worker.journal, "default", run.id, handler(w, changed))
            assert report.divergence is not None
            assert (report.divergence.step, report.divergence.reason) == ("1.tool.0", "unrecorded")

    asyncio.run(scenario())


def test_a_tools_body_is_not_run_again(world: Open) -> None:
    async def scenario() -> None:
        async with world() as w:
            run = await w.run(shop(), "a")
            report = await replay(w.worker.journal, "default", run.id, handler(w, shop(greeting="another")))
            assert report.is_identical

    asyncio.run(scenario())


def test_a_failed_tool_replays(world: Open) -> None:
    async def scenario() -> None:
        async with world() as w:
            app = shop(greeting="raise")
            run = await w.run(app, "a")
            report = await replay(w.worker.journal, "default", run.id, handler(w, app))
            assert report.divergence is None

    asyncio.run(scenario())


@pytest.mark.parametrize("limits", [Limits(max_steps=1), Limits(max_cost_usd="0.000000001"), Limits(max_seconds=0)])
def test_a_run_that_met_a_limit_replays_to_the_same_limit(world: Open, limits: Limits) -> None:
    async def scenario() -> None:
        async with world() as w:
            app = shop(limits=limits)
            run = await w.run(app, "a")
            assert run.error_code == "limit_reached"
            report = await replay(w.worker.journal, "default", run.id, handler(w, app))
            assert (report.divergence, report.is_whole) == (None, True)

    asyncio.run(scenario())


def test_a_run_whose_model_gave_no_answer_replays_to_the_same_failure(world: Open) -> None:
    async def scenario() -> None:
        async with world() as w:
            await w.serve.journal.put_budget("default", scope="project", subject="", window="total", cap_nanos=0)
            app = shop()
            run = await w.run(app, "a")
            assert (run.state, run.error_code) == ("failed", "budget_exceeded")
            report = await replay(w.worker.journal, "default", run.id, handler(w, app))
            assert report.divergence is None
            assert (report.is_identical, report.is_whole) == (True, True)

    asyncio.run(scenario())


def test_a_refused_request_ends_the_run_with_the_guards_own_words(world: Open) -> None:
    async def scenario() -> None:
        checks = [{"type": "tool_allow_list", "allow": ["look"]}]
        async with world(checks=checks) as w:
            run = await w.run(shop(), "a")
            assert (run.state, run.error_code) == ("failed", "content_blocked")

    asyncio.run(scenario())


def test_a_run_that_is_not_over_replays_as_far_as_it_came(world: Open) -> None:
    async def scenario() -> None:
        async with world() as w:
            app = shop()
            record = await w.start("a")
            report = await replay(w.worker.journal, "default", record.id, handler(w, app))
            assert (report.is_identical, report.is_whole, report.events) == (True, False, 0)

    asyncio.run(scenario())


def test_an_unknown_run_is_not_found(world: Open) -> None:
    async def scenario() -> None:
        async with world() as w:
            with pytest.raises(NotFound):
                await replay(w.worker.journal, "default", b"\0" * 16, handler(w, shop()))

    asyncio.run(scenario())
