"""A proxy that opens tunnels: it notes what it was asked, and looks names up in a table of its own."""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import Mapping
from typing import Self


class Forwarding:
    """`async with Forwarding({"provider.test:443": port}) as proxy: proxy.url`. `user` is who may pass."""

    def __init__(self, ports: Mapping[str, int], *, user: str | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._ports = ports
        self._wanted = None if user is None else b"Basic " + base64.b64encode(user.encode())
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self.asked: list[str] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}" if self._tls is None else f"https://localhost:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for _ in range(10):  # see `Misbehaving`
            await asyncio.sleep(0)
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            await self._serve(reader, writer)
        writer.transport.abort()
        self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        method, where, _ = lines[0].decode().split(" ")
        assert method == "CONNECT"
        self.asked.append(where)
        if self._wanted is not None and b"proxy-authorization: " + self._wanted not in lines:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\n\r\n")
        elif where not in self._ports:
            writer.write(b"HTTP/1.1 403 Not On My Watch\r\n\r\n")
        else:
            there = await asyncio.open_connection("127.0.0.1", self._ports[where])
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))
            return
        await writer.drain()
        writer.close()
        await reader.read()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
