"""Faults to order: a queue per model; each one misbehaves once (or `times` times), then the model is well again."""

import asyncio
from collections import deque
from typing import Annotated, Any, Literal, get_args

import msgspec

FaultKind = Literal[
    "status",
    "html",
    "error_200",
    "reset_before_headers",
    "close_before_headers",
    "reset_after_headers",
    "reset_mid_chunk",
    "close_mid_chunk",
    "close_mid_stream",
    "early_end",
    "early_done",
    "stall_first_byte",
    "stall_mid_stream",
    "slow",
    "one_byte",
    "drip",
    "drip_head",
    "crlf",
    "comments",
    "gzip",
    "split_utf8",
    "truncated_json",
    "wrong_content_type",
    "malformed_sse",
    "no_done",
    "no_usage",
    "wrong_usage",
    "garbage",
    "garbage_http",
    "empty_stream",
    "error_event",
    "bad_chunk",
    "flood",
    "flood_headers",
    "informational",
    "close_after",
    "close_delimited",
]
KINDS: tuple[str, ...] = get_args(FaultKind)
_UNBILLED = {"status", "html", "error_200", "close_before_headers"}

_MOST_QUEUED = 10_000
_Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class Fault(msgspec.Struct, forbid_unknown_fields=True):
    """One order to misbehave.

    `model` is the model's full name as it is asked for, or `*`; `effects/NAME` and `embeddings` work too.
    `after_events` says after how many content events of a stream it bites (an unstreamed body is cut in half).
    `is_billed`: whether what the client never got was generated and metered; left out, the kind decides: only `status`,
    `html`, `error_200` and `close_before_headers` are free. `release` names a stall, so that it can be ended;
    `wait_seconds` ends it anyway.
    """

    kind: FaultKind
    model: str = "*"
    times: _Count = 1
    status: Annotated[int, msgspec.Meta(ge=200, le=599)] = 503
    body: str | None = None
    headers: dict[str, str] = {}
    content_type: str | None = None
    retry_after: str | None = None
    after_events: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 1
    is_billed: bool | None = None
    release: str = ""
    wait_seconds: Annotated[float, msgspec.Meta(ge=0, le=600)] = 30.0
    pace_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 20
    size_bytes: Annotated[int, msgspec.Meta(ge=0, le=1 << 30)] = 1 << 20
    usage: dict[str, Any] | None = None
    message: str = "The server had an error while processing your request."

    @property
    def bills(self) -> bool:
        """Whether what is not delivered was generated all the same."""
        return self.kind not in _UNBILLED if self.is_billed is None else self.is_billed


class Planted:
    """A fault in the queue: `reached` is set when it bites (a stall: when it stands still); `free` ends its stall."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.left = fault.times
        self.reached = asyncio.Event()
        self._freed = asyncio.Event()

    def free(self) -> None:
        """End the stall, now and for the next times."""
        self._freed.set()

    async def stall(self) -> None:
        """Stand still until freed, at most `wait_seconds`."""
        self.reached.set()
        try:
            async with asyncio.timeout(self.fault.wait_seconds):
                await self._freed.wait()
        except TimeoutError:
            return


class FaultQueues:
    """The faults that wait, in order, per model."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[Planted]] = {}
        self._stalls: dict[str, list[Planted]] = {}
        self._count = 0

    def add(self, fault: Fault) -> Planted:
        """Queue one.

        Raises:
            ValueError: too many are waiting.
        """
        if self._count >= _MOST_QUEUED:
            raise ValueError(f"{_MOST_QUEUED} faults wait already. Send DELETE /control first.")
        planted = Planted(fault)
        self._queues.setdefault(fault.model, deque()).append(planted)
        self._count += 1
        if fault.kind.startswith("stall"):
            self._stalls.setdefault(fault.release, []).append(planted)
        return planted

    def take(self, model: str) -> Planted | None:
        """The next fault of a model, its own before those of all."""
        if not self._queues:
            return None
        for name in (model, "*"):
            queue = self._queues.get(name)
            if queue:
                planted = queue[0]
                planted.left -= 1
                if planted.left == 0:
                    queue.popleft()
                    self._count -= 1
                    if not queue:
                        del self._queues[name]
                return planted
        return None

    def release(self, name: str | None = None) -> int:
        """End the stalls of a name, or all; those not yet reached too. Returns how many."""
        names = list(self._stalls) if name is None else [name]
        planted = [one for key in names for one in self._stalls.pop(key, [])]
        for one in planted:
            one.free()
        return len(planted)

    def clear(self) -> None:
        """Forget what waits and end what stalls."""
        self._queues.clear()
        self._count = 0
        self.release()

    def waiting(self) -> list[dict[str, Any]]:
        """What is queued, for `GET /control`."""
        return [
            {**msgspec.to_builtins(planted.fault), "times": planted.left}
            for queue in self._queues.values()
            for planted in queue
        ]


_decoder = msgspec.json.Decoder(Fault | list[Fault])


def decode_faults(body: bytes) -> list[Fault]:
    """One fault or a list of them.

    Raises:
        ValueError: an unknown kind or option; the message names it.
    """
    faults = _decoder.decode(body)
    return faults if isinstance(faults, list) else [faults]
