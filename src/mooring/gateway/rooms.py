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
from .prices import Prices
from .routing import Router


class Rooms:
    """One per gateway."""

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
        self.prices = Prices()
        self.clock = clock
        self.new_id = new_id
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """A task that the gateway waits for when it closes."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Awaits work that goes on if the waiter is cancelled."""
        await asyncio.shield(self.spawn(work))

    async def drain(self) -> None:
        """Until every such task has ended."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
