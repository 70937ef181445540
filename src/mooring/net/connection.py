"""One socket: writes a request, feeds its response, keeps the deadlines, and says when it can be used again.

One timer per connection, moved only when it would fire too late: a busy connection arms it once in many requests.
"""

import asyncio
import select
from collections.abc import Callable
from typing import cast

from mooring.core.errors import MooringError, UpstreamDisconnected, UpstreamTimeout

from .answer import AnswerParser, Phase
from .deadlines import Deadlines
from .limits import PoolLimits
from .request import Origin
from .response import Response
from .tls import is_ended

# Under this, head and body are copied into one buffer and leave in one system call and mostly one packet.
_ONE_WRITE_BYTES = 65_536
# uvloop's timers count in milliseconds and may fire that much early.
_TIMER_SLACK_SECONDS = 0.001
# Linux tells a peer that has closed from one that has sent; elsewhere the question is not asked.
_PEER_CLOSED = getattr(select, "POLLRDHUP", 0)


class Connection(asyncio.Protocol):
    """`on_idle` is called when it can be used again, `on_lost` once when it is gone."""

    def __init__(
        self,
        origin: Origin,
        limits: PoolLimits,
        *,
        on_idle: "Callable[[Connection], None]",
        on_lost: "Callable[[Connection], None]",
    ) -> None:
        self.origin = origin
        self._limits = limits
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._answer = AnswerParser(origin, limits)
        self._transport: asyncio.Transport | None = None
        self._poll: select.poll | None = None
        self._response: Response | None = None
        self._deadlines = Deadlines()
        self._seen_at = self._retire_at = self._first_byte_at = self._total_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self.is_lost = False

    # Life -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._seen_at = self._loop.time()
        self._retire_at = self._seen_at + self._limits.age_seconds
        if _PEER_CLOSED:
            is_tls = transport.get_extra_info("sslcontext") is not None
            self._poll = select.poll()
            # Under TLS a late ticket for resumption is readable and harmless; in the clear anything readable is wrong.
            self._poll.register(
                transport.get_extra_info("socket").fileno(), _PEER_CLOSED if is_tls else _PEER_CLOSED | select.POLLIN
            )

    def is_usable(self) -> bool:
        """False once the peer has closed it or sent something unasked, or once it is too old; asks the kernel.

        This is what keeps a paid POST off a dead socket, where nobody could say whether it was received.
        """
        if self.is_lost or self._transport is None or self._transport.is_closing() or self._response is not None:
            return False
        if self._loop.time() >= self._next_deadline():
            return False
        return self._poll is None or not self._poll.poll(0)

    def send(self, head: bytes, response: Response, deadlines: Deadlines, total_at: float) -> None:
        """Write a request; `response` is woken when its head has come or the exchange has failed."""
        transport = self._transport
        if self.is_lost or transport is None or transport.is_closing():
            response.fail(UpstreamDisconnected(f"{self.origin} closed the connection before the request was sent."))
            return
        body = response.request.body
        self._response = response
        self._deadlines = deadlines
        self._total_at = total_at
        self._first_byte_at = self._loop.time() + deadlines.first_byte_seconds
        self._answer.start(response)
        response.attach(self)
        self._arm(min(self._first_byte_at, total_at))
        response.traffic.up += len(head) + len(body)
        if len(body) <= _ONE_WRITE_BYTES:
            transport.write(head + body if body else head)
        else:
            transport.writelines((head, body))

    def abort(self) -> None:
        """Close the socket now; `on_lost` follows."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None and not self.is_lost:
            self._transport.abort()

    def eof_received(self) -> bool:
        """The peer will send no more: the end of a body without a length, or a break."""
        answer = self._answer
        if self._response is not None and self._transport is not None:
            if answer.phase is Phase.BODY and answer.ends_with_socket and is_ended(self._transport):
                self._complete(self._response)
            else:
                self._break(self._response, "closed")
        self.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        if self._response is not None:
            self._break(self._response, "closed" if exc is None else "reset")
        self.abort()
        self._answer.close()
        self._on_lost(self)

    # Bytes in ---------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:  # nothing was asked
            self.abort()
            return
        response.traffic.down += len(data)
        self._seen_at = self._loop.time()
        answer = self._answer
        was_head = not response.status
        try:
            answer.feed(data)
        except MooringError as error:
            self._fail(response, error)
            return
        if answer.phase is Phase.OVER:
            self._complete(response)
        elif response.buffered_bytes > self._limits.high_water_bytes and not response.is_paused:
            response.is_paused = True
            assert self._transport is not None
            self._transport.pause_reading()
        elif was_head and response.status:
            self._arm(self._next_deadline())

    def resume(self) -> None:
        """The reader has emptied the buffer."""
        if self._response is None or self._transport is None:
            return
        self._response.is_paused = False
        self._seen_at = self._loop.time()
        self._arm(self._next_deadline())
        self._transport.resume_reading()

    # Ends -------------------------------------------------------------------

    def abandon(self, response: Response) -> None:
        """Nobody wants the rest of this response."""
        if self._response is response:
            self._let_go(response)
            self.abort()

    def _complete(self, response: Response) -> None:
        """The response is whole, and its reader may still take it; the socket is free, or finished."""
        transport = self._transport
        assert transport is not None
        # An answer that came before the request was written leaves the rest of that request in the socket.
        is_written = len(response.request.body) <= _ONE_WRITE_BYTES or not transport.get_write_buffer_size()
        if response.is_paused:
            response.is_paused = False
            transport.resume_reading()
        self._let_go(response)
        is_reusable = self._answer.release() and is_written
        response.finish()
        if is_reusable and self._seen_at < self._retire_at:
            self._arm(self._next_deadline())
            self._on_idle(self)
        else:
            self.abort()

    def _break(self, response: Response, how: str) -> None:
        when = "in the middle of its answer" if response.status else "before it answered"
        self._fail(
            response,
            UpstreamDisconnected(
                f"{self.origin} {how} the connection {when}.",
                upstream_status=response.status or None,
                is_billable=True,
                hint="The request may have been received.",
            ),
        )

    def _fail(self, response: Response, error: MooringError) -> None:
        self._let_go(response)
        response.fail(error)
        self.abort()

    def _let_go(self, response: Response) -> None:
        """The exchange is over; what never left the buffer was not sent."""
        self._response = None
        if self._transport is not None and not self.is_lost:
            response.traffic.up -= min(self._transport.get_write_buffer_size(), len(response.request.body))

    # Deadlines --------------------------------------------------------------

    def _next_deadline(self) -> float:
        response = self._response
        if response is None:
            return min(self._seen_at + self._answer.keep_alive_seconds, self._retire_at)
        if not response.status:
            return min(self._first_byte_at, self._total_at)
        if response.is_paused:  # the reader is the slow one
            return self._total_at
        return min(self._seen_at + self._deadlines.idle_seconds, self._total_at)

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._loop.time()
        at = self._next_deadline()
        if at > now + _TIMER_SLACK_SECONDS:
            self._arm(at)
        elif self._response is None:
            self.abort()
        else:
            self._fail(self._response, self._timeout(self._response, is_total=at == self._total_at))

    def _timeout(self, response: Response, *, is_total: bool) -> UpstreamTimeout:
        limits = self._deadlines
        if is_total:
            return timeout(self.origin, "total", limits.total_seconds, "answer was not whole", response)
        if not response.status:
            return timeout(self.origin, "first_byte", limits.first_byte_seconds, "answer did not begin", response)
        return timeout(self.origin, "idle", limits.idle_seconds, "answer stood still", response)


def timeout(origin: Origin, which: str, seconds: float, what: str, response: Response | None = None) -> UpstreamTimeout:
    """The error of one deadline; before the request was sent (`response` is None) nothing can have been billed."""
    return UpstreamTimeout(
        f"{origin}: the {what} within {seconds:g} s (the {which.replace('_', ' ')} deadline).",
        is_billable=response is not None,
        upstream_status=response.status or None if response is not None else None,
        hint=f"Raise {which}_seconds if the provider needs longer.",
        param=f"{which}_seconds",
    )
