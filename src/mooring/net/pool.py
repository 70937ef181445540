"""The connections of one origin: the most recently used first, so that the rest can age out."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable

from .connection import Connection
from .limits import PoolLimits
from .request import Origin


class Pool:
    """`on_empty` is called when nothing is left in it, so that origins do not pile up."""

    def __init__(
        self,
        origin: Origin,
        limits: PoolLimits,
        *,
        dial: "Callable[[Pool], Awaitable[Connection]]",
        on_empty: "Callable[[Pool], None]",
    ) -> None:
        self.origin = origin
        self.connections: set[Connection] = set()
        self._limits = limits
        self._dial = dial
        self._on_empty = on_empty
        self._idle: list[Connection] = []
        self._dialling = 0
        self._users = 0
        self._gone: asyncio.Future[None] | None = None
        self._waiters: deque[asyncio.Future[None]] = deque()

    def take(self) -> Connection | None:
        """An idle connection that still stands, or None."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable():
                return connection
            connection.abort()
        return None

    async def open(self) -> Connection:
        """A connection: a new one if there is room, else the first that becomes free."""
        self._users += 1
        try:
            while len(self.connections) + self._dialling >= self._limits.connections_per_origin:
                await self._wait()
                connection = self.take()
                if connection is not None:
                    return connection
            return await self._dial_one()
        finally:
            self._users -= 1
            self._check_empty()

    async def _dial_one(self) -> Connection:
        self._dialling += 1
        try:
            connection = await self._dial(self)
            if not connection.is_lost:
                self.connections.add(connection)
            return connection
        finally:
            self._dialling -= 1
            self._wake()

    async def aclose(self) -> None:
        """Close all, and wait until the sockets are gone."""
        if not self.connections:
            return
        self._gone = asyncio.get_running_loop().create_future()
        for connection in list(self.connections):
            connection.abort()
        await self._gone

    def make(self) -> Connection:
        """The protocol object of a new connection."""
        return Connection(self.origin, self._limits, on_idle=self._on_idle, on_lost=self._on_lost)

    def _on_idle(self, connection: Connection) -> None:
        if len(self._idle) >= self._limits.idle_per_origin:
            connection.abort()
            return
        self._idle.append(connection)
        self._wake()

    def _on_lost(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._wake()
        if self._gone is not None and not self.connections and not self._gone.done():
            self._gone.set_result(None)
        self._check_empty()

    def _check_empty(self) -> None:
        if not self.connections and not self._users:
            self._on_empty(self)

    async def _wait(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._wake()  # the turn was ours and goes to the next
            else:
                with contextlib.suppress(ValueError):
                    self._waiters.remove(waiter)
            raise

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
