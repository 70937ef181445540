"""The worker loop: as many runs as it has slots, and all given back when it must end."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from tests.server.conftest import Site, site

from mooring.core import ids
from mooring.core.text import digest
from mooring.journal.records import NewRun, RunRecord
from mooring.processes.serve import announce
from mooring.processes.worker import Worker

from .conftest import SECONDS, until

HOLDS = '''
import pathlib, threading
from mooring import App

app = App("a")


@app.tool(touches="read")
def wait() -> str:
    """Never returns."""
    (pathlib.Path(__file__).parent / "held").touch()
    threading.Event().wait()
    return ""


app.agent("a", model="sim/agent", tools=[wait])
'''


async def queue(site_: Site, **fields: object) -> RunRecord:
    run = NewRun(id=ids.new_id(), project_id="default", handler="agent", name="a", input=b'"Go."', **fields)  # type: ignore[arg-type]
    return await site_.rooms.journal.create_run(run)


def test_a_worker_whose_slots_are_all_busy_still_ends_and_gives_its_runs_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with site(tmp_path) as s:
            started: asyncio.Queue[bytes] = asyncio.Queue()

            async def hold(record: RunRecord) -> None:
                await started.put(record.id)
                await asyncio.Event().wait()

            worker = Worker(s.rooms.journal, {"agent": hold}, slots=2)
            runs = [(await queue(s)).id for _ in range(3)]
            working = asyncio.create_task(worker.run(drain_seconds=0.01))
            async with asyncio.timeout(SECONDS):
                assert {await started.get(), await started.get()} == set(runs[:2])
                assert started.empty()
                worker.stop()
                await working

    asyncio.run(scenario())


def test_a_slot_that_is_free_again_takes_the_next_run(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with site(tmp_path) as s:
            done: list[bytes] = []

            async def finish(record: RunRecord) -> None:
                await s.rooms.journal.finish_run(record.id, record.epoch, "completed")
                done.append(record.id)
                if len(done) == 3:
                    worker.stop()

            worker = Worker(s.rooms.journal, {"agent": finish}, slots=1)
            runs = [(await queue(s)).id for _ in range(3)]
            async with asyncio.timeout(SECONDS):
                await worker.run()
            assert done == runs

    asyncio.run(scenario())


def test_what_a_handler_raises_ends_its_run_and_not_the_worker(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with site(tmp_path) as s:

            async def fail(record: RunRecord) -> None:
                if record.id == runs[-1]:
                    worker.stop()
                raise ValueError("a mistake")

            worker = Worker(s.rooms.journal, {"agent": fail}, slots=1)
            runs = [(await queue(s)).id for _ in range(2)]
            async with asyncio.timeout(SECONDS):
                await worker.run()
            for run in runs:
                record = await s.rooms.journal.get_run("default", run)
                assert (record.state, record.error_code) == ("failed", "internal_error")
                assert record.error_message == "ValueError: a mistake"

    asyncio.run(scenario())
    assert "a mistake" in caplog.text


def test_a_worker_gives_its_runs_back_on_sigterm(tmp_path: Path) -> None:
    async def scenario() -> None:
        app = tmp_path / "app.py"
        app.write_text(HOLDS)
        async with site(tmp_path) as s:
            found = announce(s.rooms.home, s.rooms, s.url)
            run = await queue(s, app_path=str(app), app_digest=digest(app.read_bytes()))
            environment = {name: value for name, value in os.environ.items() if not name.startswith("MOORING_")}
            environment |= {"MOORING_HOME": str(s.rooms.home.path), "MOORING_SERVER__DRAIN_SECONDS": "0.2"}
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "mooring",
                "worker",
                env=environment,
                cwd=tmp_path,
                stdin=asyncio.subprocess.DEVNULL,
            )
            try:
                await until((tmp_path / "held").exists)
                assert await s.rooms.journal.claim_run(["agent"]) is None
                process.terminate()
                async with asyncio.timeout(SECONDS):
                    assert await process.wait() == 0
                taken = await s.rooms.journal.claim_run(["agent"])
                assert taken is not None
                assert taken.id == run.id
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
                found.unlink()

    asyncio.run(scenario())
