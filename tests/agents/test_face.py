"""The public face against a real server: chat, stream, runs, and `python app.py`."""

import asyncio
import itertools
import os
import subprocess
import sys
from pathlib import Path

from mooring import Client, Finished, TextDelta, ToolCall, ToolResult
from mooring.core.text import digest

from .conftest import Open

APP = """
from mooring import App, Context
app = App("shop")

@app.tool(touches="write", repeat="keyed")
def refund(ctx: Context, order: str) -> str:
    return f"refunded for {ctx.user}"

agent = app.agent("a", model="sim/agent", tools=[refund])

if __name__ == "__main__":
    run = agent.run("Order 81 came broken", user="u_42")
    print(run.state, run.output)
"""


def test_a_key_pays_once_and_the_second_answer_says_that_it_is_recorded(world: Open) -> None:
    async def scenario() -> None:
        async with world() as w:
            async with w.client() as client:
                first = await client.chat("Hi", model="sim/echo", key="k")
                second = await client.chat("Hi", model="sim/echo", key="k")
                assert (first.text, second.text) == ("Hi", "Hi")
                assert (first.is_replayed, second.is_replayed) == (False, True)
                assert first.call_id == second.call_id is not None
                assert first.cost_nanos == second.cost_nanos
                assert first.call_id is not None
                assert (await client.calls.get(first.call_id)).raw["settled_nanos"] == first.cost_nanos
            assert w.sim.meter.totals().rows == 1

    asyncio.run(scenario())


def test_a_stream_and_its_recorded_twin_tell_the_same_with_the_same_cost(world: Open) -> None:
    async def scenario() -> None:
        async with world() as w, w.client() as client:
            told = [[event async for event in client.stream("Hi", model="sim/writer", key="k")] for _ in range(2)]
            texts = ["".join(event.text for event in events if isinstance(event, TextDelta)) for events in told]
            assert texts[0] == texts[1] != ""
            ends = [events[-1] for events in told]
            assert all(isinstance(end, Finished) and end.completion is not None for end in ends)
            costs = [end.completion.cost_nanos for end in ends if isinstance(end, Finished) and end.completion]
            assert costs[0] == costs[1] is not None

    asyncio.run(scenario())


def test_a_run_is_streamed_as_typed_events_while_a_worker_does_it(world: Open, tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP)

    def follow(url: str, key: str) -> list[object]:
        with Client(url, key) as client:
            hash_ = digest(app.read_bytes()).hex()
            run = client.runs.start("a", "Go.", app_path=str(app), app_digest=hash_, user="u_42")
            return list(run.stream())

    async def scenario() -> None:
        async with world() as w:
            following = asyncio.create_task(asyncio.to_thread(follow, w.url, w.serve.service_key))
            while (await w.worker.journal.last_run("default")) is None:
                await w.worker.journal.wait_for_work(timeout_seconds=0.1)
            await w.work()
            events = await following
            kinds = [kind for kind, _ in itertools.groupby(type(event) for event in events)]
            assert kinds == [ToolCall, ToolResult, TextDelta, Finished]
            assert isinstance(events[1], ToolResult)
            assert events[1].text == "refunded for u_42"
            assert isinstance(events[-1], Finished)
            assert events[-1].state == "completed"

    asyncio.run(scenario())


def test_python_app_py_works_on_its_own_run(world: Open, tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP)

    async def scenario() -> None:
        async with world() as w:
            config = tmp_path / "mooring.toml"
            prices = '[gateway.providers.sim.prices."*"]\ninput_usd = "0.25"\noutput_usd = "2"\n'
            config.write_text(f'[gateway.providers.sim]\ntype = "sim"\nbase_url = "{w.sim.url}/v1"\n{prices}')
            environment = {**os.environ, "MOORING_CONFIG": str(config)}
            done = await asyncio.to_thread(
                subprocess.run, [sys.executable, app], env=environment, capture_output=True, text=True, timeout=120
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout.startswith("completed ")
            assert "refunded for u_42" in done.stdout

    asyncio.run(scenario())
