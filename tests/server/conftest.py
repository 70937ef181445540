"""A server on a real socket: the rooms wired on a home of its own, over the simulated provider."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mooring.config import Config
from mooring.net import Deadlines, EgressPolicy, HttpClient, Request
from mooring.processes.serve import make_http
from mooring.server.routes import create_application
from mooring.sim import SimServer
from mooring.storage import Home
from mooring.wiring import Server, build

DEADLINES = Deadlines(connect_seconds=10, first_byte_seconds=30, idle_seconds=30, total_seconds=60)


@dataclass
class Answer:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error object of the OpenAI wire, and nothing beside it."""
        assert list(self.json) == ["error"]
        found: dict[str, Any] = self.json["error"]
        assert set(found) == {"message", "type", "param", "code"}
        assert found["message"]
        return found


@dataclass
class Site:
    """`service` may do everything; `key` is an ordinary key with the scopes that `keys create` gives."""

    rooms: Server
    sim: SimServer
    url: str
    http: HttpClient
    key: str = ""
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def service(self) -> str:
        return self.rooms.service_key

    async def send(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One request with the ordinary key, another one, or none (`""`)."""
        key = self.key if key is None else key
        sent = [(name.encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
        if key:
            sent.append((b"authorization", f"Bearer {key}".encode()))
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        request = Request(method=method, url=self.url + path, headers=sent, body=data)
        response = await self.http.send(request, deadlines=DEADLINES)
        try:
            raw = await response.read(10_000_000)
        finally:
            await response.aclose()
        found = {name.decode().lower(): value.decode("latin-1") for name, value in response.headers.raw}
        return Answer(response.status, found, raw)

    async def raw(self, data: bytes) -> Answer:
        """Bytes as they are, and the answer to them; for what an HTTP client would not send."""
        reader, writer = await asyncio.open_connection("127.0.0.1", int(self.url.rpartition(":")[2]))
        try:
            writer.write(data)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
            lines = (line.partition(":") for line in head[1:] if line)
            headers = {name.lower(): value.strip() for name, _, value in lines}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            return Answer(int(head[0].split()[1]), headers, body)
        finally:
            writer.close()
            await writer.wait_closed()

    async def get(self, path: str, **more: Any) -> Answer:
        return await self.send("GET", path, **more)

    async def post(self, path: str, body: Any = None, **more: Any) -> Answer:
        return await self.send("POST", path, body, **more)

    async def say(self, text: str, *, model: str = "sim/echo", **more: Any) -> Answer:
        return await self.post("/v1/chat/completions", say(text, model), **more)

    async def key_with(self, *scopes: str, project: str = "default") -> str:
        return await self.rooms.keys.create(project, name="test", scopes=scopes)


def say(text: str, model: str = "sim/echo", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def config_for(sim_url: str, **sections: Any) -> Config:
    provider = {
        "type": "sim",
        "base_url": f"{sim_url}/v1",
        "prices": {"*": {"input_usd": "0.25", "output_usd": "2"}},
    }
    gateway = {"providers": {"sim": provider}, "retry_wait_seconds": 0.0, **sections.pop("gateway", {})}
    return Config.model_validate({"gateway": gateway, **sections})


def header_lines(headers: dict[str, str]) -> bytes:
    return b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in headers.items())


Scenario = Callable[[Site], Awaitable[None]]


@contextlib.asynccontextmanager
async def site(path: Path, *, app: Path | None = None, scripts: Any = None, **sections: Any) -> AsyncIterator[Site]:
    """Everything of one server, on this loop and a port of its own."""
    async with contextlib.AsyncExitStack() as stack:
        sim = await stack.enter_async_context(SimServer(scripts))
        config = config_for(sim.url, **sections)
        rooms = await stack.enter_async_context(build(config, Home(path / "home"), kind="serve", app_path=app))
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        http = make_http(create_application(rooms), config)
        serving = asyncio.create_task(http.serve(sockets=[listener]))

        async def stop() -> None:
            http.should_exit = True
            await serving

        client = await stack.enter_async_context(HttpClient(egress=EgressPolicy(allow=("127.0.0.0/8",))))
        stack.push_async_callback(stop)
        made = Site(rooms, sim, f"http://127.0.0.1:{listener.getsockname()[1]}", client)
        made.key = await made.key_with("call", "read", "write")
        yield made


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., None]:
    """`run(scenario)`: an async function of a `Site`, on a server of its own."""

    def running(scenario: Scenario, **options: Any) -> None:
        async def whole() -> None:
            async with site(tmp_path, **options) as made:
                await scenario(made)

        asyncio.run(whole())

    return running
