"""Calls with a key: answered once, joined while they run, drained whoever hangs up, and replayed from the journal.

The key is bound to an HMAC of what was asked, so that it cannot answer anything else.
"""

import asyncio
import contextlib
import hmac
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator

from mooring.core import ids
from mooring.core.errors import CallUncertain, ConfigError, MooringError, Unavailable, UpstreamTimeout
from mooring.journal.errors import KeyTaken
from mooring.journal.records import CallRecord

from .asked import Asked
from .call import usd
from .inbound import VERSION_HEADERS, Inbound, Outbound
from .prints import Secrets
from .restoring import restored
from .rooms import Rooms
from .streams import SSE

KEEP_ALIVE_SECONDS = 10.0
_VERSION_BYTES = 4
_MAC_BYTES = 16  # half of SHA-256: who does not know the secret can only try, one request each
WAIT_LIMIT_SECONDS = 900.0  # longer than any attempt may take

Work = Callable[[Asked, bytes], Awaitable[Outbound]]
Refuse = Callable[[Asked, MooringError], Outbound]
Place = tuple[str, str, bytes]  # project, key and what the key stands for


def binding_of(inbound: Inbound, secrets: Secrets, version: int) -> bytes:
    """What the key stands for: route, path, query, version headers and the raw body, each with its length.

    It begins with the version of the secret that made it, so that a key outlives a rotation.

    Raises:
        ConfigError: the home does not have this version (any more).
    """
    made = hmac.new(secrets.get(version), digestmod="sha256")
    versions = [inbound.headers.get(name, b"") for name in VERSION_HEADERS]
    for part in (inbound.method.encode(), inbound.path.encode(), inbound.query, *versions, inbound.body):
        made.update(len(part).to_bytes(8))
        made.update(part)
    return version.to_bytes(_VERSION_BYTES) + made.digest()[:_MAC_BYTES]


class Keyed:
    """The calls with keys that run in this process, and the way to those that ran."""

    def __init__(self, rooms: Rooms, secrets: Secrets, *, refuse: Refuse) -> None:
        self._rooms = rooms
        self._secrets = secrets
        self._refuse = refuse
        self._flights: dict[Place, Flight] = {}
        self._watches: list[tuple[str, str, asyncio.Queue[tuple[str, Flight]]]] = []

    async def once(self, asked: Asked, work: Work) -> Outbound:
        """The answer of the one call with this key: recorded, running, or begun now."""
        assert asked.key is not None
        binding = binding_of(asked.inbound, self._secrets, self._secrets.version)
        place = (asked.project_id, asked.key, binding)  # of two requests with one key the journal refuses one
        flight = self._flights.get(place)
        if flight is None:
            flight = self._flights[place] = Flight(binding, asked)
            self._tell(place, flight)
            self._rooms.fly(self._fly(place, flight, asked, work))
        else:
            asked.slot.release()
        return await flight.answer()

    async def watch(self, flight: "Flight") -> Outbound:
        """The flight's answer as whoever asked for it sees it."""
        return restored(self._rooms.guardrails, flight.asked, await flight.answer())

    @contextlib.contextmanager
    def watched(self, project_id: str, prefix: str) -> Iterator["asyncio.Queue[tuple[str, Flight]]"]:
        """The flights of keys that begin so: those under way, then each new one."""
        queue: asyncio.Queue[tuple[str, Flight]] = asyncio.Queue()
        watch = (project_id, prefix, queue)
        self._watches.append(watch)
        for (project, key, _), flight in self._flights.items():
            if project == project_id and key.startswith(prefix):
                queue.put_nowait((key, flight))
        try:
            yield queue
        finally:
            self._watches.remove(watch)

    def _tell(self, place: Place, flight: "Flight") -> None:
        for project_id, prefix, queue in self._watches:
            if place[0] == project_id and place[1].startswith(prefix):
                queue.put_nowait((place[1], flight))

    async def _fly(self, place: Place, flight: "Flight", asked: Asked, work: Work) -> None:
        """Runs to its end whoever listens: the journal collects the answer."""
        try:
            try:
                outbound = await self._recalled_or_new(asked, flight.binding, work)
            except MooringError as error:
                outbound = self._refuse(asked, error)
            await flight.take(outbound)
        except BaseException:  # cut at shutdown, or a mistake of ours: whoever listens is told, and it goes on
            stopped = Unavailable("The call was stopped before its end.", hint="Ask again with the same key.")
            flight.stop(self._refuse(asked, stopped), asked.codec.encode_stream_error(stopped))
            raise
        finally:
            del self._flights[place]
            asked.slot.release()

    async def _recalled_or_new(self, asked: Asked, binding: bytes, work: Work) -> Outbound:
        """What the journal holds for the key, a wait for whoever works on it elsewhere, or the work itself."""
        until = self._rooms.clock.monotonic() + WAIT_LIMIT_SECONDS
        while True:
            record = await self._recall(asked, binding)
            if record is None:
                with contextlib.suppress(KeyTaken):  # by another process, just now: look again
                    return await work(asked, binding)
                continue
            if record.state != "running":
                return await self._recorded(record)
            if asked.request.is_stream:
                return Outbound(200, self._followed(record, asked, binding, work), SSE, _headers(record))
            await self._wait(record, WAIT_LIMIT_SECONDS)
            if self._rooms.clock.monotonic() > until:
                raise UpstreamTimeout("The call with this key is still running elsewhere.", hint="Ask again later.")

    async def _recall(self, asked: Asked, binding: bytes) -> CallRecord | None:
        assert asked.key is not None

        def as_before(bound: bytes) -> bytes:
            try:
                return binding_of(asked.inbound, self._secrets, int.from_bytes(bound[:_VERSION_BYTES]))
            except ConfigError:  # the version was dropped while its keys were in force: nobody can tell any more
                return b""

        return await self._rooms.journal.find_key(asked.project_id, asked.key, binding, bind_as=as_before)

    async def _recorded(self, record: CallRecord) -> Outbound:
        """The recorded answer, byte for byte, a stream as the stream it was."""
        if record.state == "uncertain":
            shown = ids.show("call", record.id)
            raise CallUncertain(
                f"Nobody can know what became of {shown}.", hint=f"Decide: mooring runs resolve {shown}."
            )
        body = await self._rooms.journal.get_body(record.project_id, record.id)
        headers = [*_headers(record), (b"x-mooring-replayed", b"true")]
        if not record.held_nanos:
            headers.append((b"x-mooring-cost-usd", usd(record.settled_nanos)))
        return Outbound(record.status or 200, body, record.content_type or "application/json", headers)

    async def _followed(
        self, record: CallRecord, asked: Asked, binding: bytes, work: Work
    ) -> AsyncGenerator[bytes, None]:
        """A stream of a call that runs in another process: keep-alives, then its recorded events."""
        try:
            while record.state == "running":
                yield asked.codec.keep_alive
                record = await self._wait(record, KEEP_ALIVE_SECONDS)
            outbound = await self._recalled_or_new(asked, binding, work)
        except MooringError as error:
            yield asked.codec.encode_stream_error(error)
            return
        if isinstance(outbound.body, bytes):
            is_stream = outbound.content_type.startswith("text/event-stream")
            yield outbound.body if is_stream else asked.codec.encode_event(outbound.body)
            return
        async for data in outbound.body:
            yield data

    async def _wait(self, record: CallRecord, seconds: float) -> CallRecord:
        return await self._rooms.journal.wait_call(record.project_id, record.id, timeout_seconds=seconds)


class Flight:
    """One call with a key, running here: its answer so far, for everyone who asks."""

    def __init__(self, binding: bytes, asked: Asked) -> None:
        self.binding = binding
        self.asked = asked
        self._chunks: list[bytes] = []
        self._is_over = False
        loop = asyncio.get_running_loop()
        self._head: asyncio.Future[Outbound] = loop.create_future()
        self._more: asyncio.Future[None] = loop.create_future()

    async def answer(self) -> Outbound:
        """The answer for one more caller, a stream from its first event."""
        head = await asyncio.shield(self._head)
        if isinstance(head.body, bytes):
            return Outbound(head.status, head.body, head.content_type, list(head.headers))
        return Outbound(head.status, self._read(), head.content_type, list(head.headers))

    async def take(self, outbound: Outbound) -> None:
        """The answer has begun: hand it out, a stream as it comes."""
        if not self._head.done():
            self._head.set_result(outbound)
        if isinstance(outbound.body, bytes):
            return
        async for chunk in outbound.body:
            self._chunks.append(chunk)
            self._wake()
        self._is_over = True
        self._wake()

    def stop(self, refusal: Outbound, last_event: bytes) -> None:
        """It ends here: with the refusal where nothing was handed out, else with an error as the last event."""
        if self._is_over:
            return
        if not self._head.done():
            self._head.set_result(refusal)
        self._chunks.append(last_event)
        self._is_over = True
        self._wake()

    def _wake(self) -> None:
        more, self._more = self._more, asyncio.get_running_loop().create_future()
        if not more.done():
            more.set_result(None)

    async def _read(self) -> AsyncIterator[bytes]:
        position = 0
        while True:
            while position < len(self._chunks):
                position += 1
                yield self._chunks[position - 1]
            if self._is_over:
                return
            await asyncio.shield(self._more)


def _headers(record: CallRecord) -> list[tuple[bytes, bytes]]:
    return [(b"x-mooring-call", ids.show("call", record.id).encode())]
