"""HTTP/1.1 as the double speaks it: its own reading and writing, on nothing but `asyncio.Protocol`.

One request at a time per connection; pipelined ones wait in the buffer. Everything read is bounded.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine, Iterable
from http import HTTPStatus
from typing import Any, NamedTuple, cast

from .errors import BadHttp

MOST_HEAD_BYTES = 64 * 1024
MOST_BODY_BYTES = 32 * 1024 * 1024
MOST_HEADERS = 200
_MOST_LINE_BYTES = 1024
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class HttpRequest(NamedTuple):
    """One request; header names are lower-case, repeated ones are joined with a comma."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    is_keep_alive: bool
    is_http_11: bool


class _Head(NamedTuple):
    request: HttpRequest
    length: int  # bytes of the body; -1 when it comes in chunks


Handler = Callable[["Connection", HttpRequest], "bytes | Coroutine[Any, Any, None]"]


def response(
    status: int,
    body: bytes,
    *,
    content_type: str = "application/json",
    headers: Iterable[tuple[str, str]] = (),
    is_keep_alive: bool = True,
) -> bytes:
    """A whole answer with its length."""
    more = "".join([f"{name}: {value}\r\n" for name, value in headers])
    close = "" if is_keep_alive else "connection: close\r\n"
    head = f"content-type: {content_type}\r\ncontent-length: {len(body)}\r\n{close}{more}\r\n"
    return status_line(status) + head.encode("latin-1", "replace") + body


def stream_head(
    content_type: str, *, headers: Iterable[tuple[str, str]] = (), is_chunked: bool = True, is_keep_alive: bool = True
) -> bytes:
    """The head of an answer in chunks, or of one that the end of the connection ends."""
    more = "".join([f"{name}: {value}\r\n" for name, value in headers])
    framing = "transfer-encoding: chunked\r\n" if is_chunked else ""
    close = "" if is_keep_alive and is_chunked else "connection: close\r\n"
    head = f"content-type: {content_type}\r\ncache-control: no-cache\r\n{framing}{close}{more}\r\n"
    return status_line(200) + head.encode("latin-1", "replace")


def status_line(status: int) -> bytes:
    """The first line of an answer."""
    return f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n".encode()


def chunk(data: bytes) -> bytes:
    """One chunk; the empty one ends the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Connection(asyncio.Protocol):
    """One connection: reads requests, hands each to the server, and keeps order.

    The handler returns the whole answer as bytes, or a coroutine that writes one; the coroutine is cancelled when the
    client hangs up (`is_lost` tells it apart from a shutdown).
    """

    def __init__(self, handler: Handler, connections: set["Connection"], most_connections: int) -> None:
        self._handler = handler
        self._connections = connections
        self._most_connections = most_connections
        self._buffer = bytearray()
        self._scanned = 0
        self._head: _Head | None = None
        self._body = bytearray()
        self._transport: asyncio.Transport
        self._task: asyncio.Task[None] | None = None
        self._can_write = asyncio.Event()
        self._can_write.set()
        self.is_lost = False
        self._is_ending = False

    # what asyncio calls -------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if len(self._connections) >= self._most_connections:
            self._transport.abort()
            return
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        self._connections.discard(self)
        self._can_write.set()
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._can_write.clear()

    def resume_writing(self) -> None:
        self._can_write.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._task is None:
            self._advance()
        elif len(self._buffer) > MOST_HEAD_BYTES + MOST_BODY_BYTES:
            self._transport.abort()

    # what handlers call -------------------------------------------------------

    async def write(self, data: bytes) -> None:
        """Send, and wait while the client is slower than we are.

        Raises:
            ConnectionResetError: the client is gone.
        """
        if self.is_lost:
            raise ConnectionResetError
        self._transport.write(data)
        if not self._can_write.is_set():
            await self._can_write.wait()

    def end(self) -> None:
        """Close after what was written so far."""
        self._is_ending = True
        self._transport.close()

    def reset(self) -> None:
        """Close with a TCP reset."""
        self._is_ending = True
        owned = self._transport.get_extra_info("socket")
        if owned is not None:
            with socket.fromfd(owned.fileno(), owned.family, socket.SOCK_STREAM) as duplicate:
                duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def close(self) -> asyncio.Task[None] | None:
        """Drop the connection at shutdown; returns what still runs."""
        self._is_ending = True
        task = self._task
        if task is not None:
            task.cancel()
        self._transport.abort()
        return task

    # reading --------------------------------------------------------------------

    def _advance(self) -> None:
        while self._task is None and not self._is_ending and not self.is_lost:
            try:
                request = self._next_request()
            except BadHttp as problem:
                text = str(problem).replace('"', "'")
                body = b'{"error":{"message":"%b","type":"invalid_request_error","param":null,"code":null}}'
                self._transport.write(response(problem.status, body % text.encode(), is_keep_alive=False))
                self.end()
                return
            if request is None:
                return
            answer = self._handler(self, request)
            if isinstance(answer, bytes):
                self._transport.write(answer)
                if not request.is_keep_alive:
                    self.end()
            else:
                self._task = asyncio.get_running_loop().create_task(self._run(answer, request))

    async def _run(self, answer: Coroutine[Any, Any, None], request: HttpRequest) -> None:
        try:
            await answer
        except (ConnectionResetError, BrokenPipeError):
            self._transport.abort()
        except BaseException:
            self._transport.abort()  # a half-written answer must not look whole
            raise
        else:
            if not request.is_keep_alive:
                self.end()
        finally:
            self._task = None
        self._advance()

    def _next_request(self) -> HttpRequest | None:
        if self._head is None:
            self._head = self._read_head()
            if self._head is None:
                return None
        head = self._head
        body = self._read_chunks() if head.length < 0 else self._read_counted(head.length)
        if body is None:
            return None
        self._head = None
        return head.request._replace(body=body)

    def _read_head(self) -> _Head | None:
        end = self._buffer.find(b"\r\n\r\n", self._scanned)
        if end > MOST_HEAD_BYTES or (end < 0 and len(self._buffer) > MOST_HEAD_BYTES):
            raise BadHttp(431, f"The head of the request is over {MOST_HEAD_BYTES} bytes.")
        if end < 0:
            self._scanned = max(len(self._buffer) - 3, 0)
            return None
        raw = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        self._scanned = 0
        head = _parse_head(raw)
        if not self._buffer and head.request.headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return head

    def _read_counted(self, length: int) -> bytes | None:
        if len(self._buffer) < length:
            return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    def _read_chunks(self) -> bytes | None:
        while True:
            end = self._buffer.find(b"\r\n", 0, _MOST_LINE_BYTES)
            if end < 0:
                if len(self._buffer) >= _MOST_LINE_BYTES:
                    raise BadHttp(400, "A chunk of the body has no size.")
                return None
            size = _hexadecimal(bytes(self._buffer[:end]).partition(b";")[0].strip())
            if len(self._body) + size > MOST_BODY_BYTES:
                raise BadHttp(413, f"The body is over {MOST_BODY_BYTES} bytes.")
            need = end + 2 + size + 2
            if len(self._buffer) < need:
                return None
            if self._buffer[need - 2 : need] != b"\r\n":
                raise BadHttp(400, "A chunk of the body does not end where it said.")
            self._body += self._buffer[end + 2 : need - 2]
            del self._buffer[:need]
            if size == 0:
                body = bytes(self._body)
                self._body.clear()
                return body


def _hexadecimal(text: bytes) -> int:
    if not text or len(text) > 8 or text.strip(b"0123456789abcdefABCDEF"):
        raise BadHttp(400, "A chunk of the body has no size.")
    return int(text, 16)


def _parse_head(raw: bytes) -> _Head:
    lines = raw.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or parts[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise BadHttp(400, "The request line is not HTTP/1.1.")
    if len(lines) > MOST_HEADERS:
        raise BadHttp(431, f"More than {MOST_HEADERS} headers.")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not name or name != name.strip():
            raise BadHttp(400, "A header line has no name.")
        value = value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    path, _, query = parts[1].partition("?")
    is_http_11 = parts[2] == "HTTP/1.1"
    connection = headers.get("connection", "").lower()
    is_keep_alive = connection != "close" if is_http_11 else connection == "keep-alive"
    request = HttpRequest(parts[0], path, query, headers, b"", is_keep_alive, is_http_11)
    return _Head(request, _body_length(headers))


def _body_length(headers: dict[str, str]) -> int:
    coding = headers.get("transfer-encoding")
    length = headers.get("content-length")
    if coding is not None:
        if length is not None or coding.lower() != "chunked":
            raise BadHttp(400, "The body's length is contradictory.")
        return -1
    if length is None:
        return 0
    if not (length.isascii() and length.isdigit()):
        raise BadHttp(400, "Content-Length is not a number.")
    if len(length) > 12 or int(length) > MOST_BODY_BYTES:
        raise BadHttp(413, f"The body is over {MOST_BODY_BYTES} bytes.")
    return int(length)
