"""Requests to a Mooring server: JSON in and out, server-sent events, and its errors as our errors."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from mooring.core.errors import (
    InvalidRequest,
    MooringError,
    RateLimited,
    Unavailable,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamMalformed,
    UpstreamTimeout,
)
from mooring.core.protocol import HEADER, PROTOCOL
from mooring.core.text import shorten
from mooring.net import Deadlines, EgressPolicy, HttpClient, Request, Response

from .discovery import Endpoint
from .encoding import canonical

_MOST_BYTES = 64 * 1024 * 1024  # the server's own limit on a recorded answer is below this
_MOST_LINE_BYTES = 16 * 1024 * 1024


class Reply(msgspec.Struct, frozen=True):
    """A whole answer: its JSON, and the headers that speak of the call."""

    data: Any
    call_id: str | None
    cost_usd: str | None
    is_replayed: bool


class SseLine(msgspec.Struct, frozen=True):
    """One event of a stream, or a `comment` (then without data)."""

    data: str = ""
    event: str = "message"
    id: str = ""
    comment: str = ""


class Transport:
    """One connection pool per event loop."""

    def __init__(self, endpoint: Endpoint, *, timeout_seconds: float) -> None:
        self.endpoint = endpoint
        self._timeout_seconds = timeout_seconds
        self._http: HttpClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
        """Send JSON, get JSON.

        Raises:
            MooringError: the server's error, as the class of its code; `Unavailable` when there was no answer at all.
        """
        response = await self.open(method, path, body, headers)
        try:
            raw = await response.read(_MOST_BYTES)
        except UpstreamError as error:
            raise away(self.endpoint.url, error) from error
        finally:
            await response.aclose()
        return Reply(
            data=decode(raw, path),
            call_id=response.headers.get("x-mooring-call"),
            cost_usd=response.headers.get("x-mooring-cost-usd"),
            is_replayed=response.headers.get("x-mooring-replayed") == "true",
        )

    async def open(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, *, accept: str = "*/*"
    ) -> Response:
        """The response after its headers, if it is a success; the caller closes it."""
        sent = [
            (b"authorization", f"Bearer {self.endpoint.key}".encode()),
            (b"accept", accept.encode()),
            *((name.lower().encode(), value.encode()) for name, value in (headers or {}).items()),
        ]
        if self.endpoint.is_service:
            sent.append((HEADER, b"%d" % PROTOCOL))
        data = b""
        if body is not None:
            data = body if isinstance(body, bytes) else canonical(body)
            sent.append((b"content-type", b"application/json"))
        request = Request(
            method=method,
            url=self.endpoint.url + path,
            headers=sent,
            body=data,
            is_repeatable="idempotency-key" in (headers or {}),
        )
        try:
            response = await self._client().send(request, deadlines=self._deadlines())
            if response.status < 400:
                return response
            try:
                raw = await response.read(_MOST_BYTES)
            finally:
                await response.aclose()
        except UpstreamError as error:
            raise away(self.endpoint.url, error) from error
        raise error_of(response.status, raw, response.headers.get("retry-after"))

    async def lines(self, response: Response) -> AsyncIterator[SseLine]:
        """The events and comments of a stream.

        Raises:
            Unavailable: the server went away in the middle.
        """
        reader = SseReader()
        try:
            async for chunk in response.chunks():
                for line in reader.feed(chunk):
                    yield line
        except UpstreamError as error:
            raise away(self.endpoint.url, error) from error
        finally:
            await response.aclose()

    async def close(self) -> None:
        if self._http is not None:
            http, self._http = self._http, None
            await http.aclose()

    def _client(self) -> HttpClient:
        loop = asyncio.get_running_loop()
        if self._http is None:
            host = urlsplit(self.endpoint.url).hostname or ""
            self._http = HttpClient(egress=EgressPolicy(allow=(host,)))
            self._loop = loop
        elif self._loop is not loop:
            raise InvalidRequest(
                "This AsyncClient was used in another event loop.", hint="Make one per loop, or use Client."
            )
        return self._http

    def _deadlines(self) -> Deadlines:
        seconds = self._timeout_seconds
        return Deadlines(connect_seconds=10.0, first_byte_seconds=seconds, idle_seconds=seconds, total_seconds=86_400.0)


class SseReader:
    """Splits a stream of bytes into events; unlike a browser's reader it keeps comments, which carry call and cost."""

    def __init__(self) -> None:
        self._rest = b""
        self._fields: dict[str, list[str]] = {}

    def feed(self, chunk: bytes) -> list[SseLine]:
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _MOST_LINE_BYTES:
            raise UpstreamMalformed("The server sent an event of more than 16 MiB.")
        found = (self._line(line.removesuffix(b"\r").decode("utf-8", "replace")) for line in lines)
        return [line for line in found if line is not None]

    def _line(self, line: str) -> SseLine | None:
        if not line:
            return self._event()
        if line.startswith(":"):
            return SseLine(comment=line[1:].strip())
        name, _, value = line.partition(":")
        self._fields.setdefault(name, []).append(value.removeprefix(" "))
        return None

    def _event(self) -> SseLine | None:
        fields, self._fields = self._fields, {}
        if "data" not in fields:
            return None
        return SseLine(
            data="\n".join(fields["data"]),
            event=fields.get("event", ["message"])[-1],
            id=fields.get("id", [""])[-1],
        )


def decode(raw: bytes, where: str) -> Any:
    """Its JSON.

    Raises:
        UpstreamMalformed: the server answered with something else.
    """
    try:
        return msgspec.json.decode(raw) if raw else None
    except msgspec.DecodeError as error:
        raise UpstreamMalformed(
            f"{where} did not answer with JSON: {shorten(raw.decode('utf-8', 'replace'), 100)}",
            hint="Is this a Mooring server?",
        ) from error


def away(url: str, error: UpstreamError) -> Unavailable:
    """No answer, or half of one."""
    what = "did not answer in time" if isinstance(error, UpstreamTimeout) else "is not there"
    if isinstance(error, UpstreamDisconnected) and error.is_billable:
        what = "went away in the middle of its answer"
    return Unavailable(f"The Mooring server at {url} {what}.", hint="Start it with `mooring up`, then try again.")


def _tree(root: type[MooringError]) -> dict[str, type[MooringError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        if child.__module__ == root.__module__:  # a room's own subclass has a code of the tree's, and other arguments
            found.update(_tree(child))
    return found


_BY_CODE = _tree(MooringError)
_BY_STATUS = {cls.status: cls for cls in reversed(_BY_CODE.values())}


def error_of(status: int, raw: bytes, retry_after: str | None = None) -> MooringError:
    """The server's error body as the error that its code names."""
    try:
        body = msgspec.json.decode(raw)
        error = body["error"] if isinstance(body["error"], dict) else body
    except (msgspec.DecodeError, KeyError, TypeError):
        error = {"message": f"The server answered {status}: {shorten(raw.decode('utf-8', 'replace'), 200)}"}
    cls = _BY_CODE.get(str(error.get("code"))) or _BY_STATUS.get(status, MooringError)
    message, hint, param = str(error.get("message")), error.get("hint"), error.get("param")
    if issubclass(cls, RateLimited):
        seconds = float(retry_after) if retry_after and retry_after.replace(".", "", 1).isdigit() else None
        return cls(message, retry_after_seconds=seconds, hint=hint, param=param)
    return cls(message, hint=hint, param=param)
