"""Wake-ups between processes: a hint that something changed, never the news itself. Whoever waits also polls.

On SQLite a datagram socket per process, in one short folder per database under the system's temporary folder; on
PostgreSQL LISTEN / NOTIFY. A wake-up may be lost or come twice: what counts is always read from the database.

    with wakeups.subscribe("run/…") as subscription:      # before the first look, so that none is missed
        while not (found := await look()):
            await subscription.wait(timeout_seconds=1.0)
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Channel(Protocol):
    """How hints travel to the other processes; `datagrams.py` and `notifications.py` implement it."""

    def send(self, channel: str) -> None:
        """Tell the other processes. Never raises, never waits."""
        ...

    def listen(self, on_hint: Callable[[str], None]) -> None:
        """Call `on_hint` for every hint of others, from a thread. Called once, at the first subscription."""
        ...

    def close(self) -> None: ...


class Subscription:
    """One waiter's ear on one channel."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._event = asyncio.Event()

    async def wait(self, *, timeout_seconds: float) -> bool:
        """Until a hint came since the last wait. False: the time passed without one."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True

    def ring(self) -> None:
        """Wake the waiter; from any thread."""
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:  # its loop was closed
            return


class Wakeups:
    """Hints by channel name, within this process at once and to others over a `Channel`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._subscriptions: dict[str, set[Subscription]] = {}
        self._is_listening = False

    def notify(self, channel: str) -> None:
        """Wake whoever waits on the channel, here and in other processes. From any thread, after the COMMIT."""
        self._ring(channel)
        self._channel.send(channel)

    async def wait(self, channel: str, timeout_seconds: float) -> bool:
        """Until a hint comes. A hint from before the call is missed: who must not miss one subscribes first."""
        with self.subscribe(channel) as subscription:
            return await subscription.wait(timeout_seconds=timeout_seconds)

    @contextmanager
    def subscribe(self, channel: str) -> Iterator[Subscription]:
        """Hear the channel from now on; inside a running loop."""
        subscription = Subscription(asyncio.get_running_loop())
        with self._lock:
            self._subscriptions.setdefault(channel, set()).add(subscription)
            if not self._is_listening:
                self._is_listening = True
                self._channel.listen(self._ring)
        try:
            yield subscription
        finally:
            with self._lock:
                others = self._subscriptions[channel]
                others.discard(subscription)
                if not others:
                    del self._subscriptions[channel]

    def close(self) -> None:
        self._channel.close()

    def _ring(self, channel: str) -> None:
        if channel in self._subscriptions:
            with self._lock:
                waiting = tuple(self._subscriptions.get(channel, ()))
            for subscription in waiting:
                subscription.ring()
