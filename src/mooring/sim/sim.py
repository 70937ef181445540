"""The straight line of the double: read a request, run its script, bill what it generates, answer or misbehave."""

import asyncio
import hmac
import os
import socket
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import aclosing
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec

from . import media
from .chat import Completion, Frame, Usage
from .control import Control
from .conversation import ChatBody, Conversation, Failure, Script
from .dialect import OPENAI, Dialect
from .effects import Effects
from .errors import BadRequest, Cut
from .faults import Fault, FaultKind, FaultQueues, Planted
from .generate import choose
from .meter import Entry, Meter
from .mischief import FILTERS, Exchange, Frames
from .models import CATALOGUE, Marked, Model, Resolved, cached_tokens, input_tokens, marked_tokens, resolve
from .reading import dialect_of, given_key, operation_of, read_chat, read_count, read_embed
from .replies import failed, json_answer, refused
from .wire import Connection, HttpRequest, response, stream_head

_MOST_AT_ONCE = 512  # pieces of an unpaced stream that are written in one go
_MOST_CONVERSATIONS = 10_000
_MOST_ATTEMPT_CHARACTERS = 128
_YIELD_EVERY = 32  # frames of an unpaced stream between two looks at the rest of the world
_NO_FAULT = Planted(Fault("slow"))  # stands where an honest answer has none

Answer = bytes | Coroutine[Any, Any, None]


class Job(NamedTuple):
    """What is to be answered: frames that become bytes, and the bill that grows with them (None: nothing is billed)."""

    request_id: str
    frames: Iterator[Frame]
    open: Callable[[], Entry] | None = None
    pace_seconds: float = 0.0
    is_stream: bool = False
    is_small: bool = True
    wire: Dialect = OPENAI


class SimServer:
    """A provider of models on loopback that meters what it bills and fails on demand.

    `scripts` adds models, or replaces built-in ones, by name. `listener` is taken instead of a port. `seed` makes
    request ids repeat from start to start.
    """

    def __init__(
        self,
        scripts: Mapping[str, Script | Model] | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        listener: socket.socket | None = None,
        seed: int | None = None,
        api_key: str | None = None,
        meter_path: Path | None = None,
        most_rows: int = 1_000_000,
        keep_requests: int = 100,
        most_connections: int = 4096,
    ) -> None:
        self.catalogue = CATALOGUE | {
            name: script if isinstance(script, Model) else CATALOGUE["echo"]._replace(script=script)
            for name, script in (scripts or {}).items()
        }
        self.meter = Meter(most_rows=most_rows, path=meter_path)
        self.faults = FaultQueues()
        self.effects = Effects()
        self.requests: deque[HttpRequest] = deque(maxlen=keep_requests)
        self._control = Control(self.catalogue, self.meter, self.faults, self.effects, self.requests)
        self._host = host
        self._port = port
        self._listener = listener
        self._api_key = api_key
        self._instance = f"{seed:08x}" if seed is not None else os.urandom(4).hex()
        self._count = 0
        self._asked: OrderedDict[bytes, int] = OrderedDict()
        self._connections: set[Connection] = set()
        self._most_connections = most_connections
        self._server: asyncio.Server | None = None

    # life ---------------------------------------------------------------------

    async def start(self) -> None:
        """Listen. The port is known afterwards."""
        loop = asyncio.get_running_loop()
        make = partial(Connection, self.handle, self._connections, self._most_connections)
        if self._listener is None:
            self._server = await loop.create_server(make, self._host, self._port, backlog=1024)
        else:
            self._server = await loop.create_server(make, sock=self._listener)
        self._port = self._server.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """Drop all connections, write what is still open to the meter's file, close it."""
        if self._server is None:
            return
        self._server.close()
        self.faults.clear()
        tasks = [task for connection in list(self._connections) if (task := connection.close())]
        if tasks:
            await asyncio.wait(tasks)
        await self._server.wait_closed()
        self._server = None
        self.meter.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, without `/v1`."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    def fault(self, kind: FaultKind, **options: Any) -> Planted:
        """Queue a fault; see `Fault` for its options."""
        return self.faults.add(msgspec.convert({"kind": kind, **options}, Fault))

    # one request ----------------------------------------------------------------

    def handle(self, connection: Connection, request: HttpRequest) -> Answer:
        """The answer to one request, at once where that is possible."""
        self._count += 1
        request_id = f"req_{self._instance}{self._count:08x}"
        try:
            return self._route(connection, request, request_id)
        except BadRequest as problem:
            wire = dialect_of(request.path)
            return refused(problem, request_id, is_keep_alive=request.is_keep_alive, dialect=wire)
        except Exception as error:  # edge: a script may raise anything
            failure = Failure(status=500, message=f"The script failed: {type(error).__name__}: {error}")
            return failed(failure, request_id, is_keep_alive=request.is_keep_alive)

    def _route(self, connection: Connection, request: HttpRequest, request_id: str) -> Answer:
        operation, wire = operation_of(request.path), dialect_of(request.path)
        if operation == "chat":
            name, job = self._chat(request, request_id, wire)
        elif operation == "embed":
            name, job = self._embed(request, request_id)
        elif operation == "count":
            return json_answer(self._counted(request), request_id, is_keep_alive=request.is_keep_alive)
        elif (sold := media.sold_at(request.path)) is not None:
            name, job = self._sold(request, request_id, sold)
        elif request.path.startswith("/effects/"):
            name, job = self._effect(request, request_id)
        else:
            body, content_type = self._control.answer(request)
            return json_answer(body, request_id, is_keep_alive=request.is_keep_alive, content_type=content_type)
        if isinstance(job, Failure):
            return failed(job, request_id, is_keep_alive=request.is_keep_alive, dialect=wire)
        planted = self.faults.take(name)
        if planted is None and not request.is_http_11 and job.is_stream:
            planted = Planted(Fault("close_delimited"))  # HTTP/1.0 has no chunks
        if planted is None and job.is_small and not job.pace_seconds:
            return self._at_once(request, job)
        return self._deliver(connection, request, job, planted)

    def _resolve(self, request: HttpRequest, model: str, *, is_embedder: bool = False, sold: str = "") -> Resolved:
        self.requests.append(request)
        key = self._api_key
        if key is not None and not hmac.compare_digest(given_key(request).encode(), key.encode()):
            raise BadRequest("Incorrect API key provided.", status=401, code="invalid_api_key")
        resolved = resolve(model, self.catalogue)
        if resolved is None or (resolved.model.is_embedder, resolved.model.sold) != (is_embedder, sold):
            raise BadRequest(
                f"The model '{model[:100]}' does not exist here. GET /v1/models lists what does.",
                "model",
                status=404,
                code="model_not_found",
            )
        return resolved

    def _chat(self, request: HttpRequest, request_id: str, wire: Dialect) -> tuple[str, Job | Failure]:
        """Run the script, and weigh what it says before anything is written."""
        _check_post(request)
        asked, marked = read_chat(request)
        resolved = self._resolve(request, asked.model, is_embedder=False)
        completion = self._complete(asked, resolved, request_id, marked)
        if isinstance(completion, Failure):
            return resolved.name, completion
        pace_ms = _pace_ms(request, resolved)
        usage = completion.usage
        opener = self._opener(
            request,
            request_id,
            resolved.for_an_hour() if marked.is_for_an_hour else resolved,
            operation="chat",
            input_tokens=usage.input_tokens,
            cached_input_tokens=usage.cached_input_tokens,
            cache_write_tokens=usage.cache_write_tokens,
        )
        is_small = not asked.stream or usage.output_tokens <= _MOST_AT_ONCE
        frames = wire.frames(completion, asked, is_paced=pace_ms > 0)
        return resolved.name, Job(request_id, frames, opener, pace_ms / 1000, bool(asked.stream), is_small, wire)

    def _complete(self, asked: ChatBody, resolved: Resolved, request_id: str, marked: Marked) -> Completion | Failure:
        model = resolved.model
        attempt = self._attempt(asked) if model.counts_attempts else 1
        tools = [tool.function for tool in asked.tools or ()] if asked.tool_choice != "none" else []
        choices = []
        for index in range(asked.n or 1):
            conversation = Conversation(
                resolved.name,
                asked.messages,
                tools,
                allows_parallel=asked.parallel_tool_calls is not False,
                options=resolved.options,
                attempt=attempt,
                choice=index,
            )
            reply = model.script(conversation)
            if isinstance(reply, Failure):
                return reply
            choices.append(choose(asked, conversation, reply))
        read = cached_tokens(asked) if model.has_cache else 0
        usage = Usage(
            input_tokens(asked),
            sum([choice.output_tokens for choice in choices]),
            read,
            sum([choice.reasoning_tokens for choice in choices]),
            has_details=model.has_cache,
            cache_write_tokens=max(marked_tokens(asked, marked) - read, 0) if model.has_cache else 0,
            is_kept_for_an_hour=marked.is_for_an_hour,
        )
        return Completion(f"chatcmpl-{request_id[4:]}", int(time.time()), resolved.name, choices, usage)

    def _attempt(self, asked: ChatBody) -> int:
        mark = blake2b(msgspec.json.encode((asked.model, asked.messages)), digest_size=16).digest()
        count = self._asked.pop(mark, 0) + 1
        self._asked[mark] = count
        if len(self._asked) > _MOST_CONVERSATIONS:
            self._asked.popitem(last=False)
        return count

    def _embed(self, request: HttpRequest, request_id: str) -> tuple[str, Job]:
        _check_post(request)
        model, count, body = read_embed(request)
        resolved = self._resolve(request, model, is_embedder=True)
        opener = self._opener(request, request_id, resolved, operation="embeddings", input_tokens=count)
        frames = iter([Frame("finish", b""), Frame("answer", body)])
        return resolved.name, Job(request_id, frames, opener, wire=dialect_of(request.path))

    def _sold(self, request: HttpRequest, request_id: str, sold: media.Sold) -> tuple[str, Job]:
        """What is not sold by tokens."""
        wanted = media.read(request, sold, request_id)
        resolved = self._resolve(request, wanted.model, sold=sold)
        opener = self._opener(
            request, request_id, resolved, operation=sold, input_tokens=wanted.input_tokens, units=wanted.units
        )
        frames = iter(wanted.frames)
        return resolved.name, Job(
            request_id, frames, opener if wanted.is_billed else None, is_stream=wanted.is_stream, is_small=False
        )

    def _counted(self, request: HttpRequest) -> bytes:
        """Tokens are counted for nothing."""
        _check_post(request)
        model, body = read_count(request)
        self._resolve(request, model, is_embedder=False)
        return body

    def _effect(self, request: HttpRequest, request_id: str) -> tuple[str, Job]:
        _check_post(request)
        return request.path[1:], Job(request_id, self._control.effect_frames(request, request_id))

    def _opener(
        self, request: HttpRequest, request_id: str, resolved: Resolved, *, operation: str, **tokens: int
    ) -> Callable[[], Entry]:
        return lambda: self.meter.open(
            request_id=request_id,
            attempt=request.headers.get("x-mooring-attempt", "")[:_MOST_ATTEMPT_CHARACTERS],
            model=resolved.name,
            operation=operation,
            started_at_us=time.time_ns() // 1000,
            price=resolved.model.price,
            **tokens,
        )

    # writing ----------------------------------------------------------------------

    def _at_once(self, request: HttpRequest, job: Job) -> bytes:
        """The short way: everything is generated and billed now, and written in one go."""
        exchange = _exchange(_NO_FAULT, request, job)
        output_tokens = reasoning_tokens = 0
        parts = []
        for frame in job.frames:
            output_tokens += frame.output_tokens
            reasoning_tokens += frame.reasoning_tokens
            parts.append(exchange.wire(frame))
        if job.open is not None:
            entry = job.open()
            entry.grow(output_tokens, reasoning_tokens)
            entry.finish()
            entry.close(disconnected=False)
        return b"".join(parts)

    async def _deliver(self, connection: Connection, request: HttpRequest, job: Job, planted: Planted | None) -> None:
        """The long way: piece by piece, at its pace, through the fault's filter; the bill closes whatever happens."""
        exchange = _exchange(planted or _NO_FAULT, request, job)
        bill: list[Entry] = []
        try:
            async with aclosing(_generate(job, bill)) as honest:
                frames: Frames = honest
                if planted is not None:
                    if not planted.fault.kind.startswith("stall"):
                        planted.reached.set()
                    frames = FILTERS[planted.fault.kind](honest, exchange)
                async with aclosing(frames):
                    await _write(connection, frames, exchange, is_fine_grained=planted is not None)
        except Cut as cut:
            if cut.is_reset:
                connection.reset()
            else:
                connection.end()
        finally:
            for entry in bill:
                entry.close(disconnected=connection.is_lost)


async def _generate(job: Job, bill: list[Entry]) -> Frames:
    """The honest answer; the bill opens with the first frame that anyone asks for, and grows with each."""
    entry = job.open() if job.open is not None else None
    if entry is not None:
        bill.append(entry)
    for frame in job.frames:
        if job.pace_seconds and frame.kind in ("tick", "event"):
            await asyncio.sleep(job.pace_seconds)
        if entry is not None:
            if frame.output_tokens:
                entry.grow(frame.output_tokens, frame.reasoning_tokens)
            if frame.kind == "finish":
                entry.finish()
        yield frame


async def _write(connection: Connection, frames: Frames, exchange: Exchange, *, is_fine_grained: bool) -> None:
    count = 0
    async for frame in frames:
        data = exchange.wire(frame)
        if data:
            await connection.write(data)
        count += 1
        if is_fine_grained or count % _YIELD_EVERY == 0:
            await asyncio.sleep(0)


def _exchange(planted: Planted, request: HttpRequest, job: Job) -> Exchange:
    identity = [("x-request-id", job.request_id)]

    def head(content_type: str | None = None, *, is_chunked: bool = True) -> bytes:
        return stream_head(
            content_type or job.wire.stream_type,
            headers=identity,
            is_chunked=is_chunked,
            is_keep_alive=request.is_keep_alive,
        )

    def answer(body: bytes, content_type: str = "application/json") -> bytes:
        return response(200, body, content_type=content_type, headers=identity, is_keep_alive=request.is_keep_alive)

    return Exchange(planted, job.request_id, job.is_stream, head, answer, job.wire)


def _check_post(request: HttpRequest) -> None:
    if request.method != "POST":
        raise BadRequest(f"{request.path} takes POST.", status=405)


def _pace_ms(request: HttpRequest, resolved: Resolved) -> int:
    """The header's pace, else the name's, else the model's."""
    asked = request.headers.get("x-sim-pace-ms")
    if asked is not None:
        if not (asked.isascii() and asked.isdigit() and len(asked) <= 6):
            raise BadRequest("x-sim-pace-ms is a number of milliseconds per token.", "x-sim-pace-ms")
        return int(asked)
    return resolved.model.pace_ms if resolved.options.pace_ms is None else resolved.options.pace_ms
