"""Real processes on a home of their own, and the provider on this loop; every process ends with its test."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.server.conftest import DEADLINES

from mooring.net import EgressPolicy, HttpClient, Request, Response
from mooring.sim import SimServer
from mooring.storage import Home
from mooring.storage.liveness import probe, read_facts

SECONDS = 120.0  # a test that hangs ends; nothing is expected to take so long


async def until(condition: Callable[[], Any]) -> Any:
    """The condition's first true value; for what another process does without telling."""
    async with asyncio.timeout(SECONDS):
        pause = asyncio.Event()
        while not (found := condition()):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(pause.wait(), 0.02)
        return found


@dataclass
class Process:
    """A `mooring` process with both its outputs."""

    process: asyncio.subprocess.Process

    @property
    def pid(self) -> int:
        return self.process.pid

    async def line(self, containing: str) -> str:
        """The next line of standard error with this text in it."""
        assert self.process.stderr is not None
        return await self._line(self.process.stderr, containing)

    async def printed(self, containing: str) -> str:
        """The same of standard output."""
        assert self.process.stdout is not None
        return await self._line(self.process.stdout, containing)

    async def ended(self) -> tuple[int, str]:
        """Its exit code, and what it said last on standard error."""
        assert self.process.stderr is not None
        assert self.process.stdout is not None
        async with asyncio.timeout(SECONDS):
            _, said = await asyncio.gather(self.process.stdout.read(), self.process.stderr.read())
            return await self.process.wait(), said.decode()

    async def _line(self, stream: asyncio.StreamReader, containing: str) -> str:
        async with asyncio.timeout(SECONDS):
            while line := await stream.readline():
                if containing in line.decode():
                    return line.decode()
        raise AssertionError(f"it ended without saying '{containing}'")


@dataclass
class Yard:
    """One home. `start` runs a verb on it."""

    folder: Path
    sim: SimServer
    environment: dict[str, str]
    http: HttpClient
    processes: list[Process]

    @property
    def home(self) -> Home:
        return Home(self.folder / "home")

    async def start(self, *arguments: str, **environment: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # as the installed command is started: what lies in the folder is not imported
            "-m",
            "mooring",
            *arguments,
            env={**self.environment, **environment},
            cwd=self.folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self.processes.append(Process(process))
        return self.processes[-1]

    async def up(self, *arguments: str, workers: int = 0, **environment: str) -> tuple[Process, str]:
        """`mooring up`, ready; and where it answers."""
        process = await self.start("up", *arguments, MOORING_WORKER__COUNT=str(workers), **environment)
        line = await process.printed("Mooring is up at ")
        return process, line.removeprefix("Mooring is up at ").split()[0]

    async def key(self) -> str:
        made = await self.start("keys", "create")
        return (await made.printed("mr_")).strip()

    async def open(self, method: str, url: str, key: str = "", body: bytes = b"") -> Response:
        headers = [(b"authorization", f"Bearer {key}".encode())] if key else []
        request = Request(method=method, url=url, headers=headers, body=body)
        return await self.http.send(request, deadlines=DEADLINES)

    async def shell(self, line: str, folder: Path, **environment: str) -> tuple[int, str, str]:
        """A line as it would be pasted into a terminal; its exit code and both outputs."""
        process = await asyncio.create_subprocess_exec(
            "sh",
            "-c",
            line,
            env={**self.environment, **environment},
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    async def status(self, method: str, url: str, key: str = "", body: bytes = b"") -> int:
        response = await self.open(method, url, key, body)
        await response.read(1_000_000)
        await response.aclose()
        return response.status

    def living(self, kind: str) -> set[int]:
        """The processes of a kind that hold their lock."""
        found = set()
        for path in self.home.run_dir.glob(f"*-{kind}-*.lock"):
            facts = read_facts(path) if probe(path) == "alive" else None
            if facts is not None:
                found.add(facts.pid)
        return found


Open = Callable[[], contextlib.AbstractAsyncContextManager[Yard]]


@pytest.fixture
def yard(tmp_path: Path) -> Open:
    """`async with yard() as y:`."""

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[Yard]:
        allowed = EgressPolicy(allow=("127.0.0.0/8",))
        async with SimServer() as sim, HttpClient(egress=allowed) as http:
            (tmp_path / "mooring.toml").write_text(
                f'[gateway.providers.sim]\ntype = "sim"\nbase_url = "{sim.url}/v1"\n'
                '[gateway.providers.sim.prices."*"]\ninput_usd = "0.25"\noutput_usd = "2"\n'
            )
            environment = {
                name: value
                for name, value in os.environ.items()
                if not name.startswith("MOORING_") and not name.endswith("_API_KEY")
            }
            environment |= {"MOORING_HOME": str(tmp_path / "home"), "MOORING_SERVER__PORT": "0"}
            environment["MOORING_GATEWAY__DISCOVER"] = (
                "false"  # whatever runs on this machine, the tests see none of it
            )
            made = Yard(tmp_path, sim, environment, http, [])
            try:
                yield made
            finally:
                await end(made)

    return opened


async def end(yard: Yard) -> None:
    for process in yard.processes:
        if process.process.returncode is None:
            process.process.terminate()
    for process in yard.processes:
        try:
            await process.ended()
        except TimeoutError:
            process.process.kill()
            await process.ended()
    for pid in yard.living("serve") | yard.living("worker"):
        os.kill(pid, signal.SIGKILL)
