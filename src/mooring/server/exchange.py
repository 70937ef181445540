"""One HTTP exchange: what a route gets, and what it answers."""

import asyncio
from collections.abc import Callable
from typing import Annotated, TypeVar
from urllib.parse import parse_qsl

import msgspec

from mooring.core.errors import InvalidRequest, MooringError, TooLarge
from mooring.gateway.inbound import Outbound
from mooring.gateway.keys import Caller

T = TypeVar("T")
# Text that becomes a column or a path: bounded, and without the NUL that neither takes.
Word = Annotated[str, msgspec.Meta(max_length=4096, pattern=r"\A[^\x00]*\Z")]
Reply = Outbound  # a status, a whole body or the iterator of a stream's bytes, and headers
_BUFFER_BYTES = 65_536  # of a body that no route has asked for yet


class Exchange(msgspec.Struct, eq=False):
    """A request: its parts as they came. `caller` is set by authentication, `params` by the path.

    The connection feeds it (`feed`, `end`, `hang_up`) and is told by `on_wanted` that a route waits for the body.
    `headers` have lower-case names, and of a repeated header the last value; `keeps_alive` is the connection, behind
    this request; `takes_chunks` is false before HTTP/1.1; `is_ended` says that the request has come whole.
    """

    method: str
    path: str
    headers: dict[bytes, bytes]
    body_limit_bytes: int
    query_string: bytes = b""
    scheme: str = "http"
    keeps_alive: bool = True
    takes_chunks: bool = True
    on_wanted: Callable[[], None] | None = None
    params: dict[str, str] = {}
    caller: Caller | None = None
    is_ended: bool = False
    is_gone: bool = False
    is_wanted: bool = False
    _chunks: list[bytes] = []
    _size: int = 0
    _is_dropped: bool = False
    _problem: MooringError | None = None
    _waiter: "asyncio.Future[None] | None" = None
    _gone: "asyncio.Future[None] | None" = None

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.query_string.decode("latin-1"), keep_blank_values=True))

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            TooLarge: over the limit; nothing more is read.
            MooringError: it never came whole, and why.
        """
        while not self.is_ended and self._size <= self.body_limit_bytes:
            if self._problem is not None:
                raise self._problem
            if not self.is_wanted:
                self.is_wanted = True
                if self.on_wanted is not None:
                    self.on_wanted()
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._size > self.body_limit_bytes:
            raise TooLarge(
                f"The body is larger than {self.body_limit_bytes} bytes.",
                hint="Raise [server] body_limit_bytes, or send less.",
            )
        if len(self._chunks) != 1:
            self._chunks = [b"".join(self._chunks)]
        return self._chunks[0]

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
        if not self.is_gone:
            if self._gone is None:
                self._gone = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._gone)

    # What the connection tells -------------------------------------------------

    def feed(self, data: bytes) -> bool:
        """A piece of the body; False: there is enough for now. What is over the limit is not kept."""
        self._size += len(data)
        if self._is_dropped:
            return True
        if self._size <= self.body_limit_bytes:
            self._chunks.append(data)
        else:
            self._wake()
        return self.is_wanted or self._size < _BUFFER_BYTES

    async def drop(self) -> None:
        """Nobody wants the rest of the body: returns when it has come all the same, or the client is gone."""
        self._is_dropped = True
        self._chunks.clear()
        while not (self.is_ended or self._problem is not None):
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def end(self) -> None:
        """The body is whole."""
        self.is_ended = True
        self._wake()

    def fail(self, problem: MooringError) -> None:
        """The rest of the request will never come."""
        self._problem = problem
        self._wake()

    def hang_up(self) -> None:
        """The client is gone."""
        self.is_gone = True
        self.fail(InvalidRequest("The client hung up before its request was whole."))
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def json_reply(value: object, *, status: int = 200, headers: list[tuple[bytes, bytes]] | None = None) -> Reply:
    """A JSON body; records of the journal are shown by their routes before they come here."""
    return Reply(status, msgspec.json.encode(value), headers=headers or [])
