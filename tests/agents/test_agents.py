"""The loop: model and tools in turn, until an answer or a limit."""

import asyncio
import threading

import msgspec
from pydantic import BaseModel, field_validator

from mooring import App, AsyncContext, Context, Limits
from mooring.sim.conversation import Reply, ToolCall

from .conftest import Open


def app_with_tools() -> App:
    app = App("test")

    @app.tool
    def look(ctx: Context, order: str) -> str:
        """Look an order up."""
        return f"order {order} of {ctx.user}"

    @app.tool(touches="write", repeat="keyed")
    async def refund(ctx: AsyncContext, order: str) -> dict[str, str]:
        """Refund an order."""
        return {"order": order, "key": ctx.key}

    app.agent("support", model="sim/agent", tools=[look, refund], instructions="Be brief.")
    app.agent("parallel", model="sim/agent-parallel", tools=[look, refund])
    return app


def test_an_agent_calls_its_tools_and_answers(world: Open) -> None:
    async def scenario() -> None:
        async with world() as w:
            run = await w.run(app_with_tools(), "support", "Order 81 came broken")
            assert (run.state, run.error_message) == ("completed", None)
            assert await w.kinds(run) == [
                "run.started",
                "model.finished",
                "tool.started",
                "tool.finished",
                "model.finished",
                "tool.started",
                "tool.finished",
                "model.finished",
                "run.finished",
            ]
            assert run.output is not None
            assert isinstance(msgspec.json.decode(run.output), str)

    asyncio.run(scenario())


def test_model_steps_are_calls_of_the_run_with_their_cost(world: Open) -> None:
    async def scenario() -> None:
        async with world() as w:
            run = await w.run(app_with_tools(), "support")
            calls = await w.worker.journal.list_calls("default", run_id=run.id)
            assert sorted((call.kind, call.step) for call in calls) == [
                ("chat", "1.model"),
                ("chat", "2.model"),
                ("chat", "3.model"),
                ("tool", "1.tool.0"),
                ("tool", "2.tool.0"),
            ]
            told = [
                msgspec.json.decode(e.payload)["cost_nanos"] for e in await w.events(run) if e.kind == "model.finished"
            ]
            assert sum(told) == run.settled_nanos == sum(call.settled_nanos for call in calls) > 0

    asyncio.run(scenario())


def test_a_tools_key_comes_from_run_and_step_never_from_the_model(world: Open) -> None:
    async def scenario() -> None:
        async with world() as w:
            run = await w.run(app_with_tools(), "support")
            results = [msgspec.json.decode(e.payload) for e in await w.events(run) if e.kind == "tool.finished"]
            key = msgspec.json.decode(results[1]["text"])["key"]
            assert key.startswith("run/run_")
            assert key.endswith("/2.tool.0")

    asyncio.run(scenario())


def test_parallel_tool_calls_run_side_by_side_and_answer_in_the_models_order(world: Open) -> None:
    meeting = threading.Barrier(2, timeout=120)
    app = App("test")

    @app.tool
    def first() -> str:
        meeting.wait()
        return "first"

    @app.tool
    def second() -> str:
        meeting.wait()
        return "second"

    app.agent("both", model="sim/agent-parallel", tools=[first, second])

    async def scenario() -> None:
        async with world() as w:
            run = await w.run(app, "both")
            assert run.state == "completed"
            call = await w.worker.journal.find_step("default", run.id, "2.model")
            assert call is not None
            body, elements = await w.worker.journal.get_request("default", call.id)
            sent = [msgspec.json.decode(e) for e in elements] or msgspec.json.decode(body)["messages"]
            assert [turn["content"] for turn in sent if turn["role"] == "tool"] == ["first", "second"]

    asyncio.run(scenario())


def scripted(*replies: Reply):
    """A model that gives these replies, one a step."""

    def script(conversation) -> Reply:
        return replies[sum(1 for message in conversation.messages if message.role == "assistant")]

    return script


def test_an_unknown_tool_and_wrong_arguments_go_back_to_the_model(world: Open) -> None:
    replies = (
        Reply(tool_calls=(ToolCall("loook", "{}"), ToolCall("look", '{"ordr": "81"}'), ToolCall("look", "{"))),
        Reply(text="I give up."),
    )

    async def scenario() -> None:
        async with world({"odd": scripted(*replies)}) as w:
            app = app_with_tools()
            app.agent("odd", model="sim/odd", tools=[app.tools["look"]])
            run = await w.run(app, "odd")
            assert run.output == b'"I give up."'
            rejected = [msgspec.json.decode(e.payload) for e in await w.events(run) if e.kind == "tool.rejected"]
            assert rejected[0]["text"] == "There is no tool 'loook'. Known: look."
            assert "order: Field required; ordr: Extra inputs are not permitted" in rejected[1]["text"]
            assert "Invalid JSON" in rejected[2]["text"]

    asyncio.run(scenario())


def test_what_a_tool_raises_is_told_to_the_model_and_the_call_is_failed(world: Open) -> None:
    app = App("test")

    @app.tool
    def broken() -> str:
        raise ValueError("the shop is closed")

    app.agent("a", model="sim/agent", tools=[broken])

    async def scenario() -> None:
        async with world() as w:
            run = await w.run(app, "a")
            [result] = [msgspec.json.decode(e.payload) for e in await w.events(run) if e.kind == "tool.finished"]
            assert (result["text"], result["is_error"]) == ("ValueError: the shop is closed", True)
            call = await w.worker.journal.find_step("default", run.id, "1.tool.0")
            assert call is not None
            assert (call.state, call.error_code, run.state) == ("failed", "tool_failed", "completed")

    asyncio.run(scenario())


def test_the_limit_of_steps_is_checked_before_the_call(world: Open) -> None:
    async def scenario() -> None:
        async with world() as w:
            app = app_with_tools()
            app.agent("short", model="sim/agent", tools=list(app.tools.values()), limits=Limits(max_steps=2))
            run = await w.run(app, "short")
            assert (run.state, run.error_code) == ("failed", "limit_reached")
            assert (await w.kinds(run)).count("model.finished") == 2
            assert w.sim.meter.totals().rows == 2

    asyncio.run(scenario())


def test_the_limit_of_cost_is_checked_before_the_call(world: Open) -> None:
    async def scenario() -> None:
        async with world() as w:
            app = app_with_tools()
            app.agent(
                "cheap", model="sim/agent", tools=list(app.tools.values()), limits=Limits(max_cost_usd="0.000000001")
            )
            run = await w.run(app, "cheap")
            assert (run.state, run.error_code) == ("failed", "limit_reached")
            assert "of at most $0.000000001" in (run.error_message or "")
            assert (await w.kinds(run)).count("model.finished") == 1

    asyncio.run(scenario())


def test_the_limit_of_time_is_checked_before_the_call(world: Open) -> None:
    async def scenario() -> None:
        async with world() as w:
            app = app_with_tools()
            app.agent("quick", model="sim/agent", tools=list(app.tools.values()), limits=Limits(max_seconds=0))
            run = await w.run(app, "quick")
            assert (run.state, run.error_code) == ("failed", "limit_reached")
            assert "model.finished" not in await w.kinds(run)

    asyncio.run(scenario())


def test_a_model_that_asks_for_the_same_again_and_again_is_stopped(world: Open) -> None:
    def loop(conversation) -> Reply:
        return Reply(tool_calls=(ToolCall("look", '{"order": "81"}'),))

    async def scenario() -> None:
        async with world({"loop": loop}) as w:
            app = app_with_tools()
            app.agent("loop", model="sim/loop", tools=[app.tools["look"]], limits=Limits(max_repeats=3))
            run = await w.run(app, "loop")
            assert run.error_code == "limit_reached"
            assert "'look' with the same arguments over 3 times" in (run.error_message or "")
            assert (await w.kinds(run)).count("tool.finished") == 3

    asyncio.run(scenario())


class Verdict(BaseModel):
    grade: int


class Impossible(Verdict):
    @field_validator("grade")
    @classmethod
    def never(cls, grade: int) -> int:
        raise ValueError("no grade is good enough")


def test_an_output_model_makes_the_output_its_json(world: Open) -> None:
    async def scenario() -> None:
        async with world() as w:
            app = App("test")
            app.agent("judge", model="sim/json", output=Verdict)
            run = await w.run(app, "judge")
            assert run.output is not None
            assert set(msgspec.json.decode(run.output)) == {"grade"}

    asyncio.run(scenario())


def test_an_output_that_does_not_fit_is_asked_for_again_but_not_for_ever(world: Open) -> None:
    async def scenario() -> None:
        async with world() as w:
            app = App("test")
            app.agent("judge", model="sim/json", output=Impossible)
            run = await w.run(app, "judge")
            assert (run.state, run.error_code) == ("failed", "upstream_malformed")
            assert (await w.kinds(run)).count("model.finished") == 3
            assert "no grade is good enough" in (run.error_message or "")

    asyncio.run(scenario())


def test_a_tool_that_does_not_end_in_time_is_an_error_to_the_model(world: Open) -> None:
    app = App("test")
    end = threading.Event()

    @app.tool(timeout_seconds=0.05)
    def slow() -> str:
        end.wait(20)
        return "late"

    app.agent("a", model="sim/agent", tools=[slow])

    async def scenario() -> None:
        async with world() as w:
            run = await w.run(app, "a")
            [result] = [msgspec.json.decode(e.payload) for e in await w.events(run) if e.kind == "tool.finished"]
            assert result["text"] == "'slow' did not end within 0.05 seconds."
            assert run.state == "completed"

    try:
        asyncio.run(scenario())
    finally:
        end.set()


def test_a_write_that_times_out_is_uncertain_and_parks_the_run(world: Open) -> None:
    app = App("test")

    @app.tool(touches="write", timeout_seconds=0.05)
    async def send() -> str:
        await asyncio.Event().wait()
        return "never"

    app.agent("a", model="sim/agent", tools=[send])

    async def scenario() -> None:
        async with world() as w:
            run = await w.run(app, "a")
            assert run.state == "parked"
            [uncertain] = await w.worker.journal.uncertain("default")
            assert uncertain.call.step == "1.tool.0"

    asyncio.run(scenario())


def test_a_cancelled_run_stops_silently(world: Open) -> None:
    began = asyncio.Event()
    app = App("test")

    @app.tool
    async def wait() -> str:
        began.set()
        await asyncio.Event().wait()
        return ""

    app.agent("a", model="sim/agent", tools=[wait])

    async def scenario() -> None:
        async with world() as w:
            record = await w.start("a")
            working = asyncio.create_task(w.work(app, lease_seconds=0.1))
            await began.wait()
            await w.worker.journal.cancel_run("default", record.id)
            await working
            assert (await w.worker.journal.get_run("default", record.id)).state == "cancelled"
            assert (await w.kinds(record))[-1] == "run.finished"

    asyncio.run(scenario())


def test_steps_inside_a_tool_are_memoised_by_name_and_occurrence(world: Open) -> None:
    app = App("test")

    @app.tool
    def work(ctx: Context) -> list[int]:
        return [ctx.step("draw", lambda: 4), ctx.step("draw", lambda: 5)]

    app.agent("a", model="sim/agent", tools=[work])

    async def scenario() -> None:
        async with world() as w:
            run = await w.run(app, "a")
            steps = [msgspec.json.decode(e.payload) for e in await w.events(run) if e.kind == "step.finished"]
            assert steps == [{"step": "1.tool.0/draw#1", "value": 4}, {"step": "1.tool.0/draw#2", "value": 5}]

    asyncio.run(scenario())


def test_a_tool_asks_a_model_through_serve_under_a_key_of_its_own(world: Open) -> None:
    app = App("test")

    @app.tool
    async def summarise(ctx: AsyncContext) -> str:
        return (await ctx.model("Say hi", model="sim/echo")).text

    app.agent("a", model="sim/agent", tools=[summarise])

    async def scenario() -> None:
        async with world() as w:
            run = await w.run(app, "a")
            assert await w.worker.journal.find_step("default", run.id, "1.tool.0/model#1") is not None
            [result] = [msgspec.json.decode(e.payload) for e in await w.events(run) if e.kind == "tool.finished"]
            assert result["text"] == "Say hi"

    asyncio.run(scenario())


def test_an_agent_that_the_app_does_not_have_fails_its_run_with_a_suggestion(world: Open) -> None:
    async def scenario() -> None:
        async with world() as w:
            run = await w.run(app_with_tools(), "suport")
            assert run.state == "failed"
            assert "Did you mean 'support'?" in (run.error_message or "")

    asyncio.run(scenario())
