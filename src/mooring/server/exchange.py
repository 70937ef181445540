"""One HTTP exchange: what a route gets, what it answers, and how that becomes ASGI messages."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from mooring.core.errors import InvalidRequest, TooLarge
from mooring.gateway.keys import Caller

T = TypeVar("T")
# Text that becomes a column or a path: bounded, and without the NUL that neither takes.
Word = Annotated[str, msgspec.Meta(max_length=4096, pattern=r"\A[^\x00]*\Z")]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(slots=True)
class Reply:
    """A whole body, or an iterator of the stream's bytes."""

    status: int = 200
    body: bytes | AsyncIterator[bytes] = b""
    content_type: str = "application/json"
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


class Exchange:
    """A request: its parts as they came. `caller` is set by authentication, `params` by the path."""

    __slots__ = ("_body", "_headers", "_is_gone", "_limit", "_receive", "caller", "params", "scope")

    def __init__(self, scope: Scope, receive: Receive, *, body_limit_bytes: int) -> None:
        self.scope = scope
        self.params: dict[str, str] = {}
        self.caller: Caller | None = None
        self._receive = receive
        self._limit = body_limit_bytes
        self._headers: dict[bytes, bytes] | None = None
        self._body: bytes | None = None
        self._is_gone = False

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    @property
    def path(self) -> str:
        return str(self.scope["path"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        """Lower-case names; of a repeated header the last."""
        if self._headers is None:
            self._headers = dict(self.scope["headers"])
        return self._headers

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True))

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            TooLarge: over the limit; nothing more is read.
        """
        if self._body is not None:
            return self._body
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._is_gone = True
                raise InvalidRequest("The client hung up before its request was whole.")
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._limit:
                raise TooLarge(
                    f"The body is larger than {self._limit} bytes.",
                    hint="Raise [server] body_limit_bytes, or send less.",
                )
            chunks.append(chunk)
            if not message.get("more_body", False):
                break
        self._body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        return self._body

    async def parse(self, kind: type[T]) -> T:
        """The body as JSON of the given shape.

        Raises:
            InvalidRequest: not JSON, or not this shape; the message says where.
        """
        try:
            return msgspec.json.decode(await self.body() or b"{}", type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidRequest(
                f"The body is not valid: {error}.", hint="Send a JSON object as documented."
            ) from error

    async def disconnected(self) -> None:
        """Returns when the client has hung up."""
        while not self._is_gone:
            message = await self._receive()
            self._is_gone = message["type"] == "http.disconnect"


def json_reply(value: object, *, status: int = 200, headers: list[tuple[bytes, bytes]] | None = None) -> Reply:
    """A JSON body; records of the journal are shown by their routes before they come here."""
    return Reply(status, msgspec.json.encode(value), headers=headers or [])


async def send_reply(reply: Reply, send: Send) -> None:
    """Writes a reply; of a stream, each chunk as it comes."""
    headers = [(b"content-type", reply.content_type.encode()), *reply.headers]
    if isinstance(reply.body, bytes):
        headers.append((b"content-length", b"%d" % len(reply.body)))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})
        return
    headers.append((b"cache-control", b"no-cache"))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    try:
        async for chunk in reply.body:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    finally:
        close = getattr(reply.body, "aclose", None)
        if close is not None:
            await asyncio.shield(close())
    await send({"type": "http.response.body", "body": b""})
