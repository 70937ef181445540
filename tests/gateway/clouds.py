"""A cloud's endpoints on one real socket: each path has an answer, and what was asked is kept."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from tests.gateway.house import House, house

from mooring.gateway.config import GatewayConfig, ProviderConfig


class Asked(NamedTuple):
    """One request as it came."""

    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Cloud:
    """`pages` by path, without the query: JSON to encode, bytes of a stream, or a status to refuse with."""

    def __init__(self, pages: dict[str, Any]) -> None:
        self.pages = pages
        self.asked: list[Asked] = []
        self.address = ""
        self.writers: list[asyncio.StreamWriter] = []

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def of(self, path: str) -> list[Asked]:
        return [one for one in self.asked if one.target.partition("?")[0] == path]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                headers = {name.lower(): value for name, value in re.findall(r"^([\w-]+): (.*)\r$", head, re.M)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                target = head.split(" ", 2)[1]
                self.asked.append(Asked(target, headers, body))
                writer.write(_answer(self.pages.get(target.partition("?")[0], 404)))
                await writer.drain()
        writer.close()


def _answer(page: Any) -> bytes:
    status, kind, body = "200 OK", "application/json", b""
    if isinstance(page, int):
        status, body = f"{page} Refused", b'{"error": {"message": "refused", "code": "x"}}'
    elif isinstance(page, bytes):
        kind, body = "text/event-stream", page
    else:
        body = msgspec.json.encode(page)
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


@contextlib.asynccontextmanager
async def cloud(pages: dict[str, Any]) -> AsyncIterator[Cloud]:
    """The double, on a port of its own."""
    double = Cloud(pages)
    server = await asyncio.start_server(double.handle, "127.0.0.1", 0)
    double.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield double
    finally:
        server.close()
        for writer in double.writers:
            writer.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def asking(
    path: Path, pages: dict[str, Any], account: Callable[[str], ProviderConfig]
) -> AsyncIterator[tuple[House, Cloud]]:
    """A gateway whose provider `x` is an account of that cloud."""
    async with cloud(pages) as double:

        def config(_: str) -> GatewayConfig:
            return GatewayConfig(
                providers={"x": account(double.url)}, discover=False, unknown_price="flag", retry_wait_seconds=0
            )

        async with house(path, config=config) as home:
            yield home, double
