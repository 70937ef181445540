"""How a result travels from a database thread to whoever waits: a thread, or many tasks of one event loop."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from .transaction import Lock, Tx


class Job:
    """One operation or query on its way, and then its result."""

    __slots__ = ("error", "future", "locks", "loop", "operation", "result", "waiter")

    def __init__(
        self, operation: Callable[[Tx], Any], locks: Sequence[Lock] = (), loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self.operation = operation
        self.locks = locks
        self.loop = loop
        self.future: Future[Any] | None = None
        self.waiter: asyncio.Future[Any] | None = None
        if loop is None:
            self.future = Future()
        else:
            self.waiter = loop.create_future()
        self.result: Any = None
        self.error: BaseException | None = None


class Outcome(NamedTuple):
    """What one job came to."""

    waiter: asyncio.Future[Any]
    result: Any
    error: BaseException | None


def deliver(jobs: Sequence[Job]) -> None:
    """Tell everyone: one wake-up per event loop, however many of its tasks wait."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Outcome]] = {}
    for job in jobs:
        if job.future is not None:
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)
        elif job.loop is not None and job.waiter is not None:
            by_loop.setdefault(job.loop, []).append(Outcome(job.waiter, job.result, job.error))
    for loop, outcomes in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, outcomes)
        except RuntimeError:  # the loop was closed: nobody waits any more
            continue


def _settle(outcomes: list[Outcome]) -> None:
    for waiter, result, error in outcomes:
        if waiter.done():  # its task was cancelled; the operation was committed all the same
            continue
        if error is not None:
            waiter.set_exception(error)
        else:
            waiter.set_result(result)
