"""One attempt: intent, send, decode beside the bytes, guard the answer, result, whatever happens.

Entering reserves and writes the intent; leaving writes the result. An error that a next attempt may mend is swallowed
on the way out, with `next` saying what follows; the last one closes the call.
"""

import asyncio
import contextlib
from types import TracebackType
from typing import Literal, Self

from mooring.core.errors import (
    Blocked,
    MooringError,
    RateLimited,
    StorageError,
    TooLarge,
    Unavailable,
    UpstreamError,
    UpstreamMalformed,
    UpstreamRejected,
)
from mooring.core.text import shorten
from mooring.core.usage import Usage
from mooring.journal.errors import BudgetsChanged
from mooring.journal.records import AttemptResult, CallAnswer
from mooring.net.request import Request
from mooring.net.response import Response, Traffic

from . import beside, structured, tracecontext
from .call import Call
from .codecs import Failure
from .health import Run
from .intent import Intended, intended
from .plan import Step
from .translation import translated
from .tries import Tries, disposition

ERROR_BODY_BYTES = 64 * 1024
_FINAL = frozenset({"invalid", "context_length", "no_such_model"})
Outcome = Literal["completed", "failed", "blocked", "uncertain"]


class Attempt:
    """One send to one target; `next` is what follows a failure."""

    next: Step | None = None
    usage: Usage | None = None
    is_settled = False
    _failure: Failure | None = None
    _status: int | None = None
    _request_id: str | None = None
    _sent_at_us: int | None = None
    _first_byte_at_us: int | None = None
    _is_accounted = False
    _run: Run | None = None
    _intended: Intended

    def __init__(self, call: Call, step: Step, tries: Tries) -> None:
        self.call = call
        self.step = step
        self._tries = tries
        self._rooms = call.rooms
        self._vendor = step.target.vendor
        self.codec = self._vendor.codec_for(call.asked.codec, step.target.model)
        self._id = call.rooms.new_id()
        self._traffic = Traffic()

    async def __aenter__(self) -> Self:
        """Reserve and write the intent, in one transaction, with the call's row if it is the first.

        Raises:
            BudgetExceeded, UnknownPrice, LeaseLost, KeyTaken: nothing was sent.
        """
        call = self.call
        call.number += 1
        while True:
            self._intended = await intended(call, self.step, self.codec, self._id)
            try:
                await self._rooms.journal.begin_attempt(self._intended.intent, call=None if call.is_open else call.row)
            except BudgetsChanged:  # made by another process a moment ago: does it apply, and is there room in it?
                continue
            except asyncio.CancelledError:
                self._rooms.spawn(self._unsent())
                raise
            call.is_open = True
            return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None or self.is_settled:
            return False
        if not isinstance(error, MooringError):  # cancelled, or a mistake of ours: the money is accounted for first
            await self._rooms.keep(self.abandon("cancelled", self.call.refusal(Unavailable("The call was cancelled."))))
            return False
        if isinstance(error, Blocked):
            await self.finish("blocked", error=error, answer=self.call.refusal(error))
            return False
        if isinstance(error, StorageError):
            with contextlib.suppress(StorageError):
                await self.finish("failed", error=error, answer=self.call.refusal(error))
            return False
        self.call.failed(self.step.target.name, error)
        retry_after = self._failure.retry_after_seconds if self._failure else None
        is_too_long = self._failure is not None and self._failure.kind == "context_length"
        self._judge(error)
        self.next = self._tries.after(disposition(error, self._failure), retry_after, is_too_long=is_too_long)
        final = None if self.next else self.call.refusal(self.call.final_error())
        await self.finish("failed", error=error, answer=final)
        return True

    # What leads to bytes -----------------------------------------------------

    async def answer(self) -> bytes:
        """The whole answer as the caller will get it, its result committed."""
        response = await self.opened()
        codec, call = self.codec, self.call
        try:
            body = await response.read(self._rooms.config.answer_limit_bytes)
        except TooLarge as error:
            raise oversized(error) from error
        if codec.is_error(body):
            raise self.explained(codec.decode_error(response.status, response.headers, body))
        answer = codec.decode_response(body)
        self.usage = answer.usage or codec.metered_unsaid(call.asked.request)
        codec.check_answer(call.asked.request, answer)
        whole = beside.of_answer(codec, call.asked.codec, body, answer)
        checked = await self._rooms.guardrails.check_output(answer, call.asked.context, whole)
        call.verdicts.extend(checked.verdicts)
        if checked.body is not None:
            body = beside.encoded(checked.body)
        held = structured.held(call, checked.value)
        if codec.name != call.asked.codec.name:
            body = translated(call, codec, body, held)
        else:
            body = body if held is answer else codec.rewrite_response(body, held)
            body = codec.named(body, call.asked.fields, call.shown_id)
        await self.finish("completed", answer=CallAnswer(state="completed", body=body, attributes=call.attributes()))
        return body

    async def stream(self) -> Response:
        """The response, once its head says that it is a stream."""
        response = await self.opened()
        kind = (response.headers.get("content-type") or "").lower()
        if "json" in kind or "html" in kind:
            body = await response.read(ERROR_BODY_BYTES)
            raise self.explained(self.codec.decode_error(response.status, response.headers, body))
        return response

    async def opened(self) -> Response:
        """The response, once its head says that it is an answer."""
        rooms, vendor, target = self._rooms, self._vendor, self.step.target
        codec = self.codec
        url = codec.address or vendor.endpoint(target.model, is_stream=self.call.asked.request.is_stream, codec=codec)
        body = self._intended.body
        headers = codec.sent_headers(vendor.headers(self._id), body)
        request = Request(codec.method, url, [*headers, *self._passed()], body)
        self._run = self._tries.health.begin(target.name)
        if vendor.is_authorized_late:
            request = await vendor.authorized(request, rooms.http, rooms.clock)
        self._sent_at_us = rooms.clock.now_us()
        try:
            deadlines = self._tries.deadlines(vendor)
            response = await rooms.http.send(request, deadlines=deadlines, traffic=self._traffic)
        except TooLarge as error:
            raise oversized(error) from error
        except MooringError as error:
            if not getattr(error, "is_billable", False):
                self._sent_at_us = None  # it was never written to a socket
            raise
        self._first_byte_at_us = rooms.clock.now_us()
        self._status = response.status
        self._request_id = vendor.request_id(response.headers)
        self._tries.health.heed(target.name, response.headers)
        if response.status != 200 and not codec.takes_any_status:
            body = b""
            with contextlib.suppress(UpstreamError, TooLarge):
                body = await response.read(ERROR_BODY_BYTES)
            raise self.explained(codec.decode_error(response.status, response.headers, body))
        return response

    def _passed(self) -> list[tuple[bytes, bytes]]:
        """The caller's headers that say what its body means, where the provider gets that body; and the trace."""
        asked, passed = self.call.asked, self._vendor.passed_headers
        trace = tracecontext.write(self.call.row.trace_id, self._id)
        traced = [(b"traceparent", trace)] if self._vendor.is_traced else []
        if not passed:
            return traced
        given = asked.inbound.headers if self.codec.name == asked.codec.name else {}
        found = ((name, given.get(name, default)) for name, default in passed.items())
        return [*traced, *((name, value) for name, value in found if value is not None)]

    def explained(self, failure: Failure) -> MooringError:
        """A provider's failure as an error of ours; where it is the last word, its code stays."""
        self._failure = failure
        if self._vendor.is_authorized_late:
            self._vendor.refused(self._status, failure, self._rooms.clock)
        where, said = self.step.target, shorten(failure.message, 1000)
        self.call.wire_code = None
        if failure.kind in _FINAL:
            self.call.wire_code = "context_length_exceeded" if failure.kind == "context_length" else failure.code
            return UpstreamRejected(said, upstream_status=self._status, param=failure.param)
        if failure.kind == "rate_limited":
            return RateLimited(
                f"{where} is busy: {said}", retry_after_seconds=failure.retry_after_seconds, hint="Come back later."
            )
        why = {"out_of_money": "has no credit left", "not_authorised": "refused this server's API key"}
        return UpstreamError(
            f"{where} {why.get(failure.kind, f'answered {self._status}')}: {said}", upstream_status=self._status
        )

    # What follows them -------------------------------------------------------

    async def finish(
        self, outcome: Outcome, *, error: MooringError | None = None, answer: CallAnswer | None = None
    ) -> None:
        """Write the result and settle it; with `answer`, close the call in the same transaction."""
        cost = self.account()
        self._judge(error)
        result = AttemptResult(
            attempt_id=self._id,
            outcome=outcome,
            cost_nanos=cost,
            usage=self.usage,
            provider_request_id=self._request_id,
            upstream_status=self._status,
            error_code=error.code if error else None,
            error_message=self._told(error) if error else None,
            bytes_up=self._traffic.up,
            bytes_down=self._traffic.down,
            sent_at_us=self._sent_at_us,
            first_byte_at_us=self._first_byte_at_us,
        )
        try:
            await self._rooms.journal.finish_attempt(result, answer)
        except asyncio.CancelledError:  # a second result is ignored, so the same one may be written again
            self._rooms.spawn(self._rooms.journal.finish_attempt(result, answer))
            self._written(answer)
            raise
        self._written(answer)

    def _told(self, error: MooringError) -> str:
        """What is kept of an error: a provider's words may quote what it was sent, and go the way of all payloads."""
        if self._failure is not None and self._rooms.journal.payloads != "full":
            return f"{self.step.target} answered {self._status}; its words are not kept."
        return self._rooms.guardrails.redactor(shorten(error.message, 500))

    def _judge(self, error: MooringError | None) -> None:
        """What came of it, for the target's health; once."""
        if self._run is not None:
            sent, head = self._sent_at_us, self._first_byte_at_us
            self._run.end(error, self._failure, (head - sent) / 1e6 if sent is not None and head is not None else None)

    def _written(self, answer: CallAnswer | None) -> None:
        self.is_settled = True
        self.call.is_closed = answer is not None

    def account(self) -> int | None:
        """What it cost, added to the call's sum once: a stream tells its cost before its result is written."""
        cost = self._intended.cost_nanos(self.usage, status=self._status, is_sent=self._sent_at_us is not None)
        if not self._is_accounted:
            self._is_accounted = True
            if self.usage is not None:
                self.call.asked.slot.add_tokens(self.usage.input_tokens + self.usage.output_tokens)
            self.call.add_cost(cost)
        return cost

    async def abandon(self, code: str, answer: CallAnswer) -> None:
        """Nobody waits for it any more: settle what was metered, hold what was not."""
        if not self.is_settled:
            await self.finish("failed", error=_HungUpError(f"The call ended early: {code}."), answer=answer)

    async def _unsent(self) -> None:
        """Cancelled while the intent was being written: if it was (the result is written after it), it cost nothing."""
        with contextlib.suppress(MooringError):
            await self.abandon("cancelled", self.call.refusal(Unavailable("The call was cancelled.")))


def oversized(error: TooLarge) -> UpstreamMalformed:
    """Too large is the provider's fault, not the caller's."""
    return UpstreamMalformed(f"The provider's answer is too large: {error}", is_billable=True)


class Attempts:
    """One attempt after the other, with the waits between them, until one is not followed by a next."""

    def __init__(self, call: Call) -> None:
        self._call = call
        asked = call.asked
        self._tries = call.rooms.router.tries(
            asked.plan, asked.request, asked.fields, conversation=asked.conversation, choice=asked.choice
        )
        call.left_out = self._tries.left_out
        self._last: Attempt | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Attempt:
        step = self._tries.first() if self._last is None else self._last.next
        if step is None:
            raise StopAsyncIteration
        if step.wait_seconds:
            await asyncio.sleep(step.wait_seconds)
        self._call.targets.add(step.target.name)
        self._last = Attempt(self._call, step, self._tries)
        return self._last


class _HungUpError(MooringError):
    """Whoever asked is not there any more."""

    status = 499
    code = "client_closed_request"
