"""The only place where rooms are wired together: `build(config)` gives one process all that it needs."""

import asyncio
import contextlib
import hmac
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import msgspec

from mooring.client.discovery import Endpoint, running_endpoint
from mooring.config import Config
from mooring.core import ids
from mooring.core.clock import Clock, SystemClock
from mooring.core.errors import Unavailable, UpstreamDisconnected, UpstreamError, UpstreamTimeout
from mooring.core.ids import NewId
from mooring.core.messages import ChatRequest, ChatResponse
from mooring.core.seams import Complete, Embed
from mooring.core.text import digest
from mooring.gateway import embeddings
from mooring.gateway.batch_work import Answered, Send
from mooring.gateway.batches import Batches
from mooring.gateway.codecs import registry as codecs
from mooring.gateway.config import read_secret
from mooring.gateway.files import Files
from mooring.gateway.gateway import Gateway
from mooring.gateway.inbound import Inbound
from mooring.gateway.keys import Caller, Keys
from mooring.gateway.outward import http_client
from mooring.guardrails.guardrails import Guardrails
from mooring.guardrails.redactor import Redactor
from mooring.journal.base import TOPICS
from mooring.journal.journal import Journal
from mooring.journal.records import RunRecord, RunRef
from mooring.net import Deadlines, HttpClient, Request
from mooring.rag import DocumentIndex, DocumentRepository, Origin, Rag, Recalled
from mooring.storage import Blobs, Database, Home, ProcessLock
from mooring.storage.liveness import require_same_version
from mooring.tracing.export import Exporter
from mooring.tracing.projector import Projector
from mooring.tracing.spans import Spans
from mooring.tracing.traffic import Edge, TrafficFollower

APP_REPORT = "app.json"  # in the home's run folder: what the workers of `up --reload` have loaded
ProcessKind = Literal["serve", "worker", "cli"]
EMBEDDINGS_PATH = "/v1/embeddings"
BATCH_ANSWER_BYTES = 64 * 1024 * 1024
_BATCH_DEADLINES = Deadlines(first_byte_seconds=900.0, total_seconds=900.0)
EMBEDDINGS_LIMIT_BYTES = 16 * 1024 * 1024
LOOPBACK = ("127.0.0.0/8", "::1/128")


class _AppReport(msgspec.Struct):
    app: str
    digest: str


class Refused(UpstreamError):
    """The model that was asked on a caller's behalf gave no answer; status and words are the gateway's."""

    def __init__(self, status: int, body: bytes) -> None:
        error = msgspec.json.decode(body).get("error", {})
        super().__init__(str(error.get("message", "The model gave no answer.")))
        self.status = status  # type: ignore[misc]  # what the gateway answered
        self.code = str(error.get("code") or self.code)  # type: ignore[misc]


@dataclass
class Server:
    """The rooms of one process, wired."""

    config: Config
    home: Home
    database: Database
    journal: Journal
    keys: Keys
    gateway: Gateway
    guardrails: Guardrails
    redactor: Redactor
    http: HttpClient
    rag: Rag
    files: Files
    batches: Batches
    spans: Spans
    projector: Projector
    edge: Edge
    blobs: Blobs
    process_id: bytes
    lock: ProcessLock
    service_key: str
    release_id: bytes
    clock: Clock
    new_id: NewId
    version: str
    app_path: str | None = None
    app_digest: bytes | None = None
    draining: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def served_digest(self) -> bytes | None:
        """The hash of the app's code as the workers have it: under `--reload` they may be newer than this process."""
        try:
            report = msgspec.json.decode((self.home.run_dir / APP_REPORT).read_bytes(), type=_AppReport)
        except (OSError, msgspec.DecodeError):
            return self.app_digest
        return bytes.fromhex(report.digest) if report.app == self.app_path else self.app_digest

    @property
    def is_draining(self) -> bool:
        return self.draining.is_set()

    def drain(self) -> None:
        """The process must end: no new requests; what follows a run ends, to be followed elsewhere."""
        self.draining.set()

    def complete(self, caller: Caller, origin: Origin) -> Complete:
        """Asks a model on the caller's behalf: the gateway's own straight line, in the same process."""

        async def ask(request: ChatRequest) -> ChatResponse:
            codec = codecs.get("openai_chat")()
            body = msgspec.json.encode(codec.encode_request(request))
            outbound = await self.gateway.chat(Inbound(caller=caller, body=body, headers=origin_headers(origin)))
            assert isinstance(outbound.body, bytes)  # it was not asked for as a stream
            if outbound.status != 200:
                raise Refused(outbound.status, outbound.body)
            call_id = dict(outbound.headers).get(b"x-mooring-call", b"").decode()
            return msgspec.structs.replace(codec.decode_response(outbound.body), extra={"call_id": call_id})

        return ask

    def embed(self, caller: Caller, origin: Origin) -> Embed:
        """Embeds on the caller's behalf: the gateway's own straight line, in the same process.

        Where the built-in model has no weights it raises `Refused` with the code `weights_missing`.
        """

        return _embed(_through_gateway(self.gateway, caller, origin))


@contextlib.asynccontextmanager
async def build(
    config: Config, home: Home, *, kind: ProcessKind, app_path: Path | None = None
) -> AsyncIterator[Server]:
    """Opens the home and wires the rooms; closes them in the opposite order.

    Raises:
        ConfigError: a setting, the database's version or the SQLite library is wrong; the message says what to do.
    """
    clock, new_id = SystemClock(), ids.new_id
    url = config.database_url() or home.database_url
    async with contextlib.AsyncExitStack() as stack:
        process_id = new_id()
        lock = ProcessLock.acquire(home, process_id=process_id, kind=kind, version=version("mooring"))
        stack.callback(lock.release)
        require_same_version(home)
        database = Database.open(url, durability=config.storage.durability, ballast=home.ballast_path)
        stack.callback(database.close)
        blobs = Blobs(home.blobs_dir)
        redactor = Redactor()
        journal = Journal(
            database,
            blobs,
            process_id=process_id,
            clock=clock,
            new_id=new_id,
            wakeups=database.wakeups,
            topics=TOPICS,
            payloads=config.retention.payloads,
            redact=redactor,
        )
        await journal.register_process(kind=kind, pid=os.getpid(), lock_path=lock.path)
        stack.push_async_callback(journal.retire)
        http = http_client(config.gateway, os.environ, allow=LOOPBACK)
        stack.push_async_callback(http.aclose)
        guardrails = Guardrails(config.guardrails, redactor=redactor, versions=home.secrets.newest_first)
        keys = Keys(database, secrets=home.secrets, clock=clock, new_id=new_id)
        if kind != "cli":  # verbs look at such a home, and mend it
            await keys.prints.require()
        release_id = await journal.put_release("default", config.canonical())
        gateway = Gateway(
            config.gateway,
            journal=journal,
            guardrails=guardrails,
            http=http,
            clock=clock,
            new_id=new_id,
            secrets=home.secrets,
            release_id=release_id,
            database=database,
        )
        stack.push_async_callback(gateway.aclose, drain_seconds=config.server.drain_seconds)

        async def recall(project_id: str, run: RunRef) -> Recalled | None:
            call = await journal.find_step(project_id, run.run_id, run.step)
            if call is None or call.kind != "retrieval" or call.state != "completed":
                return None
            request, _ = await journal.get_request(project_id, call.id)
            return Recalled(call.id, request, await journal.get_body(project_id, call.id), call.attributes)

        rag = Rag(
            DocumentRepository(database, clock=clock, new_id=new_id),
            DocumentIndex(home.path / "index.db"),
            record_call=journal.record_call,
            recall=recall,
            embed_for=lambda project_id, origin: _embed(
                _through_gateway(gateway, Caller.service(project_id, origin.api_key_id), origin)
                if kind == "serve"
                else _through_serve(http, home, project_id, origin)
            ),
            config=config.rag,
            new_id=new_id,
        )
        stack.callback(rag.close)
        files = Files(journal, clock=clock, new_id=new_id, lifetime_seconds=config.gateway.file_lifetime_seconds)
        spans = Spans(database, home.traces_path)
        stack.callback(spans.close)
        projector = Projector(journal, spans, blobs, redact=redactor, clock=clock, config=config.tracing)
        if config.tracing.otlp_endpoint is not None:
            headers = {name: read_secret(value) for name, value in config.tracing.otlp_headers.items()}
            projector.exporter = Exporter(journal, spans, http, endpoint=config.tracing.otlp_endpoint, headers=headers)
        projector.others.append(TrafficFollower(journal, spans))
        yield Server(
            config=config,
            home=home,
            database=database,
            journal=journal,
            keys=keys,
            gateway=gateway,
            guardrails=guardrails,
            redactor=redactor,
            http=http,
            rag=rag,
            files=files,
            batches=Batches(journal, files, clock=clock, new_id=new_id),
            spans=spans,
            projector=projector,
            edge=Edge(database, process_id=process_id, clock=clock, new_id=new_id),
            blobs=blobs,
            process_id=process_id,
            lock=lock,
            service_key=service_key(home),
            release_id=release_id,
            clock=clock,
            new_id=new_id,
            version=version("mooring"),
            app_path=str(app_path.resolve()) if app_path else None,
            app_digest=digest(app_path.read_bytes()) if app_path else None,
        )


def _embed(send: Callable[[bytes], Awaitable[bytes]]) -> Embed:
    """Texts in batches, each a call of its own, sent by `send`."""

    async def ask(texts: Sequence[str], /, *, model: str) -> Sequence[Sequence[float]]:
        found: list[Sequence[float]] = []
        for batch in embeddings.batches(texts):
            found.extend(embeddings.vectors(await send(embeddings.request_body(batch, model))))
        return found

    return ask


def _through_gateway(gateway: Gateway, caller: Caller, origin: Origin) -> Callable[[bytes], Awaitable[bytes]]:
    """In `serve` itself."""

    count = itertools.count(1)

    async def send(body: bytes) -> bytes:
        headers = origin_headers(origin)
        if origin.run is not None:
            headers |= _step_headers(origin.run, f"{origin.run.step}/embed#{next(count)}", body)
        outbound = await gateway.embed(Inbound(caller=caller, body=body, headers=headers, path=EMBEDDINGS_PATH))
        assert isinstance(outbound.body, bytes)  # embeddings are never streamed
        if outbound.status != 200:
            raise Refused(outbound.status, outbound.body)
        return outbound.body

    return send


def _through_serve(
    http: HttpClient, home: Home, project_id: str, origin: Origin
) -> Callable[[bytes], Awaitable[bytes]]:
    """In a worker or a verb: `serve` owns the paid sockets.

    Raises:
        Unavailable: none runs; what is ingested without it is found by its words, and gets its vectors next time.
    """

    async def send(body: bytes) -> bytes:
        endpoint = running_endpoint(home.path)
        if endpoint is None:
            raise Unavailable("No serve runs on this home to make vectors.", hint="Start `mooring up`, then add again.")
        headers = {
            **origin_headers(origin),
            b"authorization": f"Bearer {endpoint.key}".encode(),
            b"content-type": b"application/json",
            b"x-mooring-project": project_id.encode(),
        }
        request = Request("POST", endpoint.url + EMBEDDINGS_PATH, list(headers.items()), body)
        async with await http.send(request) as response:
            answer = await response.read(EMBEDDINGS_LIMIT_BYTES)
        if response.status != 200:
            raise Refused(response.status, answer)
        return answer

    return send


def batch_send(http: HttpClient, find: Callable[[], Endpoint | None]) -> Send:
    """Asks `serve` for one line of a batch: it owns the paid sockets, and collects the answer whoever dies."""

    async def send(run: RunRecord, step: str, key: str | None, path: str, body: bytes) -> Answered:
        endpoint = find()
        if endpoint is None:
            raise Unavailable("No serve runs on this home.", hint="Start `mooring up`.")
        headers = [
            (b"authorization", f"Bearer {endpoint.key}".encode()),
            (b"content-type", b"application/json"),
            (b"x-mooring-project", run.project_id.encode()),
            (b"x-mooring-run", ids.show("run", run.id).encode()),
            (b"x-mooring-step", step.encode()),
            (b"x-mooring-epoch", str(run.epoch).encode()),
            (b"x-mooring-priority", b"low"),
        ]
        if key is not None:
            headers.append((b"x-mooring-on-behalf", key.encode()))
        request = Request("POST", endpoint.url + path, headers, body)
        try:
            async with await http.send(request, deadlines=_BATCH_DEADLINES) as response:
                await response.read(BATCH_ANSWER_BYTES)
        except (UpstreamDisconnected, UpstreamTimeout) as error:
            raise Unavailable("serve went away.") from error
        wait = response.headers.get("retry-after") or ""
        return Answered(response.status, float(wait) if wait.isdigit() else None)

    return send


def origin_headers(origin: Origin) -> dict[bytes, bytes]:
    """The origin as the headers that a program of the user's would send."""
    headers = {b"x-mooring-tags": ",".join(origin.tags).encode()} if origin.tags else {}
    if origin.trace_id is not None:
        span = origin.parent_span_id or origin.trace_id[8:]
        headers[b"traceparent"] = b"00-%s-%s-01" % (origin.trace_id.hex().encode(), span.hex().encode())
    if origin.user is not None:
        headers[b"x-mooring-user"] = origin.user.encode()
    if origin.session is not None:
        headers[b"x-mooring-session"] = origin.session.encode()
    return headers


def _step_headers(run: RunRef, step: str, body: bytes) -> dict[bytes, bytes]:
    """For a call inside a step of a run. Its key names what is asked: a step that is repeated may ask for less."""
    shown = ids.show("run", run.run_id)
    return {
        b"x-mooring-run": shown.encode(),
        b"x-mooring-step": step.encode(),
        b"x-mooring-epoch": str(run.epoch).encode(),
        b"idempotency-key": f"run/{shown}/{run.step}/embed/{digest(body).hex()[:24]}".encode(),
    }


def service_key(home: Home) -> str:
    """The key that processes of one home use among themselves: derived, so that it is never stored in the database."""
    return "mrs_" + hmac.digest(home.secrets.current, b"service key", "sha256").hex()
