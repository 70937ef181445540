"""Channels on which the journal tells that something was committed, and how long a waiter relies on them."""

from collections.abc import Callable

from mooring.storage import Wakeups

POLL_SECONDS = 0.25  # a wake-up may be lost: whoever waits looks again after so long


class Silence:
    """No way to other processes: wake-ups stay in this one, and waiters of others poll."""

    def send(self, channel: str) -> None:
        """Nobody hears it."""

    def listen(self, on_hint: Callable[[str], None]) -> None:
        """Nothing will come."""

    def close(self) -> None:
        """Nothing is open."""


def within_this_process() -> Wakeups:
    """Wake-ups for a journal that was given none."""
    return Wakeups(Silence())


def call_channel(call_id: bytes) -> str:
    """A call got its answer."""
    return "call/" + call_id.hex()


def run_channel(run_id: bytes) -> str:
    """A run has new events."""
    return "run/" + run_id.hex()


QUEUE = "queue"  # a run can be claimed
