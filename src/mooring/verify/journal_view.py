"""The journal of a house, read from beside it: what a battery compares with the double."""

import asyncio
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from mooring.core import ids
from mooring.journal.records import RunRecord
from mooring.wiring import Server, build

from .house import House

T = TypeVar("T")
PROJECT = "default"


@dataclass(frozen=True)
class Uncertain:
    """A call that nobody can know about; `attempts` as the double saw their ids."""

    call_id: bytes
    attempts: tuple[str, ...]


class JournalView:
    """A process of the home's own, on a loop in a thread, so that a battery can be plain code."""

    def __init__(self, place: House) -> None:
        self._place = place
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="journal-view", daemon=True)
        self._context = build(place.config, place.home, kind="cli")

    def __enter__(self) -> "JournalView":
        self._thread.start()
        self.rooms: Server = self.wait(self._context.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self.wait(self._context.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def wait(self, work: "Coroutine[Any, Any, T]") -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def runs(self) -> list[RunRecord]:
        return self.wait(self.rooms.journal.list_runs(PROJECT, limit=100_000))

    def concluded_attempts(self) -> set[str]:
        """Ids of all attempts that have an end in the journal, as they were sent upstream."""

        async def find() -> set[str]:
            found = set()
            for call in await self.rooms.journal.list_calls(PROJECT, limit=1_000_000):
                for attempt in await self.rooms.journal.attempts(PROJECT, call.id):
                    if attempt.outcome in ("completed", "failed", "blocked"):
                        found.add(ids.show("att", attempt.id))
            return found

        return self.wait(find())

    def uncertain(self, run: str | None = None) -> list[Uncertain]:
        wanted = ids.read("run", run) if run else None
        return [
            Uncertain(found.call.id, tuple(ids.show("att", attempt.id) for attempt in found.attempts))
            for found in self.wait(self.rooms.journal.uncertain(PROJECT))
            if wanted is None or found.call.run_id == wanted
        ]

    def resolve(self, call: Uncertain, decision: Literal["completed", "failed", "retry"]) -> None:
        self.wait(
            self.rooms.journal.resolve_uncertain(PROJECT, call.call_id, decision=decision, result=None, by="verify")
        )
