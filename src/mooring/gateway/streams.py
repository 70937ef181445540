"""A stream on its way to the caller: bytes as they came, events decoded beside them, the guards in between.

Tokens are provisional. The terminal event goes out only after the result is committed, with the cost in a comment
before it; whatever breaks ends with an error in the caller's wire and without a terminal event.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator
from typing import Literal

import msgspec

from mooring.core.errors import (
    Blocked,
    MooringError,
    StorageError,
    TooLarge,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamMalformed,
)
from mooring.core.events import ChoiceEnd, Event, MessageEnd, MessageStart, StreamError, TextDelta, UsageReport
from mooring.guardrails.rest_stream import Ready
from mooring.journal.records import CallAnswer
from mooring.net.response import Response

from . import single
from .attempt import Attempt, oversized
from .hangup import HangUp
from .translation import as_told

SSE = "text/event-stream; charset=utf-8"
EVENT_LIMIT_BYTES = 16 * 1024 * 1024


class Relay:
    """Takes upstream bytes, gives caller bytes. Owns the attempt from `open` on and always ends it."""

    def __init__(self, attempt: Attempt, response: Response) -> None:
        call = attempt.call
        self.call = call
        self._attempt = attempt
        self._response = response
        self._codec = attempt.codec
        self._out = call.asked.codec
        self._passes = self._codec.name == self._out.name
        self._is_single = not self._passes and single.is_held(call.asked.request, self._codec)
        self._framing = self._codec.framing(EVENT_LIMIT_BYTES)
        self._decoder = self._codec.decoder()
        self._encoder = self._out.encoder(wants_usage=call.asked.request.wants_usage, asked=call.asked.fields)
        self._guard = call.rooms.guardrails.stream(call.asked.context)
        self._is_guarded = not self._guard.is_idle
        no_text = self._codec.no_text
        self._rest = self._guard.rest(no_text) if self._passes and no_text is not None else None
        self._hides_usage = not call.asked.request.wants_usage
        self._pending: list[bytes] = []
        self._sent: list[bytes] = []
        self._held: list[bytes] = []  # what ends an answer, as it came
        self._has_end = False  # the terminal event is among it
        self._is_named = self._passes and self._out.id_prefix is not None
        self._is_clear = self._passes and not (self._is_guarded or self._is_named or self._out.ends_with_finish)
        self._is_between = True
        self._is_over = False
        self._has_begun = False
        self._begun: set[int] = set()
        self._ended: set[int] = set()
        self._generator: AsyncGenerator[bytes, None] | None = None

    async def open(self) -> None:
        """Reads to the first token: until then a failure is an HTTP error, and another target may be tried.

        Raises:
            UpstreamError: nothing of an answer has come.
            Blocked: the guards refuse its very beginning.
        """
        try:
            while not (self._has_begun or self._is_over):
                self._take(await self._next())
        except Blocked:
            await self._drain()
            self._response.close()
            raise
        except BaseException:
            self._response.close()
            raise

    # The iterator that the server drives --------------------------------------

    def __aiter__(self) -> AsyncGenerator[bytes, None]:
        if self._generator is None:
            self._generator = self._run()
        return self._generator

    async def __anext__(self) -> bytes:
        if self._generator is None:
            self._generator = self._run()
        return await self._generator.__anext__()

    async def aclose(self) -> None:
        """Stops early, or cleans up after the end."""
        if self._generator is None:
            await self.call.rooms.keep(self._hung_up())
        else:
            await self._generator.aclose()

    async def _run(self) -> AsyncGenerator[bytes, None]:
        hang_up = HangUp(self.call.asked)
        try:
            try:
                if self._pending:
                    yield self._flush()
                while not self._is_over:
                    self._take(await self._next())
                    if self._pending:
                        yield self._flush()
                self._emit(self._guard.finish() if self._is_guarded else [])
                self._put(self._rest.finish() if self._rest else [])
                last = await self._completed()
            except MooringError as error:
                last = await self._failed(error)
            yield last
        except asyncio.CancelledError:
            await self.call.rooms.keep(self._hung_up())
            if not hang_up.absorb():
                raise
        except GeneratorExit:
            await self.call.rooms.keep(self._hung_up())
            raise
        finally:
            hang_up.stop()
            self._response.close()
            self.call.asked.slot.release()

    # Bytes in, bytes out -------------------------------------------------------

    async def _next(self) -> bytes:
        """What has come; nothing once the answer is whole although its end is missing, as some servers leave it out."""
        try:
            data = await self._response.more()
            if data:
                return data
            self._framing.close()
        except UpstreamError:
            if not self._is_answered(self.call.asked.request.n):
                raise
        if not self._is_answered(self.call.asked.request.n):
            raise UpstreamDisconnected(
                f"{self._attempt.step.target} ended its stream without the terminal event.", is_billable=True
            )
        self._is_over = True
        return b""

    def _is_answered(self, least: int) -> bool:
        """Whether every choice that began, and at least so many, has said why it ended: nothing of it can follow."""
        return len(self._ended) >= least and self._begun <= self._ended

    def _take(self, data: bytes) -> None:
        """Decode what has come; what may go out is `_pending`, also what came before an event that is broken."""
        payloads = self._plain(data)
        whole = data if payloads is not None and self._is_clear else None
        taken: list[tuple[bytes, list[Event]]] = []
        last: tuple[bytes, list[Event]] | None = None
        try:
            for payload in self._parsed(data) if payloads is None else payloads:
                events = self._decoder.feed(payload)
                if events and self._note(events):
                    whole, last = None, (payload, events[:-1])
                    break
                taken.append((payload, events))
        except MooringError:
            self._forward(None, taken)
            raise
        self._forward(whole, taken)
        if last is not None and last[1]:  # a last event that says more than that it is the last
            self._pass(*last, is_end=True)

    def _forward(self, whole: bytes | None, taken: list[tuple[bytes, list[Event]]]) -> None:
        """Pass a piece on: as a whole where all of it passes, else event by event."""
        self._has_begun = self._has_begun or bool(self._begun)
        if whole is not None and self._pass_whole(whole):
            return
        for payload, events in taken:
            self._pass(payload, events)

    def _plain(self, data: bytes) -> list[bytes] | None:
        """The payloads of a piece that holds whole one-line `data` events and nothing else; None for any other."""
        if not self._codec.is_text:
            return None
        is_between, self._is_between = self._is_between, data.endswith(b"\n\n") and b"\r" not in data
        if not (is_between and self._is_between and data.startswith(b"data: ") and _is_utf8(data)):
            return None
        payloads = data[6:-2].split(b"\n\ndata: ")
        return payloads if data.count(b"\n") == 2 * len(payloads) else None

    def _parsed(self, data: bytes) -> list[bytes]:
        try:
            return self._framing.feed(data)
        except TooLarge as error:
            raise oversized(error) from error

    def _pass_whole(self, data: bytes) -> bool:
        """Many events at once, where nothing but a last `"usage":null` can have to go."""
        if self._hides_usage:
            data = data.replace(b',"usage":null}\n\n', b"}\n\n")  # no string of JSON holds a line break
            if b'"usage"' in data:
                return False
        self._pending.append(data)
        return True

    def _note(self, events: list[Event]) -> bool:
        """Whether the terminal event was among them.

        Raises:
            UpstreamError: the provider says that it broke, or ends an answer that it has not finished.
        """
        for event in events:
            if type(event) is TextDelta:  # nearly all of them
                self._begun.add(event.choice)
            elif isinstance(event, UsageReport):
                self._attempt.usage = event.usage
            elif isinstance(event, MessageEnd):
                self._is_over = self._is_answered(1)
                if not self._is_over:  # a proxy that hides a cut says so
                    raise UpstreamMalformed(
                        f"{self._attempt.step.target} ended its stream before its answer had ended.", is_billable=True
                    )
            elif isinstance(event, StreamError):
                raise UpstreamError(
                    f"{self._attempt.step.target} broke off: {event.message}", upstream_status=200, is_billable=True
                )
            elif not isinstance(event, MessageStart):
                self._begun.add(event.choice)
                if isinstance(event, ChoiceEnd):
                    self._ended.add(event.choice)
        return self._is_over

    def _pass(self, payload: bytes, events: list[Event], *, is_end: bool = False) -> None:
        """The event's own bytes where nothing changed it, else what is left of it, encoded again."""
        if self._is_guarded:
            kept = [out for event in events for out in self._guard.feed(event)]
            is_changed = len(kept) != len(events) or any(new is not old for new, old in zip(kept, events, strict=True))
            if is_changed and self._out.is_stateful:
                self._passes = False  # what was held back comes later than what stood after it: from here on, anew
            if is_changed or not self._passes:
                self._emit(kept)
                return
        if not self._passes:
            self._emit(events)
            return
        if self._is_guarded or self._is_named:  # else nothing that must follow it is ever written anew
            self._encoder.observe(payload, events)
        if self._is_named:
            payload = self._out.named(payload, self.call.asked.fields, self.call.shown_id)
        data = self._out.without_usage(payload) if self._hides_usage else payload
        if data is None:
            return
        self._has_end = is_end
        is_end = is_end or (self._out.ends_with_finish and any(isinstance(event, ChoiceEnd) for event in events))
        if self._rest is None:
            self._put([Ready(data, is_end)])
        else:
            self._put(self._rest.feed(data, frozenset(_strings_of(events)), is_end=is_end))

    def _put(self, ready: list[Ready]) -> None:
        """Events of the upstream's own; what ends an answer waits for its result, and so does all behind it."""
        for data, is_end in ready:
            framed = data if is_end is None else self._out.encode_event(data)
            (self._held if is_end or self._held else self._pending).append(framed)

    def _emit(self, events: list[Event]) -> None:
        if self._is_single:
            events = single.first_events(events)
        if events:
            told = [as_told(event, self.call) if isinstance(event, MessageStart) else event for event in events]
            data = self._encoder.encode(told)
            if self._rest is None:
                self._pending.append(data)
            else:
                self._put(self._rest.passing(data))

    def _flush(self) -> bytes:
        data = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
        self._pending.clear()
        self._sent.append(data)
        return data

    # Ends ----------------------------------------------------------------------

    async def _completed(self) -> bytes:
        """Commit, then the last bytes: what is left, the cost, the terminal event."""
        attempt, call = self._attempt, self.call
        call.verdicts.extend(self._guard.verdicts)
        attempt.account()
        end = b"" if self._has_end else self._encoder.encode([MessageEnd()])
        last = b"".join([*self._pending, call.comment(), *self._held, end])
        await attempt.finish("completed", answer=self._answer("completed", last))
        return last

    def _broken(self, error: MooringError) -> bytes:
        """The error as the last event; numbered, where the wire numbers its events."""
        if self._out.id_prefix is None:
            return self.call.stream_error(error)
        message = self.call.rooms.guardrails.redactor(str(error))
        return self._encoder.encode([StreamError(self.call.wire_code or error.code, message, error.status)])

    async def _failed(self, error: MooringError) -> bytes:
        """What came, then the error, committed first; a blocked stream is read to its end, for its bill."""
        attempt, call = self._attempt, self.call
        is_blocked = isinstance(error, Blocked)
        if is_blocked:
            await self._drain()
        call.verdicts.extend(self._guard.verdicts)
        attempt.account()
        last = b"".join(self._pending) + call.comment() + self._broken(error)
        state: Literal["blocked", "failed"] = "blocked" if is_blocked else "failed"
        with contextlib.suppress(StorageError):  # then its intent stays, and holds the maximum
            await attempt.finish(state, error=error, answer=self._answer(state, last, error))
        return last

    def _answer(
        self, state: Literal["completed", "failed", "blocked"], last: bytes, error: MooringError | None = None
    ) -> CallAnswer:
        return CallAnswer(
            state=state,
            content_type=SSE,
            body=b"".join([*self._sent, last]),
            error_code=error.code if error else None,
            attributes=self.call.attributes(),
        )

    async def _drain(self) -> None:
        """Reads on for the usage alone: what the provider generates is paid for anyway."""
        try:
            while not self._is_over:
                for payload in self._parsed(await self._next()):
                    self._note(self._decoder.feed(payload))
        except MooringError:
            return  # then its cost is not known, and stays held

    async def _hung_up(self) -> None:
        """The caller is gone: stop the provider, settle what it has told."""
        self._response.close()
        error = UpstreamDisconnected("The client hung up before the stream had ended.")
        await self._attempt.abandon("client_disconnected", self._answer("failed", b"", error))
        self.call.asked.slot.release()


def _strings_of(events: list[Event]) -> Iterator[str]:
    """What was read of an event in its canonical form."""
    for event in events:
        for value in msgspec.structs.astuple(event):
            if isinstance(value, str):
                yield value


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
