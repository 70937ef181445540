"""A worker is killed with -9 in the middle of a tool, or of a model call, and another one goes on."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from mooring.core.text import digest
from mooring.journal.records import RunRecord
from mooring.sim import scripts
from mooring.sim.conversation import Conversation, Reply
from mooring.sim.models import CATALOGUE

from .conftest import Open, World

# The tool leaves its mark, and then, if it is told to hold, says so through a pipe and never returns.
APP = """
import os, pathlib, threading
from mooring import App, Context, Done, NotDone

HERE = pathlib.Path(__file__).parent
app = App("shop")

def look(ctx: Context, order: str) -> Done | NotDone | None:
    return {{"done": Done("refunded, says the shop"), "not done": NotDone()}}.get("{found}")

@app.tool(touches="write", repeat="{repeat}"{reconcile})
def refund(ctx: Context, order: str) -> str:
    ctx.step("before", lambda: 1)
    with open(HERE / "effects", "a") as effects:
        effects.write(ctx.key + "\\n")
    if (HERE / "hold").exists():
        with open(HERE / "held", "w") as held:
            held.write("held")
        threading.Event().wait()
    return "refunded"

app.agent("a", model="{model}", tools=[refund])
"""


class Shop:
    """The user's folder: the app, the marks its tool leaves, and the pipe it says it holds through."""

    def __init__(self, folder: Path, *, repeat: str, found: str = "", model: str = "sim/agent") -> None:
        folder.mkdir()
        self.folder = folder
        self.app = folder / "app.py"
        reconcile = ", reconcile=look" if found else ""
        self.app.write_text(APP.format(repeat=repeat, reconcile=reconcile, found=found, model=model))
        self.hold = folder / "hold"
        self.hold.touch()
        os.mkfifo(folder / "held")

    async def held(self) -> None:
        assert await asyncio.to_thread((self.folder / "held").read_text) == "held"

    @property
    def effects(self) -> list[str]:
        return (self.folder / "effects").read_text().splitlines()


@contextlib.asynccontextmanager
async def worker_process(w: World, folder: Path) -> AsyncIterator["subprocess.Popen[bytes]"]:
    config = folder / "mooring.toml"
    prices = '[gateway.providers.sim.prices."*"]\ninput_usd = "0.25"\noutput_usd = "2"\n'
    config.write_text(f'[gateway.providers.sim]\ntype = "sim"\nbase_url = "{w.sim.url}/v1"\n{prices}')
    environment = {**os.environ, "MOORING_HOME": str(w.home.path), "MOORING_CONFIG": str(config)}
    script = Path(__file__).parent / "worker_process.py"
    process = subprocess.Popen([sys.executable, script], env=environment, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)


async def start(w: World, shop: Shop) -> RunRecord:
    return await w.start("a", app_path=str(shop.app), app_digest=digest(shop.app.read_bytes()))


async def kill_in_tool(w: World, shop: Shop) -> RunRecord:
    """A run whose worker died inside the tool, proven dead."""
    record = await start(w, shop)
    async with worker_process(w, shop.folder):
        await shop.held()
    shop.hold.unlink()
    await w.worker.journal.sweep_dead()
    return record


async def state(w: World, record: RunRecord) -> RunRecord:
    return await w.worker.journal.get_run("default", record.id)


@pytest.mark.parametrize("repeat", ["safe", "keyed"])
def test_a_tool_that_may_be_repeated_is_run_again_with_the_same_key(world: Open, tmp_path: Path, repeat: str) -> None:
    async def scenario() -> None:
        shop = Shop(tmp_path / "shop", repeat=repeat)
        async with world() as w:
            record = await kill_in_tool(w, shop)
            await w.work()
            run = await state(w, record)
            assert run.state == "completed"
            assert len(shop.effects) == 2
            assert len(set(shop.effects)) == 1
            call = await w.worker.journal.find_step("default", run.id, "1.tool.0")
            assert call is not None
            attempts = await w.worker.journal.attempts("default", call.id)
            assert [(attempt.reason, attempt.outcome) for attempt in attempts] == [
                ("first", "uncertain"),
                ("repeat", "completed"),
            ]
            assert await w.worker.journal.uncertain("default") == []
            assert (await w.kinds(run)).count("step.finished") == 1
            assert w.sim.meter.totals().rows == 2

    asyncio.run(scenario())


def test_a_tool_that_must_never_be_repeated_parks_the_run_and_is_listed(world: Open, tmp_path: Path) -> None:
    async def scenario() -> None:
        shop = Shop(tmp_path / "shop", repeat="never")
        async with world() as w:
            record = await kill_in_tool(w, shop)
            await w.work()
            assert (await state(w, record)).state == "parked"
            assert len(shop.effects) == 1
            [uncertain] = await w.worker.journal.uncertain("default")
            assert (uncertain.call.name, uncertain.call.step) == ("refund", "1.tool.0")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("decision", "result", "told", "is_error", "effects"),
    [
        ("completed", b"refunded, I looked", "refunded, I looked", False, 1),
        ("failed", b"nothing was sent", "nothing was sent", True, 1),
        ("retry", None, "refunded", False, 2),
    ],
)
def test_a_person_decides_and_the_run_goes_on(
    world: Open, tmp_path: Path, decision: str, result: bytes | None, told: str, is_error: bool, effects: int
) -> None:
    async def scenario() -> None:
        shop = Shop(tmp_path / "shop", repeat="never")
        async with world() as w:
            record = await kill_in_tool(w, shop)
            await w.work()
            [uncertain] = await w.worker.journal.uncertain("default")
            await w.worker.journal.resolve_uncertain(
                "default",
                uncertain.call.id,
                decision=decision,
                result=result,
                by="ann",  # type: ignore[arg-type]
            )
            await w.work()
            assert (await state(w, record)).state == "completed"
            [payload] = [msgspec.json.decode(e.payload) for e in await w.events(record) if e.kind == "tool.finished"]
            assert (payload["text"], payload["is_error"]) == (told, is_error)
            assert len(shop.effects) == effects

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("found", "told", "effects"), [("done", "refunded, says the shop", 1), ("not done", "refunded", 2)]
)
def test_a_reconcile_function_decides_without_a_person(
    world: Open, tmp_path: Path, found: str, told: str, effects: int
) -> None:
    async def scenario() -> None:
        shop = Shop(tmp_path / "shop", repeat="never", found=found)
        async with world() as w:
            record = await kill_in_tool(w, shop)
            await w.work()
            assert (await state(w, record)).state == "completed"
            [payload] = [msgspec.json.decode(e.payload) for e in await w.events(record) if e.kind == "tool.finished"]
            assert payload["text"] == told
            assert len(shop.effects) == effects
            assert await w.worker.journal.uncertain("default") == []

    asyncio.run(scenario())


def test_a_reconcile_function_that_does_not_know_leaves_it_to_a_person(world: Open, tmp_path: Path) -> None:
    async def scenario() -> None:
        shop = Shop(tmp_path / "shop", repeat="never", found="who knows")
        async with world() as w:
            record = await kill_in_tool(w, shop)
            await w.work()
            assert (await state(w, record)).state == "parked"
            assert len(shop.effects) == 1

    asyncio.run(scenario())


def test_as_long_as_the_old_worker_is_not_proven_dead_a_never_tool_waits(world: Open, tmp_path: Path) -> None:
    async def scenario() -> None:
        shop = Shop(tmp_path / "shop", repeat="never")
        async with world() as w:
            record = await start(w, shop)
            async with worker_process(w, shop.folder):
                await shop.held()
                lost = await state(w, record)
                await w.worker.database.write_async(
                    lambda tx: tx.execute("UPDATE runs SET lease_until_us = 0 WHERE id = ?", (lost.id,))
                )
                await w.work()
                waiting = await state(w, record)
                assert (waiting.state, len(shop.effects)) == ("waiting", 1)

    asyncio.run(scenario())


def test_code_that_changed_is_flagged_and_goes_on(world: Open, tmp_path: Path) -> None:
    async def scenario() -> None:
        shop = Shop(tmp_path / "shop", repeat="safe")
        async with world() as w:
            record = await kill_in_tool(w, shop)
            shop.app.write_text(shop.app.read_text() + "\n# changed\n")
            await w.work()
            assert (await state(w, record)).state == "completed"
            assert (await w.kinds(record)).count("code.changed") == 1

    asyncio.run(scenario())


def test_a_model_call_in_flight_when_its_worker_dies_is_collected_and_paid_once(world: Open, tmp_path: Path) -> None:
    async def scenario() -> None:
        asked = asyncio.Event()

        def says(conversation: Conversation) -> Reply:
            asked.set()
            return scripts.writer(conversation)

        shop = Shop(tmp_path / "shop", repeat="safe", model="sim/says")
        async with world({"says": CATALOGUE["slow"]._replace(script=says)}) as w:
            record = await start(w, shop)
            async with worker_process(w, shop.folder):
                await asked.wait()
            assert w.sim.meter.totals().unfinished_rows == 1
            await w.worker.journal.sweep_dead()
            shop.hold.unlink()
            await w.work()
            assert (await state(w, record)).state == "completed"
            assert (await w.kinds(record)).count("model.finished") == 1
            assert (w.sim.meter.totals().rows, w.sim.meter.totals().disconnected_rows) == (1, 0)

    asyncio.run(scenario())
