"""Calls: what a caller asked for, found by key, by id, by step; answered once."""

import hmac
from collections.abc import Callable, Sequence

from mooring.core.errors import CallUncertain, KeyReused, NotFound
from mooring.core.ids import show
from mooring.storage import Tx

from .attempts import Attempts
from .contents import rebuilt
from .records import AttemptRecord, CallAnswer, CallRecord, NewCall
from .repository import attempts, calls
from .repository.calls import Closed
from .repository.contents import FRAME
from .waiting import POLL_SECONDS, call_channel


class Calls(Attempts):
    """Look up, record, close, wait."""

    async def find_key(
        self, project_id: str, key: str, binding: bytes, *, bind_as: Callable[[bytes], bytes] | None = None
    ) -> CallRecord | None:
        """The call that holds the key: running, completed, failed after it was paid, or blocked. None: the key is free.

        `bind_as` binds the request again in the way of an older binding, after the secret was rotated.

        Raises:
            KeyReused: the key came with another body.
            CallUncertain: nobody can know what became of the call.
        """
        at_us = self._now()
        found = await self._database.read_async(lambda tx: calls.find_key(tx, project_id, key, at_us))
        if found is None:
            return None
        call, bound = found
        if not hmac.compare_digest(bound, binding) and not (bind_as and hmac.compare_digest(bound, bind_as(bound))):
            raise KeyReused(
                "This idempotency key was used with another request.", hint="Send the same request, or another key."
            )
        if call.state == "uncertain":
            shown = show("call", call.id)
            raise CallUncertain(
                f"Nobody can know what became of {shown}.", hint=f"Decide: mooring runs resolve {shown}."
            )
        return call

    async def record_call(self, call: NewCall, answer: CallAnswer) -> None:
        """Write a call that needed no attempt: blocked at the door, or answered from the cache.

        Raises:
            KeyTaken: another call has the key; nothing was written.
            StorageFull: the disk is full, and the call is new.
        """
        self._require_space(call)
        request = await self._pack_call(call)
        is_needed = call.key is not None or call.run is not None
        kept = answer.body if is_needed or self._trim is None else self._trim(answer.body)
        body = await self._contents.pack(call.project_id, kept)
        at_us = self._now()

        def write(tx: Tx) -> Closed | None:
            self._open_call(tx, call, request, at_us)
            return self._close(tx, call.id, answer, body, at_us)

        self._tell(await self._database.write_async(write))

    async def close_call(self, call_id: bytes, answer: CallAnswer) -> None:
        """Give a call its answer; a second one is ignored."""
        project_id = await self._database.read_async(lambda tx: calls.project_of(tx, call_id))
        if project_id is None:
            raise no_call()
        body = await self._pack_answer(project_id, call_id, answer.body)
        at_us = self._now()
        self._tell(await self._database.write_async(lambda tx: self._close(tx, call_id, answer, body, at_us)))

    async def get_call(self, project_id: str, call_id: bytes) -> CallRecord:
        """The call.

        Raises:
            NotFound: the project has no such call.
        """
        call = await self._database.read_async(lambda tx: calls.find(tx, project_id, call_id))
        if call is None:
            raise no_call()
        return call

    async def get_request(self, project_id: str, call_id: bytes) -> tuple[bytes, tuple[bytes, ...]]:
        """The recorded request, byte for byte, and the elements of its messages (for calls of runs)."""

        def query(tx: Tx) -> tuple[bytes, tuple[bytes, ...]]:
            row = calls.request(tx, project_id, call_id)
            if row is None:
                raise no_call()
            codec, data, tip = row
            elements = self._contents.read_elements(tx, project_id, tip)
            if codec is None:
                return b"", elements
            body = self._contents.read(tx, project_id, codec % FRAME, data)
            return (rebuilt(body, elements) if codec >= FRAME else body), elements

        return await self._database.read_async(query)

    async def get_body(self, project_id: str, call_id: bytes) -> bytes:
        """The recorded answer's bytes; empty when there is none (yet)."""

        def query(tx: Tx) -> bytes:
            row = calls.answer(tx, project_id, call_id)
            if row is None:
                raise no_call()
            return self._contents.read(tx, project_id, *row)

        return await self._database.read_async(query)

    async def attempts(self, project_id: str, call_id: bytes) -> list[AttemptRecord]:
        """Every send of a call, in order."""
        return await self._database.read_async(lambda tx: attempts.of_call(tx, project_id, call_id))

    async def holds_key(self, project_id: str, call_id: bytes) -> bool:
        """Whether the call's key is still in force, and its own."""

        def query(tx: Tx) -> bool:
            call = calls.find(tx, project_id, call_id)
            found = calls.find_key(tx, project_id, call.key, self._now()) if call and call.key else None
            return found is not None and found[0].id == call_id

        return await self._database.read_async(query)

    async def with_keys(
        self, project_id: str, prefix: str, *, limit: int = 100, before: str | None = None
    ) -> list[CallRecord]:
        """Calls whose key begins so and is in force, the newest first; `before` is the last key of the page before."""
        at_us = self._now()
        return await self._database.read_async(lambda tx: calls.with_keys(tx, project_id, prefix, at_us, limit, before))

    async def answered(self, project_id: str, prefix: str, *, limit: int) -> list[tuple[str, bytes]]:
        """Keys in force that begin so, and their calls that have a whole answer, the newest first."""
        at_us = self._now()
        return await self._database.read_async(lambda tx: calls.answered(tx, project_id, prefix, at_us, limit))

    async def answers_of(self, project_id: str, keys: Sequence[str]) -> dict[str, bytes]:
        """The recorded answers of the keys that are in force."""
        at_us = self._now()

        def query(tx: Tx) -> dict[str, bytes]:
            found: dict[str, bytes] = {}
            for key in keys:
                held = calls.find_key(tx, project_id, key, at_us)
                row = calls.answer(tx, project_id, held[0].id) if held else None
                if row is not None:
                    found[key] = self._contents.read(tx, project_id, *row)
            return found

        return await self._database.read_async(query)

    async def free_key(self, project_id: str, call_id: bytes) -> None:
        """End the key of a call before its time: nobody can be answered by it any more."""

        def write(tx: Tx) -> None:
            call = calls.find(tx, project_id, call_id)
            if call is not None and call.key is not None:
                calls.free_key(tx, project_id, call.key, call_id)

        await self._database.write_async(write)

    async def list_calls(
        self, project_id: str, *, run_id: bytes | None = None, limit: int = 100, before: bytes | None = None
    ) -> list[CallRecord]:
        """Calls, newest first; `before` is the last id of the page before."""

        def query(tx: Tx) -> list[CallRecord]:
            if run_id is None:
                return calls.recent(tx, project_id, limit, before)
            return calls.of_run(tx, project_id, run_id, limit, before)

        return await self._database.read_async(query)

    async def trace_calls(self, project_id: str, trace_id: bytes) -> list[CallRecord]:
        """Calls of one trace, oldest first."""
        return await self._database.read_async(lambda tx: calls.of_trace(tx, project_id, trace_id))

    async def find_step(self, project_id: str, run_id: bytes, step: str) -> CallRecord | None:
        """The latest call of a step, whatever its state."""
        return await self._database.read_async(lambda tx: calls.find_step(tx, project_id, run_id, step))

    async def wait_call(self, project_id: str, call_id: bytes, *, timeout_seconds: float) -> CallRecord:
        """The call once it is not running any more, or as it is when the time is over."""
        until = self._clock.monotonic() + timeout_seconds
        with self._wakeups.subscribe(call_channel(call_id)) as subscription:
            while True:
                call = await self.get_call(project_id, call_id)
                left = until - self._clock.monotonic()
                if call.state != "running" or left <= 0:
                    return call
                await subscription.wait(timeout_seconds=min(left, POLL_SECONDS))


def no_call() -> NotFound:
    """The project has no such call."""
    return NotFound("There is no such call in this project.", hint="List them with `mooring trace`.", param="call_id")
