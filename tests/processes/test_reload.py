"""`mooring up --app FILE --reload`: edits are followed, broken ones are told, and nothing is done twice."""

import asyncio
import json
from typing import Any

from .conftest import Open, Process, Yard, until

HELPER = 'def say(order: str) -> str:\n    return f"{order} came in the old way"\n'
APP = '''
import pathlib, time
from mooring import App
import helper

app = App("a")
here = pathlib.Path(__file__).parent


@app.tool(touches="read")
def look_up(order: str) -> str:
    """Look up an order."""
    (here / "held").touch()
    while (here / "gate").exists() and not (here / "open").exists():
        time.sleep(0.01)
    return helper.say(order)


app.agent("a", model="sim/agent", tools=[look_up])
'''


async def reloading(y: Yard, *, workers: int) -> tuple[Process, str, str]:
    """A house that follows the app in the yard's folder; where it answers, and a key."""
    (y.folder / "helper.py").write_text(HELPER)
    (y.folder / "app.py").write_text(APP)
    up, url = await y.up("--app", "app.py", "--reload", workers=workers, MOORING_SERVER__DRAIN_SECONDS="0.2")
    await up.printed("With any SDK")
    return up, url, await y.key()


async def ask(y: Yard, method: str, url: str, key: str, body: Any = None) -> Any:
    response = await y.open(method, url, key, b"" if body is None else json.dumps(body).encode())
    answer = await response.read(1_000_000)
    await response.aclose()
    return json.loads(answer)


async def start(y: Yard, url: str, key: str) -> str:
    run = await ask(y, "POST", f"{url}/v1/runs", key, {"agent": "a", "input": "Order 81?"})
    return f"{url}/v1/runs/{run['id']}"


async def ended(y: Yard, run: str, key: str) -> Any:
    """The run, once it is over."""
    while True:
        found = await ask(y, "GET", run, key)
        if found["state"] not in ("queued", "running"):
            return found


async def events(y: Yard, run: str, key: str) -> list[str]:
    return [event["kind"] for event in (await ask(y, "GET", f"{run}/events", key))["data"]]


def test_a_run_under_way_is_handed_over_to_the_new_code_and_no_model_call_is_repeated(yard: Open) -> None:
    async def scenario() -> None:
        async with yard() as y:
            (y.folder / "gate").touch()
            up, url, key = await reloading(y, workers=1)
            run = await start(y, url, key)
            await until((y.folder / "held").exists)
            (y.folder / "held").unlink()
            (y.folder / "helper.py").write_text(HELPER.replace("the old way", "a new way"))
            assert await up.line("has changed") == "app.py has changed: 1 worker runs it now.\n"
            await until((y.folder / "held").exists)  # a read is safe to do again: the new worker is at it
            (y.folder / "open").touch()
            found = await ended(y, run, key)
            assert (found["state"], "came in a new way" in found["output"]) == ("completed", True)
            assert len(y.sim.meter.rows) == 2

    asyncio.run(scenario())


def test_a_mistake_is_told_with_its_line_and_the_code_of_before_serves_until_it_is_mended(yard: Open) -> None:
    async def scenario() -> None:
        async with yard() as y:
            up, url, key = await reloading(y, workers=2)
            before = y.living("worker")
            helper = y.folder / "helper.py"
            helper.write_text(HELPER.replace("order: str)", "order: str"))
            assert f"({helper}, line 1)" in await up.line("does not load")
            await up.line("app.py was not reloaded: the workers keep the code that they have.")
            assert y.living("worker") == before
            found = await ended(y, await start(y, url, key), key)
            assert "came in the old way" in found["output"]
            helper.write_text(HELPER.replace("the old way", "a mended way"))
            await up.line("app.py has changed: 2 workers run it now.")
            run = await start(y, url, key)
            assert "came in a mended way" in (await ended(y, run, key))["output"]
            assert "code.changed" not in await events(y, run, key)  # the run's row names the code that it ran on
            await until(lambda: not y.living("worker") & before)

    asyncio.run(scenario())


def test_reload_without_an_app_is_a_mistake_of_the_command_line(yard: Open) -> None:
    async def scenario() -> None:
        async with yard() as y:
            code, said = await (await y.start("up", "--reload")).ended()
            assert code == 2
            assert "--reload follows the edits of an app: name it with --app FILE." in said

    asyncio.run(scenario())
