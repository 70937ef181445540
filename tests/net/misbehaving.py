"""A server that says exactly what it is told to, byte by byte, and nothing else.

A script is a sequence of steps per connection: bytes to write, or one of the steps below. Connections take the scripts
in order; the last script serves all later ones.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import Sequence
from typing import Self


class Request:
    """Read one whole request (head, and the body its content-length announces)."""


class Head:
    """Read only the head of a request."""


class Reset:
    """End with RST."""


class Close:
    """End with FIN."""


class Cut:
    """Close the TCP connection under TLS, without close_notify."""


class Gone:
    """Wait until the client has closed the connection."""


class Trickle:
    """Write bytes one by one, each in a turn of the loop of its own."""

    def __init__(self, data: bytes) -> None:
        self.data = data


class Wait:
    """Wait until the test sets `event`."""

    def __init__(self) -> None:
        self.event = asyncio.Event()


class Flood:
    """Write until the client stops reading; `written` counts."""

    def __init__(self, piece: bytes, times: int) -> None:
        self.piece = piece
        self.times = times
        self.written = 0


Step = bytes | Request | Head | Reset | Close | Cut | Gone | Trickle | Wait | Flood
Script = Sequence[Step]


class Misbehaving:
    """`async with Misbehaving([Request(), b"HTTP/1.1 200 OK..."]) as server: server.url`."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._scripts = scripts
        self._tls = tls
        self._host = host
        self._tasks: set[asyncio.Task[None]] = set()
        self.received: list[bytes] = []  # whole requests, or heads
        self.connections = 0
        self.gone = asyncio.Event()  # a client closed a connection
        self.finished = asyncio.Event()  # a script ran to its end

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self._host, 0, ssl=self._tls, limit=2**24)
        self.port: int = self._server.sockets[0].getsockname()[1]
        scheme = "http" if self._tls is None else "https"
        host = "localhost" if self._tls is not None else self._host
        self.url = f"{scheme}://{host}:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for _ in range(10):  # asyncio leaks a connection that it has accepted, but not yet made, when a server closes
            await asyncio.sleep(0)
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        try:
            for step in script:
                await self._do(step, reader, writer)
            self.finished.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.gone.set()
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _do(self, step: Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match step:
            case bytes():
                writer.write(step)
                await writer.drain()
            case Request():
                self.received.append(await read_request(reader))
            case Head():
                self.received.append(await reader.readuntil(b"\r\n\r\n"))
            case Close():
                writer.close()
                await reader.read()
            case Reset():
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            case Cut():
                raw = writer.transport._ssl_protocol._transport  # type: ignore[attr-defined]
                raw.abort()
            case Gone():
                await reader.read()
                self.gone.set()
            case Trickle():
                for position in range(len(step.data)):
                    writer.write(step.data[position : position + 1])
                    await asyncio.sleep(0)
            case Wait():
                await step.event.wait()
            case Flood():
                for _ in range(step.times):
                    writer.write(step.piece)
                    await writer.drain()
                    step.written += len(step.piece)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """One request, body included."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return head + await reader.readexactly(length)
