"""Notices that a client has hung up, and cancels the work that only it was waiting for."""

import asyncio

from .asked import Asked

# Most calls are over before it pays to ask; a watcher is a task of its own.
WATCH_AFTER_SECONDS = 0.2


class HangUp:
    """Watches for the current task. Calls with a key or a run are drained instead, and never watched."""

    __slots__ = ("_asked", "_handle", "_task", "_watcher", "has_hung_up")

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._task = asyncio.current_task()
        self._watcher: asyncio.Task[None] | None = None
        self._handle: asyncio.TimerHandle | None = None
        self.has_hung_up = False
        if asked.inbound.disconnected is not None and asked.key is None:
            self._handle = asyncio.get_running_loop().call_later(WATCH_AFTER_SECONDS, self._watch)

    def stop(self) -> None:
        """The work is over."""
        if self._handle is not None:
            self._handle.cancel()
        if self._watcher is not None:
            self._watcher.cancel()

    def absorb(self) -> bool:
        """Whether a cancellation was ours: then it goes no further."""
        if self.has_hung_up and self._task is not None:
            self._task.uncancel()
        return self.has_hung_up

    def _watch(self) -> None:
        self._watcher = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        disconnected = self._asked.inbound.disconnected
        if disconnected is not None and self._task is not None:
            await disconnected()
            self.has_hung_up = True
            self._task.cancel()
