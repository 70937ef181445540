"""The command line in this process: its exit code, what it prints, and that it never shows a traceback."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from tests.server.conftest import site

from mooring.cli import main
from mooring.cli.rooms import with_rooms
from mooring.core import ids
from mooring.core.money import Price
from mooring.journal.records import AttemptIntent, AttemptResult, NewCall, NewRun
from mooring.processes.serve import announce
from mooring.processes.work import handlers
from mooring.processes.worker import Worker
from mooring.wiring import Server

T = TypeVar("T")
APP = '''
from mooring import App

app = App("shop")


@app.tool(touches="read")
def look_up(order: str) -> str:
    """Look up an order."""
    return order + " was delivered"


app.agent("support", model="sim/agent", tools=[look_up])
'''


@dataclass
class Result:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.out)


Cli = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of its own: no home, no configuration, nothing of this machine's in the environment."""
    for name in ("MOORING_URL", "MOORING_API_KEY", "MOORING_HOME", "MOORING_CONFIG", "MOORING_SUPERVISED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def home(folder: Path) -> Path:
    """A home in which nothing has happened yet."""
    with_rooms(_nothing)
    return folder / ".mooring"


async def _nothing(rooms: Server) -> None:
    """Opening it was enough."""


@pytest.fixture
def cli(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """`cli("runs", "list")` as if it was typed."""

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["mooring", *arguments])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return Result(code, captured.out, captured.err)

    return run


def in_home(work: Callable[[Server], Awaitable[T]]) -> T:
    return with_rooms(work)


def queued_run() -> str:
    """A run that waits for a worker."""

    async def work(rooms: Server) -> str:
        run = NewRun(id=ids.new_id(), project_id="default", handler="agent", name="support", input=b'"Go."')
        return ids.show("run", (await rooms.journal.create_run(run)).id)

    return in_home(work)


def uncertain_call() -> str:
    """A call whose process died in flight."""

    async def work(rooms: Server) -> str:
        call = NewCall(
            id=ids.new_id(),
            project_id="default",
            kind="tool",
            name="refund",
            trace_id=ids.new_id(),
            request_body=b"{}",
        )
        intent = AttemptIntent(
            id=ids.new_id(),
            call_id=call.id,
            project_id="default",
            number=1,
            target="tool/refund",
            request_hash=b"h" * 32,
            held_nanos=5_000,
            price=Price(request_nanos=5_000),
        )
        await rooms.journal.begin_attempt(intent, call=call)
        await rooms.journal.finish_attempt(AttemptResult(attempt_id=intent.id, outcome="uncertain", cost_nanos=None))
        return ids.show("call", call.id)

    return in_home(work)


@pytest.fixture
def recorded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A home in which an agent has done its work; the id of its run."""
    app = folder / "app.py"
    app.write_text(APP)
    monkeypatch.setenv("MOORING_HOME", str(folder / "home"))

    async def scenario() -> str:
        async with site(folder, app=app) as served:
            found = announce(served.rooms.home, served.rooms, served.url)
            started = (await served.post("/v1/runs", {"agent": "support", "input": "Where is order 81?"})).json["id"]
            worker = Worker(served.rooms.journal, handlers(served.rooms))
            working = asyncio.create_task(worker.run())
            await served.get(f"/v1/runs/{started}/events", headers={"accept": "text/event-stream"})
            worker.stop()
            await working
            found.unlink()
            run = (await served.get(f"/v1/runs/{started}")).json
            assert run["state"] == "completed", run
            return str(started)

    return asyncio.run(scenario())
