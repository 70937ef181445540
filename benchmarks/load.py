"""What `gateway.py` runs beside the gateway, each in its own process: an upstream of constants, a client, a bare proxy.

`python benchmarks/load.py upstream [PACE_SECONDS]` prints its port and serves until its standard input ends. A stream
is 64 text events at once or, where the request's seed says so, `PACE_SECONDS` apart, as a model would.
`python benchmarks/load.py client` reads one `Load` as JSON from standard input, prints one `Took`.
`python benchmarks/load.py bare UPSTREAM_PORT` proxies.
"""

import asyncio
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import msgspec
import uvicorn
import uvloop

from mooring.net import EgressPolicy, HttpClient
from mooring.net.request import Request

EVENTS = 64
HEAD_END = b"\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
USAGE = {"prompt_tokens": 21, "completion_tokens": EVENTS, "total_tokens": 21 + EVENTS}
PACED = 8
IS_STREAM = re.compile(rb'"stream": ?true').search
IS_PACED = re.compile(rb'"seed": ?%d\b' % PACED).search
TEXT = "A mooring holds a ship where wind and tide would not."


class Load(msgspec.Struct, frozen=True):
    """What one client process does: `count` requests over `connections` keep-alive connections."""

    port: int
    count: int
    connections: int
    body: str
    headers: dict[str, str] = {}
    is_stream: bool = False


class Took(msgspec.Struct, frozen=True):
    """Seconds: the whole load, and one request at the median and the 99th percentile."""

    seconds: float
    p50: float
    p99: float


def request_body(model: str, *, is_stream: bool = False, is_paced: bool = False, padding_bytes: int = 0) -> str:
    """A chat completion as the SDKs send it; its seed tells the upstream whether to pace the events."""
    question = "What does a mooring do?" + " It holds." * (padding_bytes // 10)
    body = {
        "model": model,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": question}],
        "max_tokens": EVENTS,
        "seed": PACED if is_paced else 7,
    }
    return msgspec.json.encode(body | ({"stream": True} if is_stream else {})).decode()


# The upstream ------------------------------------------------------------------


def answer() -> bytes:
    """A small unstreamed answer, head and body."""
    message = {"role": "assistant", "content": TEXT}
    fields = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_790_000_000, "model": "constant"}
    fields |= {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": USAGE}
    body = msgspec.json.encode(fields)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_1\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


def stream() -> list[bytes]:
    """A streamed one: the head, then each event as a chunk of its own; the last brings all that ends it."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": "constant"}

    def event(fields: dict[str, object]) -> bytes:
        data = b"data: " + msgspec.json.encode(head | fields) + b"\n\n"
        return b"%x\r\n" % len(data) + data + b"\r\n"

    texts: list[bytes] = [
        event({"choices": [{"index": 0, "delta": {"content": f"word {number} "}, "finish_reason": None}]})
        for number in range(EVENTS)
    ]
    end = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    end += event({"choices": [], "usage": USAGE}) + b"e\r\ndata: [DONE]\n\n\r\n" + LAST_CHUNK
    start = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return [start, *texts, end]


class Upstream(asyncio.Protocol):
    """Answers each request of a connection in turn; what is asked decides only whether the answer streams."""

    small = answer()
    pieces = stream()

    def __init__(self, pace_seconds: float) -> None:
        self._pace = pace_seconds
        self._loop = asyncio.get_running_loop()
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(HEAD_END)
        if end < 0 or len(self._buffer) < end + 4 + length_of(self._buffer[:end]):
            return
        request, self._buffer = self._buffer, b""
        if IS_STREAM(request) is None:
            self._transport.write(self.small)
        elif self._pace and IS_PACED(request):
            self._write(0)
        else:
            self._transport.write(b"".join(self.pieces))

    def _write(self, number: int) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(self.pieces[number])
        if number + 1 < len(self.pieces):
            self._loop.call_later(self._pace, self._write, number + 1)


def length_of(head: bytes) -> int:
    """The body's length; 0 where the head does not say one."""
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


async def serve_upstream(pace_seconds: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(pace_seconds), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await loop.run_in_executor(None, sys.stdin.read)


# The client --------------------------------------------------------------------


class Queue(NamedTuple):
    """What the connections share: the numbers of requests to send, durations so far, and whom to tell of the end."""

    count: int
    numbers: Iterator[int]
    durations: list[float]
    ended: "asyncio.Future[None]"


class Client(asyncio.Protocol):
    """One connection: the next request as soon as an answer is whole."""

    def __init__(self, request: bytes, is_whole: Callable[[bytes], bool], queue: Queue) -> None:
        self._request = request
        self._is_whole = is_whole
        self._queue = queue
        self._buffer: list[bytes] = []
        self._at = 0.0
        self._is_busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def ask(self) -> None:
        """Send one request, if any is left."""
        if next(self._queue.numbers, None) is None:
            return
        self._is_busy = True
        self._at = time.perf_counter()
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer.append(data)
        try:
            if not self._is_whole(data if len(self._buffer) == 1 else b"".join(self._buffer)):
                return
        except ValueError as error:
            self._end(error)
            return
        self._buffer.clear()
        self._is_busy = False
        self._queue.durations.append(time.perf_counter() - self._at)
        if len(self._queue.durations) == self._queue.count:
            self._queue.ended.set_result(None)
        self.ask()

    def connection_lost(self, error: Exception | None) -> None:
        if self._is_busy:
            self._end(error or ConnectionError("closed in the middle of an answer"))

    def _end(self, error: Exception) -> None:
        if not self._queue.ended.done():
            self._queue.ended.set_exception(error)


def is_whole_answer(data: bytes) -> bool:
    """Whether an unstreamed 200 has come to its end."""
    end = data.find(HEAD_END)
    if end < 0:
        return False
    if not data.startswith(b"HTTP/1.1 200"):
        raise ValueError(data[:400].decode(errors="replace"))
    length = length_of(data[:end])
    return len(data) >= end + 4 + length if length else data.endswith(LAST_CHUNK)


def is_whole_stream(data: bytes) -> bool:
    """Whether a chunked 200 has come to its end, with every event in it."""
    if not data.startswith(b"HTTP/1.1 200"):
        raise ValueError(data[:400].decode(errors="replace"))
    if not data.endswith(LAST_CHUNK):
        return False
    if data.count(b'"content":"word') != EVENTS or b"data: [DONE]" not in data:
        raise ValueError("a stream lacks events")
    return True


async def run_load(load: Load) -> Took:
    loop = asyncio.get_running_loop()
    queue = Queue(load.count, iter(range(load.count)), [], loop.create_future())
    lines = [f"{name}: {value}" for name, value in load.headers.items()]
    head = ["POST /v1/chat/completions HTTP/1.1", f"host: 127.0.0.1:{load.port}", "content-type: application/json"]
    head += [*lines, f"content-length: {len(load.body)}"]
    request = "\r\n".join(head).encode() + HEAD_END + load.body.encode()
    is_whole = is_whole_stream if load.is_stream else is_whole_answer
    clients: list[Client] = []
    for _ in range(load.connections):
        _, client = await loop.create_connection(lambda: Client(request, is_whole, queue), "127.0.0.1", load.port)
        clients.append(client)
    started = time.perf_counter()
    for client in clients:
        client.ask()
    await queue.ended
    seconds = time.perf_counter() - started
    for client in clients:
        client.transport.close()
    durations = sorted(queue.durations)
    return Took(seconds, durations[len(durations) // 2], durations[len(durations) * 99 // 100])


# The bare stack ------------------------------------------------------------------


class Bare:
    """An ASGI application that passes everything on: what the server and our HTTP client cost by themselves."""

    def __init__(self, upstream_port: int) -> None:
        self._url = f"http://127.0.0.1:{upstream_port}/v1/chat/completions"
        self._http: HttpClient | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._http is None:
            self._http = HttpClient(egress=EgressPolicy(allow=("127.0.0.0/8",)))
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message["more_body"]:
                break
        headers = [(b"content-type", b"application/json")]
        response = await self._http.send(Request("POST", self._url, headers, body))
        kind = (response.headers.get("content-type") or "").encode()
        await send({"type": "http.response.start", "status": response.status, "headers": [(b"content-type", kind)]})
        async for chunk in response.chunks():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body"})


def serve_bare(upstream_port: int) -> None:
    """Prints the port, serves until killed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        settings = uvicorn.Config(
            Bare(upstream_port),
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
        )
        uvloop.run(uvicorn.Server(settings).serve(sockets=[listener]))


def main(arguments: list[str]) -> None:
    if arguments[0] == "bare":
        serve_bare(int(arguments[1]))
        return
    if arguments[0] == "upstream":
        uvloop.run(serve_upstream(float(arguments[1]) if len(arguments) > 1 else 0.0))
        return
    load = msgspec.json.decode(sys.stdin.buffer.read(), type=Load)
    print(msgspec.json.encode(uvloop.run(run_load(load))).decode())


if __name__ == "__main__":
    main(sys.argv[1:])
