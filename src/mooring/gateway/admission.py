"""How much one process takes on: so many requests at once, so many that wait, by priority; others must come back.

A full box that queues without bound answers nobody in time. Who waits is served in the order of priority, then of
arrival; when all waiting places are taken, a more urgent request takes the place of the least urgent one.
"""

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

from mooring.core.errors import InvalidRequest, RateLimited

from .limit_config import LimitsConfig

PRIORITIES: Mapping[str, int] = {"low": 0, "normal": 1, "high": 2}


def priority_of(text: str | None) -> int:
    """The number behind an `x-mooring-priority` header.

    Raises:
        InvalidRequest: another word.
    """
    if text is None:
        return PRIORITIES["normal"]
    found = PRIORITIES.get(text.strip().lower())
    if found is None:
        raise InvalidRequest(
            f"There is no priority '{text[:40]}'.", hint="Send low, normal or high.", param="x-mooring-priority"
        )
    return found


@dataclass(slots=True)
class _Waiting:
    priority: int
    number: int
    place: "asyncio.Future[None]" = field(repr=False)

    @property
    def urgency(self) -> tuple[int, int]:
        """Larger goes first."""
        return self.priority, -self.number


class Admission:
    """The places of one process."""

    def __init__(self, config: LimitsConfig) -> None:
        self._config = config
        self._waiting: list[_Waiting] = []
        self._numbers = itertools.count()
        self.running = 0

    @property
    def waiting(self) -> int:
        """Requests without a place."""
        return len(self._waiting)

    async def enter(self, priority: int) -> None:
        """Returns when a place is free; each is given back by `leave`.

        Raises:
            RateLimited: too many wait, or it waited too long.
        """
        if self.running < self._config.running_requests and not self._waiting:
            self.running += 1
            return
        if len(self._waiting) >= self._config.waiting_requests:
            self._make_room(priority)
        mine = _Waiting(priority, next(self._numbers), asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        try:
            async with asyncio.timeout(self._config.wait_seconds):
                await mine.place
        except TimeoutError:
            self._withdraw(mine)
            raise self._full() from None
        except asyncio.CancelledError:
            self._withdraw(mine)
            raise

    def leave(self) -> None:
        """A place is free: it goes to who is most urgent."""
        self.running -= 1
        while self._waiting and self.running < self._config.running_requests:
            first = max(self._waiting, key=lambda one: one.urgency)
            self._waiting.remove(first)
            if not first.place.done():  # else it has just given up
                self.running += 1
                first.place.set_result(None)

    def _withdraw(self, mine: _Waiting) -> None:
        """It waits no more; a place that it was given in the same moment goes on to the next."""
        if mine in self._waiting:
            self._waiting.remove(mine)
        elif mine.place.done() and not mine.place.cancelled() and mine.place.exception() is None:
            self.leave()

    def _make_room(self, priority: int) -> None:
        """The least urgent of those that wait gives way, if the newcomer is more urgent."""
        last = min(self._waiting, key=lambda one: one.urgency, default=None)
        if last is None or last.priority >= priority:
            raise self._full()
        self._waiting.remove(last)
        last.place.set_exception(self._full())

    def _full(self) -> RateLimited:
        return RateLimited(
            f"This server is full: {self.running} requests run and {len(self._waiting)} wait.",
            retry_after_seconds=1.0 + len(self._waiting) / max(self._config.running_requests, 1),
            hint="Come back later, or start more processes of `serve`.",
        )
