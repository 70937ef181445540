"""A client that writes bytes to one connection of the server, and reads what comes back."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import uvloop

from mooring.core.errors import MooringError
from mooring.server.connection import Connection, Patience
from mooring.server.exchange import Exchange, Reply

PATIENT = Patience()
HASTY = Patience(head=0.05, body=0.05, idle=0.05, linger=0.05)
ASK = b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n"


@dataclass
class State:
    connections: set[Any] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


@dataclass
class Peer:
    """A client that writes bytes and reads bytes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    state: State

    async def head(self) -> tuple[int, dict[str, str]]:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(": ") for line in lines[1:] if line)
        return int(lines[0].split()[1]), {name: value for name, _, value in pairs}

    async def answer(self) -> tuple[int, bytes]:
        status, headers = await self.head()
        if headers.get("transfer-encoding") != "chunked":
            return status, await self.reader.readexactly(int(headers["content-length"]))
        whole = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            whole += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)
        return status, whole

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        return await asyncio.wait_for(self.reader.read(), 10)


async def echo(exchange: Exchange) -> Reply:
    """What was asked, and the body; errors as the server's edge would say them."""
    try:
        body = await exchange.body()
    except MooringError as error:
        return Reply(error.status, str(error).encode())
    return Reply(200, f"{exchange.method} {exchange.path} {exchange.query_string.decode()}|".encode() + body)


Answer = Callable[[Exchange], Awaitable[Reply]]
Story = Callable[[Peer], Awaitable[None]]


def talk(story: Story, *, answer: Answer = echo, patience: Patience = PATIENT, limit: int = 1000) -> None:
    """The story of one client, with a server on a port of its own."""

    async def whole() -> None:
        state = State()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Connection(answer, state, body_limit_bytes=200_000, connection_limit=limit, patience=patience),
            "127.0.0.1",
            0,
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        try:
            await story(Peer(reader, writer, state))
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            server.close()
            for connection in list(state.connections):
                connection.shutdown()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)

    uvloop.run(whole())  # as the server does: it refuses what asyncio's own loop forgives
