"""How long a follower waits for a server that is not there: longer and longer, up to a stated time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from mooring.core.errors import Unavailable

FIRST_SECONDS = 0.02
LONGEST_SECONDS = 2.0
MOST_SECONDS = 60.0  # a drained serve is back within its own deadline, 25 s by default


class Patience:
    """Ends `MOST_SECONDS` after the last sign of life."""

    def __init__(
        self,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sleep = sleep
        self._now = now
        self._next_seconds = FIRST_SECONDS
        self._gone_at: float | None = None

    def renew(self) -> None:
        """The server said something."""
        self._next_seconds, self._gone_at = FIRST_SECONDS, None

    async def wait(self, error: Unavailable | None) -> None:
        """Before the next try; `error` is what the last one came to, None where it just ended.

        Raises:
            Unavailable: the error, once it has been waited for long enough.
        """
        now = self._now()
        self._gone_at = now if self._gone_at is None else self._gone_at
        if error is not None and now - self._gone_at >= MOST_SECONDS:
            raise error
        await self._sleep(self._next_seconds)
        self._next_seconds = min(self._next_seconds * 2, LONGEST_SECONDS)
