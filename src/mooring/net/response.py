"""A response whose head has come; the body is read as chunks or whole."""

import asyncio
import functools
from collections.abc import AsyncIterator
from typing import Protocol, Self

import msgspec

from mooring.core.errors import MooringError, TooLarge, UpstreamDisconnected

from .request import Request


class Wire(Protocol):
    """What a response asks of the connection it comes from."""

    def resume(self) -> None:
        """Read on: the reader has emptied the buffer."""
        ...

    def abandon(self, response: "Response") -> None:
        """Close the socket: nobody wants the rest."""
        ...


class Traffic:
    """Bytes through the socket, inside TLS, heads and framing included; adds up over redirects and failed tries."""

    __slots__ = ("down", "up")

    def __init__(self) -> None:
        self.up = 0
        self.down = 0


@functools.lru_cache(maxsize=256)
def _wire_name(name: str) -> bytes:
    return name.lower().encode("latin-1")


class Headers:
    """Header lines in order, names in lower case; look-up ignores case."""

    __slots__ = ("_first", "raw")

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self.raw = raw
        self._first: dict[bytes, bytes] | None = None

    def get(self, name: str) -> str | None:
        """The first value of this name."""
        if self._first is None:
            self._first = dict(reversed(self.raw))
        value = self._first.get(_wire_name(name))
        return None if value is None else value.decode("latin-1")

    def add(self, name: bytes, value: bytes) -> None:
        """One more line."""
        self.raw.append((name, value))
        self._first = None

    def get_all(self, name: str) -> list[str]:
        """Every value of this name, in order."""
        wanted = _wire_name(name)
        return [value.decode("latin-1") for key, value in self.raw if key == wanted]


_NO_HEADERS = Headers([])


class Response(msgspec.Struct, eq=False):
    """One exchange, from sending to the end of the body.

    Read it to the end, or close it (`async with`, `aclose`): closing before the end closes the socket.
    """

    request: Request
    traffic: Traffic
    _waiter: "asyncio.Future[None] | None"
    status: int = 0
    headers: Headers = _NO_HEADERS
    trailers: Headers = _NO_HEADERS
    content_length: int | None = None
    is_complete: bool = False
    is_paused: bool = False
    buffered_bytes: int = 0
    _wire: Wire | None = None
    _chunks: list[bytes] = []
    _error: MooringError | None = None

    # For the reader ---------------------------------------------------------

    @property
    def bytes_up(self) -> int:
        """Sent so far."""
        return self.traffic.up

    @property
    def bytes_down(self) -> int:
        """Received so far."""
        return self.traffic.down

    async def read(self, limit_bytes: int) -> bytes:
        """The whole body.

        Raises:
            TooLarge: more than `limit_bytes`; the socket is closed.
            UpstreamDisconnected: the connection broke before the end.
            UpstreamTimeout: the idle or the total deadline passed.
            UpstreamMalformed: the framing of the body is broken.
        """
        if self.content_length is not None and self.content_length > limit_bytes:
            raise self._too_large(limit_bytes)
        body = await self.more()
        parts = [body]
        size = len(body)
        while not self.is_complete or self._chunks:
            if size > limit_bytes:
                raise self._too_large(limit_bytes)
            more = await self.more()
            parts.append(more)
            size += len(more)
        if size > limit_bytes:
            raise self._too_large(limit_bytes)
        return body if len(parts) == 1 else b"".join(parts)

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes: all that has arrived since the last look, never an empty piece. Raises like `read`."""
        return _Chunks(self)

    async def aclose(self) -> None:
        """Done with it; the socket is closed unless the body had come to its end."""
        self.close()

    def close(self) -> None:
        """`aclose` for code that cannot wait."""
        self._chunks.clear()
        if not self.is_complete and self._error is None:
            self._error = UpstreamDisconnected("The response was closed before its end.", is_billable=True)
            if self._wire is not None:
                self._wire.abandon(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def _too_large(self, limit_bytes: int) -> TooLarge:
        self.close()
        return TooLarge(f"The answer is larger than {limit_bytes} bytes.", hint="Ask for less, or raise the limit.")

    async def more(self) -> bytes:
        """All that has come since the last look, waiting for it; empty only at the end; raises like `read`."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self.is_complete:
                return b""
            waiter = self._waiter = asyncio.get_running_loop().create_future()
            try:
                await waiter
            except asyncio.CancelledError:
                self.close()
                raise
            finally:
                self._waiter = None
        chunks = self._chunks
        self._chunks = []
        self.buffered_bytes = 0
        if self.is_paused and self._wire is not None:
            self._wire.resume()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    # For the connection -----------------------------------------------------

    async def wait(self, waiter: "asyncio.Future[None]") -> None:
        """Until the connection wakes it; a cancelled reader closes the socket."""
        try:
            await waiter
        except asyncio.CancelledError:
            self.close()
            raise

    def attach(self, wire: Wire) -> None:
        """The connection it comes from."""
        self._wire = wire

    def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The final head has come."""
        self.status = status
        self.headers = Headers(headers)
        if self._waiter is not None:
            self._wake()

    def add_trailer(self, name: bytes, value: bytes) -> None:
        """A header line after the body."""
        if self.trailers is _NO_HEADERS:
            self.trailers = Headers([])
        self.trailers.add(name, value)

    def feed(self, data: bytes) -> None:
        """A piece of body."""
        self._chunks.append(data)
        self.buffered_bytes += len(data)
        if self._waiter is not None:
            self._wake()

    def finish(self) -> None:
        """The body is whole."""
        self.is_complete = True
        self._wire = None
        if self._waiter is not None:
            self._wake()

    def fail(self, error: MooringError) -> None:
        """The exchange broke; what has come before is still handed out."""
        if self._error is None and not self.is_complete:
            self._error = error
        self._wire = None
        self._wake()

    @property
    def error(self) -> MooringError | None:
        """What broke it."""
        return self._error

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class _Chunks:
    """An iterator without a generator's clean-up, so that leaving a loop early costs nothing."""

    __slots__ = ("_response",)

    def __init__(self, response: Response) -> None:
        self._response = response

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._response.more()
        if not chunk:
            raise StopAsyncIteration
        return chunk
