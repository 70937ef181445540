"""What answering a call needs of other rooms, and the writes that must end even when nobody waits for them any more."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from mooring.core.clock import Clock
from mooring.core.ids import NewId
from mooring.guardrails.guardrails import Guardrails
from mooring.journal.journal import Journal
from mooring.net.http import HttpClient

from .config import GatewayConfig
from .meaning import Meanings
from .routing import Router


class Rooms:
    """One per gateway."""

    meanings: Meanings

    def __init__(
        self,
        config: GatewayConfig,
        *,
        journal: Journal,
        guardrails: Guardrails,
        http: HttpClient,
        router: Router,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self.config = config
        self.journal = journal
        self.guardrails = guardrails
        self.http = http
        self.router = router
        self.prices = router.prices
        self.clock = clock
        self.new_id = new_id
        self._writes: set[asyncio.Task[Any]] = set()
        self._flights: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """A write that the gateway waits for when it closes."""
        return _tracked(work, self._writes)

    def fly(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """A call that is drained, whoever hangs up."""
        return _tracked(work, self._flights)

    async def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Awaits work that goes on if the waiter is cancelled."""
        await asyncio.shield(self.spawn(work))

    async def drain(self, seconds: float) -> None:
        """Until every call that is drained has ended, or is cut after so long, and every write is done."""
        if self._flights:
            _, late = await asyncio.wait(self._flights, timeout=seconds)
            for flight in late:
                flight.cancel()
        while self._flights or self._writes:
            await asyncio.gather(*self._flights, *self._writes, return_exceptions=True)


def _tracked(work: Coroutine[Any, Any, Any], tasks: "set[asyncio.Task[Any]]") -> "asyncio.Task[Any]":
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task
