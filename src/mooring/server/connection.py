"""One HTTP/1.1 connection of the server: has its requests answered one after the other, and writes the replies.

uvicorn listens, counts connections and drains; this is the protocol that it gives each of them. It knows no ASGI: a
request becomes an `Exchange`, its `Reply` becomes one write. Everything that comes from outside has a limit: the head
(`parser.py`), the body (`exchange.py`), and here the time in which each must come.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import lru_cache
from http import HTTPStatus
from time import perf_counter
from typing import NamedTuple, Protocol, cast

import msgspec

from mooring.core.errors import MooringError, Unavailable

from .exchange import Exchange, Reply
from .parser import RequestParser

log = logging.getLogger("mooring.server")
# Under this, head and body are copied into one buffer and leave in one system call and mostly one packet.
_ONE_WRITE_BYTES = 65_536
_LAST_CHUNK = b"0\r\n\r\n"
_NEVER = float("inf")


class Patience(NamedTuple):
    """How long a client may take, in seconds: for a head, between two pieces of a body, between two
    requests, and to read a reply that came before the end of its own request.
    """

    head: float = 30.0
    body: float = 60.0
    idle: float = 75.0
    linger: float = 2.0


class State(Protocol):
    """What uvicorn shares between its connections: it closes these, and cancels those when the drain takes too long."""

    connections: "set[Connection]"
    tasks: set[asyncio.Task[None]]


Answer = Callable[[Exchange], Awaitable[Reply]]
# What was exchanged, the seconds that it took, and bytes up and down through the socket, heads and framing included.
Count = Callable[[Exchange, Reply, float, int, int], None]


class Connection(asyncio.Protocol):
    """`answer` never raises; what breaks a stream cuts the connection, so that no reader takes it for whole."""

    def __init__(
        self,
        answer: Answer,
        state: State,
        *,
        body_limit_bytes: int,
        connection_limit: int,
        patience: Patience,
        count: Count | None = None,
    ) -> None:
        self._answer = answer
        self._count = count
        self._up = self._down = 0  # bytes of the exchange that is under way
        self._state = state
        self._body_limit_bytes = body_limit_bytes
        self._connection_limit = connection_limit
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._parser: RequestParser | None = None
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = _NEVER
        self._waiting: deque[Exchange] = deque()
        self._is_held = False
        # The reply that goes out.
        self._current: Exchange | None = None
        self._next: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._is_last = False

    # Life --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._parser = RequestParser(
            scheme="http" if transport.get_extra_info("sslcontext") is None else "https",
            body_limit_bytes=self._body_limit_bytes,
            on_request=self._waiting.append,
            on_wanted=self._go_on,
        )
        self._state.connections.add(self)
        if len(self._state.connections) > self._connection_limit:
            self._refuse(Unavailable("This server has as many connections as it may.", hint="Come back later."))
            return
        self._task = self._loop.create_task(self._serve())
        self._expect(self._patience.head)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._state.connections.discard(self)
        self._is_last = True
        for exchange in (self._current, *self._waiting):
            if exchange is not None:
                exchange.hang_up()
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
        self.resume_writing()
        self._wake()

    def eof_received(self) -> bool:
        return False  # a client that closes its side has hung up

    def pause_writing(self) -> None:
        if self._drained is None:
            self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def shutdown(self) -> None:
        """The server drains: what runs may end, and nothing comes after it."""
        self._is_last = True
        if self._current is None and not self._waiting:
            self._close()

    # Bytes in ------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        parser = self._parser
        assert parser is not None
        self._up += len(data)
        before = parser.phase
        parser.feed(data)
        if parser.problem is not None:
            self._refuse(parser.problem)
            return
        if parser.phase == "between":
            self._deadline = _NEVER
        elif parser.phase == "body":
            self._expect(self._patience.body)
        elif before != "head":  # a head must be whole in time, however it drips
            self._expect(self._patience.head)
        if parser.is_full or len(self._waiting) > 1:
            self._hold()
        if self._waiting:
            self._wake()

    # Requests, one after the other ----------------------------------------------

    async def _serve(self) -> None:
        """Answers each request in its turn, until the connection ends."""
        try:
            while self._waiting or not self._is_last:
                if self._waiting:
                    await self._one(self._waiting.popleft())
                else:
                    self._next = self._loop.create_future()
                    await self._next
        finally:
            self._close()

    async def _one(self, exchange: Exchange) -> None:
        task = cast("asyncio.Task[None]", self._task)
        self._current = exchange
        self._state.tasks.add(task)
        try:
            began = perf_counter()
            reply = await self._answer(exchange)
            try:
                await self._reply(exchange, reply)
            finally:
                self._note(exchange, reply, began)
            if not exchange.is_ended:
                await self._outlast(exchange)
        except Exception:  # the edge: a stream that breaks; a cut is all that its reader can still be told
            log.exception("%s %s broke", exchange.method, exchange.path)
            self._abort()
        finally:
            self._current = None
            self._state.tasks.discard(task)
        if not exchange.keeps_alive:
            self._is_last = True
            self._waiting.clear()
        elif self._is_between and not self._waiting:
            self._expect(self._patience.idle)
        if self._is_held:
            self._resume()

    def _note(self, exchange: Exchange, reply: Reply, began: float) -> None:
        up, down, self._up, self._down = self._up, self._down, 0, 0
        if self._count is not None:
            self._count(exchange, reply, perf_counter() - began, up, down)

    async def _outlast(self, exchange: Exchange) -> None:
        """The reply came before the end of the body: to close at once would reset what the client has not read yet."""
        exchange.keeps_alive = False
        if exchange.is_wanted or not expects_continue(exchange):
            self._resume()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience.linger):
                    await exchange.drop()

    async def _reply(self, exchange: Exchange, reply: Reply) -> None:
        if not isinstance(reply.body, bytes):
            await self._stream(exchange, reply, reply.body)
            return
        body = reply.body
        is_last = self._is_last or not (exchange.keeps_alive and exchange.is_ended)
        head = _head(reply, b"content-length: %d\r\n" % len(body), is_last)
        if exchange.method == "HEAD":
            self._write(head)
        elif len(body) <= _ONE_WRITE_BYTES:
            self._write(head + body)
        else:
            self._write(head)
            self._write(body)
        if self._drained is not None:
            await self._drained

    async def _stream(self, exchange: Exchange, reply: Reply, body: AsyncIterator[bytes]) -> None:
        """Each chunk as it comes, until the client is gone. Before HTTP/1.1 the end of the socket is the end."""
        is_chunked = exchange.takes_chunks
        exchange.keeps_alive = exchange.keeps_alive and is_chunked
        framing = b"cache-control: no-cache\r\n" + (b"transfer-encoding: chunked\r\n" if is_chunked else b"")
        self._write(_head(reply, framing, self._is_last or not (exchange.keeps_alive and exchange.is_ended)))
        try:
            async for chunk in body:
                if exchange.is_gone:
                    return
                if chunk:
                    self._write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if is_chunked else chunk)
                    if self._drained is not None:
                        await self._drained
        finally:
            close = getattr(body, "aclose", None)
            if close is not None:
                await asyncio.shield(close())
        if is_chunked:
            self._write(_LAST_CHUNK)

    def _write(self, data: bytes) -> None:
        """Who has gone by now reads nothing more, and that is no failure."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            self._down += len(data)
            transport.write(data)

    @property
    def _is_between(self) -> bool:
        """Whether the last request has come whole, and nothing of the next one."""
        return self._parser is not None and self._parser.phase == "between"

    def _wake(self) -> None:
        if self._next is not None and not self._next.done():
            self._next.set_result(None)

    # Reading ---------------------------------------------------------------------

    def _hold(self) -> None:
        """Nothing more is read for now, and so nothing is waited for."""
        self._deadline = _NEVER
        if not self._is_held and self._transport is not None and not self._transport.is_closing():
            self._is_held = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._is_held and len(self._waiting) <= 1 and self._transport is not None:
            self._is_held = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
            if not self._is_between:
                self._expect(self._patience.body)

    def _go_on(self) -> None:
        """A route waits for the body of the current request."""
        current = self._current
        if current is not None and expects_continue(current) and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._resume()

    # Time ------------------------------------------------------------------------

    def _expect(self, seconds: float) -> None:
        """More must come within so long. The one timer looks when it fires, so that this costs an addition."""
        self._deadline = self._loop.time() + seconds

    def _watch(self) -> None:
        now = self._loop.time()
        if now < self._deadline:
            wait = min(self._deadline - now, self._patience.head) + 0.001
            self._timer = self._loop.call_later(wait, self._watch)
        elif not self._is_between:
            self._refuse(_TooSlow("The request did not come in time.", hint="Send it in one piece."))
        else:
            self._close()

    # Ends ------------------------------------------------------------------------

    def _refuse(self, error: MooringError) -> None:
        """The connection's last words: after bytes that make no sense nothing can be trusted to be a request."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._current is None and not self._waiting:
            fields = {"message": str(error), "type": "invalid_request_error", "param": None, "code": error.code}
            body = msgspec.json.encode({"error": fields})
            reply = Reply(error.status, body)
            self._transport.write(_head(reply, b"content-length: %d\r\n" % len(body), True) + body)
            self._close()
        else:  # the answers to what came before it go out first
            self._is_last = True
            self._hold()
            if self._parser is not None and self._parser.incoming is not None:
                self._parser.incoming.fail(error)
            self._wake()

    def _close(self) -> None:
        self._is_last = True
        if self._transport is not None:
            self._transport.close()
        self._wake()

    def _abort(self) -> None:
        self._is_last = True
        if self._transport is not None:
            self._transport.abort()


def expects_continue(exchange: Exchange) -> bool:
    """Whether the client waits with its body until it is asked for."""
    return exchange.headers.get(b"expect", b"").lower() == b"100-continue"


class _TooSlow(MooringError):
    status = 408
    code = "request_timeout"


@lru_cache(maxsize=128)
def _status_line(status: int, content_type: str) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\ncontent-type: {content_type}\r\n".encode("latin-1")


def _head(reply: Reply, framing: bytes, is_last: bool) -> bytes:
    lines = [_status_line(reply.status, reply.content_type)]
    for name, value in reply.headers:
        if b"\n" in value or b"\r" in value:
            raise ValueError(f"The header {name!r} holds a line break.")
        lines.append(b"%b: %b\r\n" % (name, value))
    lines.append(framing)
    lines.append(b"connection: close\r\n\r\n" if is_last else b"\r\n")
    return b"".join(lines)
