"""The straight line of a chat completion, and of embeddings. Read it first; every step is a file of the same room.

authenticate (server) → size and decode → limit → key → guard input → per attempt {reserve + intent → send, decode
beside the bytes, guard output → result + settle} → terminal event.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

from mooring.core.clock import Clock
from mooring.core.errors import Blocked, MooringError, NoTargetLeft, NotFound, RateLimited
from mooring.core.ids import NewId
from mooring.core.text import shorten
from mooring.guardrails.check import GuardContext
from mooring.guardrails.guardrails import Guardrails
from mooring.journal.errors import KeyTaken
from mooring.journal.journal import Journal
from mooring.journal.records import NewCall
from mooring.net.http import HttpClient
from mooring.storage import Database

from . import asked as reading
from . import cache, passage, raw
from .admission import Admission, priority_of
from .asked import Asked, principal
from .attempt import Attempts
from .call import Call
from .catalogue import Listed, as_model, catalogue
from .choosing import choose
from .codecs import Codec
from .codecs import registry as codecs
from .config import GatewayConfig, ProviderConfig
from .counting import can_count, estimated
from .hangup import HangUp
from .inbound import Inbound, Outbound
from .keyed import Keyed
from .keys import Caller
from .limits import Limits, Who
from .live import Said, live_text
from .meaning import Meanings
from .plan import Plan
from .prints import Secrets
from .responses import Responses, kept
from .restoring import restored, whole
from .rooms import Rooms
from .routing import Router
from .streams import SSE, Relay
from .translation import carriable
from .whose import whose

CHAT_PATH = "/v1/chat/completions"


class Gateway:
    """The one door to every model. `release_id` is what every call names as the cause of its behaviour."""

    def __init__(
        self,
        config: GatewayConfig,
        *,
        journal: Journal,
        guardrails: Guardrails,
        http: HttpClient,
        clock: Clock,
        new_id: NewId,
        secrets: Secrets,
        release_id: bytes | None = None,
        database: Database | None = None,
    ) -> None:
        self.release_id = release_id
        self._config = config
        self._router = Router(config, clock=clock)
        self._limits = Limits(config.limits, clock=clock, database=database)
        self._admission = Admission(config.limits)
        self._rooms = Rooms(
            config, journal=journal, guardrails=guardrails, http=http, router=self._router, clock=clock, new_id=new_id
        )
        self._rooms.meanings = Meanings(journal, self.embed)
        self.responses = Responses(journal)
        self._keyed = Keyed(self._rooms, secrets, refuse=self._refused)
        self._chat: Codec = codecs.get("openai_chat")()
        self._embeddings: Codec = codecs.get("openai_embeddings")()

    async def chat(self, inbound: Inbound) -> Outbound:
        """Answer one request, whatever happens, in the caller's wire."""
        return await self._one(inbound, self._chat)

    async def embed(self, inbound: Inbound) -> Outbound:
        """The same for embeddings: the same keys, budgets, guards, retries and journal."""
        return await self._one(inbound, self._embeddings)

    async def ask(self, inbound: Inbound, wire: str) -> Outbound:
        """The same by any wire: whoever is asked by another one is asked through a translation."""
        return await self._one(inbound, codecs.get(wire)())

    async def respond(self, inbound: Inbound) -> Outbound:
        """The same by the responses wire, with the conversation that the request goes on with."""
        codec: Codec = codecs.get("openai_responses")()
        try:
            inbound = await self.responses.with_history(inbound)
        except MooringError as error:
            return self._error(codec, error)
        return await self._one(inbound, codec)

    def has_provider(self, name: str) -> bool:
        """Whether an account of this name is configured, or was found."""
        return self._router.has_vendor(name)

    async def passthrough(self, inbound: Inbound, provider: str, path: str) -> Outbound:
        """Any other path of a provider's own API. One that is a wire of ours goes the way of that wire."""
        try:
            vendor = self._router.vendor(provider)
            if vendor is None:
                raise NotFound(f"There is no provider '{provider[:60]}'.", hint="See GET /v1/models for what there is.")
            known = passage.known(inbound, vendor, path)
            if known is not None:
                return await self._at_home(*known)
            through = passage.Passage(inbound, vendor, path)
        except MooringError as error:
            return self._error(self._chat, error)
        return await self._one(inbound, through, lambda _: through.plan)

    async def _at_home(self, inbound: Inbound, wire: str) -> Outbound:
        """A request that came by a vendor's own address, as it would have come by ours."""
        if wire == "openai_responses":
            return await self.respond(inbound)
        return await (self.count if wire.endswith("count_tokens") else self.ask)(inbound, wire)

    async def count(self, inbound: Inbound, wire: str) -> Outbound:
        """The tokens of a request: the vendor's own count where it can be asked on this wire, else an estimate."""
        codec: Codec = codecs.get(wire)()
        try:
            asked = reading.read(inbound, codec, self._router.plan)
        except MooringError as error:
            return self._error(codec, error)
        return await self._one(inbound, codec) if can_count(asked) else estimated(asked)

    async def _one(self, inbound: Inbound, codec: Codec, plan_of: Callable[[str], Plan] | None = None) -> Outbound:
        try:
            asked = self._read(inbound, codec, plan_of or self._router.plan)
            await self._take_place(asked)
        except MooringError as error:
            return self._error(codec, error)
        try:
            keyed = asked.key is not None
            outbound = await (self._keyed.once(asked, self._answer) if keyed else self._watched(asked))
            return restored(self._rooms.guardrails, asked, outbound)
        except MooringError as error:
            return self._refused(asked, error)

    async def models(self, caller: Caller) -> list[dict[str, Any]]:
        """The models that can be named from the configuration, in OpenAI's shape, with all that is known of them."""
        return [as_model(one) for one in await asyncio.to_thread(self.catalogue)]

    def context_of(self, name: str) -> int | None:
        """The context of a model that can be asked, if it is declared: the smallest of its targets.

        Raises:
            NotFound: nobody serves this name.
        """
        declared = [target.facts.context_tokens for target in self._router.plan(name).targets]
        return min((tokens for tokens in declared if tokens is not None), default=None)

    async def model(self, name: str) -> dict[str, Any]:
        """One of them, or any other that can be called.

        Raises:
            NotFound: nobody serves this name.
        """
        self._router.plan(name)
        listed = await asyncio.to_thread(self.catalogue, (name,))
        return as_model(next(one for one in listed if one.name == name))

    def offer(self, found: Mapping[str, ProviderConfig]) -> None:
        """Model servers that answer on this machine, beside the configured providers; replaces the last offer."""
        self._router.offer(found)

    def targets(self) -> list[dict[str, Any]]:
        """Every target that this process has asked: whether it rests, why, how fast it is."""
        return self._router.health.shown()

    def restored(self, project_id: str, *, user: str | None, request: bytes, answer: bytes) -> bytes:
        """A recorded answer to one of this server's own processes as it was given: with the values, not their marks."""
        asked = self._chat.decode_request(request)
        wire = asked.request
        user = whose(Inbound(Caller.service(project_id), b""), asked.fields, user or wire.user).user
        context = GuardContext(
            project_id,
            CHAT_PATH,
            user=user,
            model=wire.model,
            principal=principal(user, None),
        )
        guardrails = self._rooms.guardrails
        return whole(guardrails, self._chat, answer, guardrails.remember(wire, context), asked.fields)

    def catalogue(self, also: Iterable[str] = ()) -> list[Listed]:
        """Every name that can be called, its targets and their prices of today; a vendor's list takes a moment."""
        return catalogue(self._router, self._rooms.clock.now_us(), also)

    def live_text(self, project_id: str, run_id: bytes) -> AsyncIterator[Said]:
        """What the run's models say right now; provisional, and only of calls that this process makes."""
        return live_text(self._keyed, project_id, run_id)

    async def aclose(self, *, drain_seconds: float = 10.0) -> None:
        """Waits for calls that are drained, so long, and for results that are being written."""
        await self._rooms.drain(drain_seconds)

    # The straight line ---------------------------------------------------------

    def _read(self, inbound: Inbound, codec: Codec, plan_of: Callable[[str], Plan]) -> Asked:
        """Decode, and plan with the targets whose wire can carry it."""
        asked = reading.read(inbound, codec, plan_of)
        if asked.codec.kind != "count":
            asked.plan = carriable(asked)
        return asked

    async def _take_place(self, asked: Asked) -> None:
        """What its caller may do, then a place among those that run; Mooring's own questions run within another's."""
        inbound, request = asked.inbound, asked.request
        urgent = "high" if inbound.caller.is_service else None  # a worker's; batches say that they can wait
        priority = priority_of(inbound.header(b"x-mooring-priority") or urgent)
        who = Who(inbound.caller, request.model, asked.user, len(asked.body), request.max_output_tokens)
        asked.slot = await self._limits.take(who)
        if inbound.is_internal:
            return
        try:
            await self._admission.enter(priority)
        except BaseException:
            asked.slot.release()
            raise
        asked.slot.on_release = self._admission.leave

    async def _answer(self, asked: Asked, binding: bytes | None = None) -> Outbound:
        """Guard the input, then the first target that answers."""
        call = self._call(asked, binding)
        try:
            whole = asked.whole if asked.codec.no_text is not None else None
            checked = await self._rooms.guardrails.check_input(asked.request, asked.context, whole)
        except Blocked as error:
            await self._rooms.journal.record_call(call.row, call.refusal(error))
            return self._failed(call, error)
        call.verdicts.extend(checked.verdicts)
        asked.context = checked.context or asked.context
        if checked.is_changed or checked.body is not None:
            asked.take(checked.value, checked.body)
            call.row = self._row(call.row.id, asked, binding)
        try:
            return await cache.recall(call) or await self._chosen(call)
        except MooringError as error:
            if not call.is_open:
                if isinstance(error, RateLimited):
                    asked.slot.give_back()
                raise
            if not call.is_closed:
                await self._close(call, error)
            return self._failed(call, error)

    async def _chosen(self, call: Call) -> Outbound:
        """A route by task asks for a vector first: after the guards, and where nothing was remembered."""
        call.asked.choice = await choose(call, self.embed)
        return await self._first(call)

    async def _first(self, call: Call) -> Outbound:
        """The first target that answers; a call that the cache would remember may find that another one is."""
        first = self._first_stream if call.asked.request.is_stream else self._first_answer
        if call.asked.codec.is_raw:
            first = self._first_raw
        try:
            return await first(call)
        except KeyTaken as error:
            cache.forget(call, error)
        return await first(call)

    async def _first_answer(self, call: Call) -> Outbound:
        """Try the planned targets in order; each attempt reserves on entry and settles on exit, whatever happens."""
        async for attempt in Attempts(call):
            async with attempt:
                body = await attempt.answer()
                return Outbound(200, body, headers=call.headers())
        raise call.final_error()

    async def _first_stream(self, call: Call) -> Outbound:
        """The same up to the first event; then the relay ends the attempt."""
        async for attempt in Attempts(call):
            async with attempt:
                relay = Relay(attempt, await attempt.stream())
                await relay.open()
                return Outbound(200, relay, SSE, call.headers(is_stream=True))
        raise call.final_error()

    async def _first_raw(self, call: Call) -> Outbound:
        """The same for what is handed on as it comes."""
        async for attempt in Attempts(call):
            async with attempt:
                return await raw.passed(attempt)
        raise call.final_error()

    # Beside it -------------------------------------------------------------------

    async def _watched(self, asked: Asked) -> Outbound:
        """A call that only its caller waits for: it ends when the caller hangs up."""
        hang_up = HangUp(asked)
        is_stream = False
        try:
            outbound = await self._answer(asked)
            is_stream = not isinstance(outbound.body, bytes)
            return outbound
        except asyncio.CancelledError:
            if not hang_up.absorb():
                raise
            return Outbound(499, b"")
        finally:
            hang_up.stop()
            if not is_stream:
                asked.slot.release()

    def _call(self, asked: Asked, binding: bytes | None) -> Call:
        return Call(self._rooms, asked, self._row(self._rooms.new_id(), asked, binding))

    def _row(self, call_id: bytes, asked: Asked, binding: bytes | None) -> NewCall:
        lifetime_seconds = asked.inbound.key_lifetime_seconds or self._config.key_lifetime_seconds
        row = asked.new_call(call_id, self.release_id, binding, lifetime_seconds)
        return kept(row, asked, self._config.response_lifetime_seconds)

    async def _close(self, call: Call, error: MooringError) -> None:
        """A refusal between two attempts (a budget, a lost lease): the call that was opened gets its answer."""
        await self._rooms.journal.close_call(call.row.id, call.refusal(error))

    def _failed(self, call: Call, error: MooringError) -> Outbound:
        outbound = self._error(call.asked.codec, error, code=call.wire_code)
        outbound.headers.extend(call.headers())
        return outbound

    def _refused(self, asked: Asked, error: MooringError) -> Outbound:
        return self._error(asked.codec, error)

    def _error(self, codec: Codec, error: MooringError, *, code: str | None = None) -> Outbound:
        """An error in the caller's wire, without secrets; the SDKs are told not to retry our 409s."""
        message = self._rooms.guardrails.redactor(shorten(str(error), 2000))
        headers: list[tuple[bytes, bytes]] = []
        if error.status == 409:
            headers.append((b"x-should-retry", b"false"))
        wait = error.retry_after_seconds if error.status in (429, 503) or isinstance(error, NoTargetLeft) else None
        if wait is not None:
            headers.append((b"retry-after", b"%d" % max(1, -(-wait // 1))))
        return Outbound(error.status, codec.encode_error(error, message=message, code=code), headers=headers)
