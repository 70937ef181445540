"""The way to `serve`: found anew when it went away, waited for while it is gone."""

import asyncio
import logging
from collections.abc import Callable

from mooring.client.client import AsyncClient
from mooring.client.discovery import without_starting
from mooring.core.errors import MooringError, Unavailable

log = logging.getLogger("mooring.agents")

_FIRST_WAIT_SECONDS = 0.02
_LONGEST_WAIT_SECONDS = 0.5  # a restarted serve is back within a second; its waiting runs should be too


class Serve:
    """One client for all runs of a worker."""

    def __init__(self, make_client: Callable[[], AsyncClient]) -> None:
        self._make_client = make_client
        self._client: AsyncClient | None = None
        self._left: list[AsyncClient] = []

    @property
    def speaks_for_home(self) -> bool:
        """Whether its key is the home's own, which the home's own serve cannot refuse."""
        return self._client is not None and self._client.endpoint.is_service

    async def client(self) -> AsyncClient:
        """The client; waits while there is no serve."""
        wait = Waiting()
        while self._client is None:
            try:
                with without_starting():
                    self._client = self._make_client()
            except Unavailable as error:
                await wait.more(error)
        return self._client

    def look_again(self) -> None:
        """It did not answer: it may have come back at another address."""
        try:
            with without_starting():
                found = self._make_client()
        except Unavailable:
            return
        if self._client is None or found.endpoint != self._client.endpoint:
            if self._client is not None:
                self._left.append(self._client)  # other runs may still read from it
            self._client = found

    async def close(self) -> None:
        """Close every connection."""
        for client in (self._client, *self._left):
            if client is not None:
                await client.close()
        self._client, self._left = None, []


class Waiting:
    """Longer and longer, up to half a second; says so once."""

    def __init__(self) -> None:
        self._seconds = _FIRST_WAIT_SECONDS
        self._has_told = False

    async def more(self, error: MooringError) -> None:
        if not self._has_told:
            log.warning("Waiting for serve: %s", error)
            self._has_told = True
        await asyncio.sleep(self._seconds)
        self._seconds = min(self._seconds * 2, _LONGEST_WAIT_SECONDS)
