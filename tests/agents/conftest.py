"""A real home: the double as provider, a real `serve` over it, and a worker's journal and handler beside it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mooring import App, AsyncClient
from mooring.agents import AgentRunner
from mooring.client.encoding import canonical
from mooring.config import Config
from mooring.core import ids
from mooring.journal.records import NewRun, RunEvent, RunRecord
from mooring.processes.serve import announce, make_http
from mooring.server.routes import create_application
from mooring.sim import SimServer
from mooring.storage import Home
from mooring.wiring import Server, build

PROJECT = "default"


def config_for(
    sim: SimServer, checks: Sequence[Mapping[str, Any]] = (), rag: Mapping[str, Any] | None = None
) -> Config:
    sim_provider = {
        "type": "sim",
        "base_url": f"{sim.url}/v1",
        "prices": {"*": {"input_usd": "0.25", "output_usd": "2"}},
    }
    return Config.model_validate(
        {"gateway": {"providers": {"sim": sim_provider}}, "guardrails": {"checks": list(checks)}, "rag": rag or {}}
    )


@contextlib.asynccontextmanager
async def serving(config: Config, home: Home, *, port: int = 0) -> AsyncIterator[tuple[Server, str]]:
    """`serve` on this loop."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with build(config, home, kind="serve") as rooms:
        http = make_http(create_application(rooms), config)
        task = asyncio.create_task(http.serve(sockets=[listener]))
        found = announce(home, rooms, url)
        try:
            yield rooms, url
        finally:
            found.unlink()
            http.should_exit = True
            await task
            listener.close()


@dataclass
class World:
    """What a test of agents needs."""

    sim: SimServer
    home: Home
    config: Config
    serve: Server
    worker: Server
    url: str

    def client(self) -> AsyncClient:
        return AsyncClient(self.url, self.serve.service_key)

    async def start(self, agent: str, text: Any = "Go.", **fields: Any) -> RunRecord:
        run = NewRun(
            id=ids.new_id(),
            project_id=PROJECT,
            handler="agent",
            name=agent,
            input=canonical(text),
            user="u_1",
            **fields,
        )
        return await self.worker.journal.create_run(run)

    async def work(self, app: App | None = None, *, rooms: Server | None = None, **options: Any) -> None:
        """Claim one run and work on it, as a worker does."""
        rooms = rooms or self.worker
        handler = AgentRunner(rooms.journal, self.client, app, **options)
        record = await rooms.journal.claim_run(["agent"])
        assert record is not None
        try:
            await handler.run(record)
        finally:
            await handler.close()

    async def run(self, app: App, agent: str, text: Any = "Go.", **options: Any) -> RunRecord:
        """A run from its start to wherever it stops."""
        record = await self.start(agent, text)
        await self.work(app, **options)
        return await self.worker.journal.get_run(PROJECT, record.id)

    async def events(self, record: RunRecord) -> list[RunEvent]:
        return await self.worker.journal.events(PROJECT, record.id)

    async def kinds(self, record: RunRecord) -> list[str]:
        return [event.kind for event in await self.events(record)]


Open = Callable[..., contextlib.AbstractAsyncContextManager[World]]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """`async with world(scripts) as w:`."""
    for name in ("MOORING_URL", "MOORING_API_KEY", "MOORING_SUPERVISED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MOORING_HOME", str(tmp_path / "home"))

    @contextlib.asynccontextmanager
    async def opened(
        scripts: Mapping[str, Any] | None = None,
        *,
        checks: Sequence[Mapping[str, Any]] = (),
        rag: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[World]:
        home = Home(tmp_path / "home")
        async with SimServer(scripts) as sim:
            config = config_for(sim, checks, rag)
            async with serving(config, home) as (serve, url), build(config, home, kind="worker") as worker:
                yield World(sim, home, config, serve, worker, url)

    return opened
