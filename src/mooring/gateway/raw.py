"""Answers that are handed on as they come: sound, files, and whatever a vendor's own path says.

What is small or JSON, and while output checks are configured all that may be text, is read whole, checked, and handed
out after its result is committed. Everything else flows: its bytes are provisional, and the end of the body is what
comes after the commit; what breaks is cut, or ends with an error event where it is a stream of events. A guard cannot
read sound or pictures.
"""

import asyncio
from collections.abc import AsyncGenerator

from mooring.core.errors import (
    Blocked,
    MooringError,
    TooLarge,
    UpstreamDisconnected,
    UpstreamMalformed,
    UpstreamRejected,
)
from mooring.core.messages import ChatResponse
from mooring.journal.records import CallAnswer
from mooring.net.response import Response
from mooring.net.sse import SseParser

from .attempt import Attempt, oversized
from .hangup import HangUp
from .inbound import Outbound

EVENTS = "text/event-stream"
KEPT_BYTES = 1024 * 1024  # of an answer that nobody can ask for again
# What of a vendor's head goes on: the others speak of its connection, its cookies, or its own addresses.
_STAYS = frozenset(
    (b"content-type content-length transfer-encoding connection keep-alive te trailer upgrade proxy-authenticate"
     b" proxy-connection set-cookie set-cookie2 server date alt-svc via strict-transport-security cache-control"
     b" access-control-allow-origin access-control-allow-credentials www-authenticate content-security-policy").split()
)  # fmt: skip
_OWN = (b"x-mooring-", b"cf-")
# Whatever else is not declared as one of these may be text, and is read where checks are configured.
_NO_TEXT = ("audio/", "video/", "image/", "font/", "application/zip", "application/gzip", "application/pdf")


async def passed(attempt: Attempt) -> Outbound:
    """The answer of an attempt that has entered.

    Raises:
        UpstreamError: it was none, and nothing has gone out.
        Blocked: the guards refuse it.
    """
    response = await attempt.opened()
    kind = (response.headers.get("content-type") or "application/octet-stream").strip()
    try:
        if _is_read_whole(attempt, response, kind):
            return await _whole(attempt, response, kind)
    except BaseException:
        response.close()
        raise
    relay = RawRelay(attempt, response, kind)
    return Outbound(response.status, relay, kind, [*_head(response), *attempt.call.headers(is_stream=True)])


def _is_read_whole(attempt: Attempt, response: Response, kind: str) -> bool:
    name = kind.partition(";")[0].strip().lower()
    if name == "text/html" and not attempt.codec.takes_any_status:
        raise UpstreamMalformed(f"{attempt.step.target} answered with a web page.", is_billable=True)
    length = response.content_length
    is_small = length is not None and length <= KEPT_BYTES
    if is_small or response.status >= 300 or response.status == 204 or name.endswith(("/json", "+json")):
        return True
    call = attempt.call
    is_guarded = not call.rooms.guardrails.stream(call.asked.context).is_idle
    return is_guarded and not name.startswith(_NO_TEXT)


async def _whole(attempt: Attempt, response: Response, kind: str) -> Outbound:
    call, codec = attempt.call, attempt.codec
    try:
        body = await response.read(call.rooms.config.answer_limit_bytes)
    except TooLarge as error:
        raise oversized(error) from error
    if response.status >= 300:
        return await _refusal(attempt, response, kind, body)
    if not codec.takes_any_status and codec.is_error(body):
        raise attempt.explained(codec.decode_error(response.status, response.headers, body))
    answer = _read(attempt, body, kind)
    attempt.usage = answer.usage or codec.metered_unsaid(call.asked.request)
    checked = await call.rooms.guardrails.check_output(answer, call.asked.context)
    call.verdicts.extend(checked.verdicts)
    if checked.is_changed:
        body = _rewritten(attempt, body, kind, checked.value)
    done = CallAnswer(
        state="completed", status=response.status, content_type=kind, body=body, attributes=call.attributes()
    )
    await attempt.finish("completed", answer=done)
    return Outbound(response.status, body, kind, [*_head(response), *call.headers()])


def _read(attempt: Attempt, body: bytes, kind: str) -> ChatResponse:
    """What the guards read, and what it was metered at; of a stream of events the last that says it."""
    codec = attempt.codec
    if not kind.startswith(EVENTS):
        answer = codec.decode_response(body)
        codec.check_answer(attempt.call.asked.request, answer)
        return answer
    found = [codec.decode_response(event.data.encode()) for event in SseParser().feed(body) if _is_object(event.data)]
    usage = next((one.usage for one in reversed(found) if one.usage is not None), None)
    leaves = [leaf for one in found for leaf in one.extra.get("strings", ())]
    # A value in pieces is found in the joined text, as the caller's program will join it.
    return ChatResponse(id="", model="", choices=(), usage=usage, extra={"strings": [*leaves, "".join(leaves)]})


def _rewritten(attempt: Attempt, body: bytes, kind: str, answer: ChatResponse) -> bytes:
    if not kind.startswith(EVENTS):
        return attempt.codec.rewrite_response(body, answer)
    raise UpstreamMalformed(
        "A check would change this stream, whose events nobody here can write again.",
        hint="Ask without stream, or leave this path out of the check.",
        is_billable=True,
    )


def _is_object(data: str) -> bool:
    return data.lstrip().startswith("{")


async def _refusal(attempt: Attempt, response: Response, kind: str, body: bytes) -> Outbound:
    """The vendor's own words for no, as they came; a redirect too, which nobody here follows."""
    call = attempt.call
    error = UpstreamRejected(f"The provider answered {response.status}.", upstream_status=response.status)
    answer = CallAnswer(
        state="failed",
        status=response.status,
        content_type=kind,
        body=body,
        error_code=error.code,
        attributes=call.attributes(),
    )
    await attempt.finish("failed", error=error, answer=answer)
    return Outbound(response.status, body, kind, [*_head(response), *call.headers()])


def _head(response: Response) -> list[tuple[bytes, bytes]]:
    """The vendor's headers that are about its answer."""
    named = {name.strip().lower().encode() for name in (response.headers.get("connection") or "").split(",")}
    return [
        (name, value)
        for name, value in response.headers.raw
        if name not in _STAYS and name not in named and not name.startswith(_OWN)
    ]


class RawRelay:
    """Takes upstream bytes, gives the same bytes. Owns the attempt and always ends it."""

    def __init__(self, attempt: Attempt, response: Response, kind: str) -> None:
        self._attempt = attempt
        self._call = attempt.call
        self._response = response
        self._kind = kind
        self._is_events = kind.startswith(EVENTS)
        self._parser = SseParser(limit_bytes=16 * 1024 * 1024)
        self._kept: list[bytes] = []
        self._size = 0
        # Whoever comes again with its key gets all of it.
        self._most_kept = self._call.rooms.config.answer_limit_bytes if self._call.row.key else KEPT_BYTES
        self._generator: AsyncGenerator[bytes, None] | None = None

    def __aiter__(self) -> AsyncGenerator[bytes, None]:
        if self._generator is None:
            self._generator = self._run()
        return self._generator

    async def __anext__(self) -> bytes:
        return await self.__aiter__().__anext__()

    async def aclose(self) -> None:
        """Stops early, or cleans up after the end."""
        if self._generator is None:
            await self._call.rooms.keep(self._hung_up())
        else:
            await self._generator.aclose()

    async def _run(self) -> AsyncGenerator[bytes, None]:
        hang_up = HangUp(self._call.asked)
        try:
            while data := await self._next():
                yield data
            await self._completed()
        except asyncio.CancelledError:
            await self._call.rooms.keep(self._hung_up())
            if not hang_up.absorb():
                raise
        except GeneratorExit:
            await self._call.rooms.keep(self._hung_up())
            raise
        except MooringError as error:
            last = await self._failed(error)
            if last is None:
                raise
            yield last
        finally:
            hang_up.stop()
            self._response.close()
            self._call.asked.slot.release()

    async def _next(self) -> bytes:
        data = await self._response.more()
        self._size += len(data)
        limit = self._call.rooms.config.answer_limit_bytes
        if self._size > limit:
            raise oversized(TooLarge(f"The answer is larger than {limit} bytes."))
        if self._size <= self._most_kept:
            self._kept.append(data)
        if self._is_events and data:
            self._meter(data)
        return data

    def _meter(self, data: bytes) -> None:
        """The figures of the events as they pass, and a failure that they tell."""
        codec = self._attempt.codec
        try:
            events = self._parser.feed(data)
        except TooLarge as error:
            raise oversized(error) from error
        for event in events:
            if '"usage"' in event.data and _is_object(event.data):
                found = codec.decode_response(event.data.encode()).usage
                self._attempt.usage = found or self._attempt.usage

    async def _completed(self) -> None:
        if self._attempt.usage is None:
            self._attempt.usage = self._attempt.codec.metered_unsaid(self._call.asked.request)
        self._attempt.account()
        await self._attempt.finish("completed", answer=self._answer(None))

    async def _failed(self, error: MooringError) -> bytes | None:
        """The last event of a stream of events; None where only a cut can tell."""
        self._attempt.account()
        await self._attempt.finish("blocked" if isinstance(error, Blocked) else "failed", error=error,
                                   answer=self._answer(error))  # fmt: skip
        return self._call.stream_error(error) if self._is_events else None

    def _answer(self, error: MooringError | None) -> CallAnswer:
        facts = self._call.attributes()
        body = b"".join(self._kept)
        if self._size > self._most_kept:
            facts = {**facts, "body": f"not kept: {self._size} bytes"}
            body = b""
        return CallAnswer(
            state="failed" if error else "completed",
            status=self._response.status,
            content_type=self._kind,
            body=body,
            error_code=error.code if error else None,
            attributes=facts,
        )

    async def _hung_up(self) -> None:
        """The caller is gone: stop the provider, settle what it has told."""
        self._response.close()
        error = UpstreamDisconnected("The client hung up before the answer had ended.")
        await self._attempt.abandon("client_disconnected", self._answer(error))
        self._call.asked.slot.release()
