"""The straight line of the HTTP/1.1 client: parse, take or open a connection, send, wait for the head.

One `HttpClient` per event loop; it works on asyncio's own and on uvloop.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from typing import NamedTuple

from mooring.core.errors import TooLarge, Unavailable, UpstreamDisconnected, UpstreamError

from .connection import Connection, timeout
from .deadlines import Deadlines
from .dial import dial
from .egress import EgressPolicy
from .limits import PoolLimits
from .pool import Pool
from .proxy import Proxies, Way
from .redirects import next_request
from .request import IDEMPOTENT, Origin, Request, encode_head, parse_url
from .response import Response, Traffic
from .tls import default_context

_DEADLINES = Deadlines()
_LIMITS = PoolLimits()
# A redirect's own body is read, if it is this small, only to keep the connection.
_REDIRECT_BODY_BYTES = 65_536


class HttpClient:
    """Keep-alive connections to any number of origins, each address judged by `egress` before it is used.

    `tls_of` names origins with a context of their own (an authority, a client's certificate); `tls` is everybody's.
    """

    def __init__(
        self,
        *,
        egress: EgressPolicy,
        limits: PoolLimits = _LIMITS,
        tls: ssl.SSLContext | None = None,
        tls_of: Mapping[Origin, ssl.SSLContext] | None = None,
        proxies: Proxies | None = None,
    ) -> None:
        self._egress = egress
        self._limits = limits
        self._tls = tls
        self._tls_of = dict(tls_of or {})
        self._proxies = proxies or Proxies()
        self._pools: dict[Origin, Pool] = {}
        self._is_closed = False

    async def send(
        self, request: Request, *, deadlines: Deadlines = _DEADLINES, traffic: Traffic | None = None
    ) -> Response:
        """Send a request and return when the head of its response has come, whatever its status.

        `traffic` counts the bytes of failed exchanges too. A request is written twice only if the first time was to a
        kept connection that closed without a byte, and it is idempotent or flagged `is_repeatable`. An error raised
        before the request was written has `is_billable` False.

        Raises:
            InvalidRequest: a URL or header that cannot be sent.
            EgressDenied: an address that the policy forbids.
            UpstreamTimeout: a deadline passed; `param` names it.
            UpstreamDisconnected: no connection, or it broke.
            UpstreamMalformed: not an HTTP/1.1 answer.
            TooLarge: headers over the limit.
        """
        total_at = asyncio.get_running_loop().time() + deadlines.total_seconds
        traffic = traffic or Traffic()
        while True:
            sending = _Sending(request, encode_head(request), deadlines, total_at, traffic)
            response = await self._send_once(parse_url(request.url).origin, sending)
            following = next_request(request, response) if request.redirects else None
            if following is None:
                return response
            with contextlib.suppress(TooLarge, UpstreamError):
                await response.read(_REDIRECT_BODY_BYTES)
            request = following

    async def aclose(self) -> None:
        """Close every connection, and wait until the sockets are gone; running exchanges fail."""
        self._is_closed = True
        for pool in list(self._pools.values()):
            await pool.aclose()

    async def __aenter__(self) -> "HttpClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def counts(self) -> dict[str, int]:
        """Open connections by origin."""
        return {str(origin): len(pool.connections) for origin, pool in self._pools.items()}

    async def _send_once(self, origin: Origin, sending: "_Sending") -> Response:
        connection = self._pool(origin).take()
        if connection is not None:
            down = sending.traffic.down
            try:
                return await _exchange(connection, sending)
            except UpstreamDisconnected:
                request = sending.request
                is_repeatable = request.is_repeatable or request.method in IDEMPOTENT
                if sending.traffic.down > down or not is_repeatable:
                    raise
        connection = await self._open(self._pool(origin), sending.deadlines, sending.total_at)
        return await _exchange(connection, sending)

    async def _open(self, pool: Pool, deadlines: Deadlines, total_at: float) -> Connection:
        connect_at = asyncio.get_running_loop().time() + deadlines.connect_seconds
        try:
            async with asyncio.timeout_at(min(connect_at, total_at)):
                connection = await pool.open()
        except TimeoutError:
            if total_at <= connect_at:
                raise timeout(pool.origin, "total", deadlines.total_seconds, "answer was not whole") from None
            raise timeout(pool.origin, "connect", deadlines.connect_seconds, "connection was not open") from None
        if self._is_closed:
            connection.abort()
            raise _closed()
        return connection

    def _pool(self, origin: Origin) -> Pool:
        if self._is_closed:
            raise _closed()
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = Pool(origin, self._limits, dial=self._dial, on_empty=self._forget)
        return pool

    def _forget(self, pool: Pool) -> None:
        if self._pools.get(pool.origin) is pool:
            del self._pools[pool.origin]

    async def _dial(self, pool: Pool) -> Connection:
        origin, proxy = pool.origin, self._proxies.of(pool.origin)
        tls = self._context(origin)
        through = None if proxy is None else Way(proxy, self._context(proxy.origin))
        return await dial(origin, pool.make, egress=self._egress, tls=tls, through=through)

    def _context(self, origin: Origin) -> ssl.SSLContext | None:
        if origin.scheme != "https":
            return None
        return self._tls_of.get(origin) or self._tls or default_context()


class _Sending(NamedTuple):
    """One request on its way, whichever connection it takes."""

    request: Request
    head: bytes
    deadlines: Deadlines
    total_at: float
    traffic: Traffic


async def _exchange(connection: Connection, sending: _Sending) -> Response:
    waiter = asyncio.get_running_loop().create_future()
    response = Response(sending.request, sending.traffic, waiter)
    connection.send(sending.head, response, sending.deadlines, sending.total_at)
    await response.wait(waiter)
    if not response.status:
        assert response.error is not None
        raise response.error
    return response


def _closed() -> Unavailable:
    return Unavailable("The HTTP client is closed.", hint="Send before shutting down.")
