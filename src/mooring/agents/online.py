"""Effects for real: models through `serve`, tools here, both in the journal."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from mooring.client.chat import chat_body
from mooring.client.encoding import Where, canonical, result_text
from mooring.client.events import Finished
from mooring.client.results import Completion
from mooring.client.tool import Done, NotDone, Tool
from mooring.core import ids
from mooring.core.clock import Clock
from mooring.core.errors import (
    CallUncertain,
    LeaseLost,
    MooringError,
    NotAuthenticated,
    StorageFull,
    Unavailable,
    UpstreamMalformed,
)
from mooring.core.ids import NewId
from mooring.core.seams import Hit
from mooring.core.text import digest, shorten
from mooring.journal.journal import Journal
from mooring.journal.records import (
    REQUEST_HASH_BYTES,
    AttemptIntent,
    AttemptResult,
    CallAnswer,
    CallRecord,
    NewCall,
    RunEvent,
    RunRecord,
    RunRef,
)

from .calling import call_tool, outcome_of
from .effects import ModelAnswer, ModelFailed, Parked, ToolOutcome
from .fold import ToolStep, fold
from .serving import Serve, Waiting


class OnlineEffects:
    """The hands of one run in this process, under one epoch of its lease."""

    def __init__(
        self,
        record: RunRecord,
        *,
        journal: Journal,
        serve: Serve,
        clock: Clock,
        new_id: NewId,
        deps: Any = None,
    ) -> None:
        self.record = record
        self.serve = serve
        self.deps = deps
        self._journal = journal
        self._clock = clock
        self._new_id = new_id
        self._attempts: dict[bytes, bytes] = {}
        self.inner: dict[str, bytes] = {}

    async def events(self) -> list[RunEvent]:
        found = await self._journal.events(self.record.project_id, self.record.id)
        self.inner = fold(found).inner
        return found

    async def append(self, kind: str, payload: bytes, *, call_id: bytes | None = None) -> None:
        await self._journal.append(self.record.id, self.record.epoch, kind, payload, call_id=call_id)

    async def model(self, step: str, body: bytes) -> ModelAnswer:
        try:
            completion = await self.complete(step, body)
        except (CallUncertain, LeaseLost):
            raise
        except MooringError as error:
            raise ModelFailed(error.code, str(error)) from error
        return ModelAnswer(
            message=completion.message,
            finish_reason=completion.finish_reason,
            usage=usage_fields(completion),
            cost_nanos=completion.cost_nanos or 0,
            call_id=ids.read("call", completion.call_id) if completion.call_id else None,
        )

    async def complete(self, step: str, body: bytes) -> Completion:
        """The model's answer, however often `serve` goes away: the key makes asking again free."""
        waiting = Waiting()
        while True:
            try:
                return await self._stream(step, body)
            except (Unavailable, StorageFull) as error:  # a full disk gets room again; the run is kept meanwhile
                await waiting.more(error)
                self.serve.look_again()
            except NotAuthenticated as error:
                if not self.serve.speaks_for_home:
                    raise
                await waiting.more(error)  # another home's serve has taken the port of ours
                self.serve.look_again()

    async def _stream(self, step: str, body: bytes) -> Completion:
        client = await self.serve.client()
        async for event in client.send_stream(body, self._headers(step)):
            if isinstance(event, Finished) and event.completion is not None:
                return event.completion
        raise UpstreamMalformed("The stream ended before its answer was whole.", is_billable=True)

    def _headers(self, step: str) -> Mapping[str, str]:
        record = self.record
        span = digest(record.id + step.encode())[:8].hex()
        named = {
            "idempotency-key": self.key(step),
            "x-mooring-run": ids.show("run", record.id),
            "x-mooring-step": step,
            "x-mooring-epoch": str(record.epoch),
            "x-mooring-user": record.user,
            "x-mooring-session": record.session,
            "x-mooring-tags": ",".join(record.tags),
            "traceparent": f"00-{record.id.hex()}-{span}-01",
        }
        return {name: value for name, value in named.items() if value}

    async def search(self, step: str, collection: str, query: str, limit: int, where: Where = None) -> Sequence[Hit]:
        """Passages, as a step of this run: its trace, its user's budget, and the recorded answer if it was asked."""
        client = await self.serve.client()
        headers = {name: value for name, value in self._headers(step).items() if name != "idempotency-key"}
        return await client.send_search(query, headers, collection=collection, limit=limit, where=where)

    def key(self, step: str) -> str:
        """The same in every worker that comes to this step."""
        return f"run/{ids.show('run', self.record.id)}/{step}"

    async def find_tool(self, step: str) -> CallRecord | None:
        return await self._journal.find_step(self.record.project_id, self.record.id, step)

    async def answer_of(self, call: CallRecord) -> ToolOutcome:
        body = await self._journal.get_body(call.project_id, call.id)
        is_error = call.state != "completed"
        text = body.decode("utf-8", "replace") or ("The call failed; it had no effect." if is_error else "done")
        return ToolOutcome(text, is_error=is_error, error_code=call.error_code)

    async def begin_tool(self, step: ToolStep, payload: bytes, *, previous: CallRecord | None) -> bytes:
        record, ref = self.record, self._ref(step.step)
        number = 1
        if previous is not None:  # the same call once more: the journal opens it again
            number += len(await self._journal.attempts(record.project_id, previous.id))
        call_id, attempt_id = previous.id if previous else self._new_id(), self._new_id()
        call = NewCall(
            id=call_id,
            project_id=record.project_id,
            kind="tool",
            name=step.name,
            trace_id=record.id,
            request_body=step.arguments.encode(),
            run=ref,
            user=record.user,
            session=record.session,
            tags=record.tags,
            release_id=record.release_id,
        )
        intent = AttemptIntent(
            id=attempt_id,
            call_id=call_id,
            project_id=record.project_id,
            number=number,
            target=f"tool/{step.name}",
            request_hash=digest(step.arguments.encode(), REQUEST_HASH_BYTES),
            reason="first" if previous is None else "repeat",
            run=ref,
        )
        await self._journal.begin_tool(ref, call, intent, event_payload=payload)
        self._attempts[call_id] = attempt_id
        return call_id

    async def run_tool(self, tool: Tool[..., Any], step: ToolStep, values: dict[str, Any]) -> ToolOutcome:
        return outcome_of(tool, await call_tool(tool, self._context(step), values))

    async def reconcile(
        self, tool: Tool[..., Any], step: ToolStep, values: dict[str, Any], call: CallRecord
    ) -> ToolOutcome | None:
        assert tool.reconcile is not None
        called = await call_tool(tool.reconcile, self._context(step), values)
        match called.value:
            case Done(result=result):
                outcome = ToolOutcome(result_text(result))
                await self._resolve(call, "completed", outcome.text.encode())
                return outcome
            case NotDone():
                return None
            case _:
                raise Parked(
                    f"Tool step {step.step} is uncertain, and so is the reconcile function of '{step.name}'"
                    f"{f' ({called.error})' if called.error else ''}.",
                    step=step.step,
                )

    async def finish_tool(self, call_id: bytes, outcome: ToolOutcome, payload: bytes) -> None:
        if outcome.is_uncertain:
            await self._journal.finish_attempt(
                AttemptResult(attempt_id=self._attempts.pop(call_id), outcome="uncertain", cost_nanos=0)
            )
            return
        state: Literal["completed", "failed"] = "failed" if outcome.is_error else "completed"
        text = outcome.text.encode()
        result = AttemptResult(
            attempt_id=self._attempts.pop(call_id),
            outcome=state,
            cost_nanos=0,
            error_code=outcome.error_code,
            error_message=shorten(outcome.text) if outcome.is_error else None,
            bytes_down=len(text),
        )
        answer = CallAnswer(
            state=state, content_type="text/plain; charset=utf-8", body=text, error_code=outcome.error_code
        )
        step = msgspec.json.decode(payload)["step"]
        await self._journal.finish_tool(self._ref(step), result, answer, event_payload=payload)

    def now_us(self) -> int:
        return self._clock.now_us()

    def random(self) -> float:
        return random.random()  # noqa: S311 - no secret depends on it

    async def _resolve(self, call: CallRecord, decision: Literal["completed", "retry"], result: bytes | None) -> None:
        """Take a call off the list of uncertain ones; the run's own rule decided."""
        await self._journal.resolve_uncertain(
            call.project_id, call.id, decision=decision, result=result, by=f"tool/{call.name}"
        )

    def _ref(self, step: str) -> RunRef:
        return RunRef(self.record.id, self.record.epoch, step)

    def _context(self, step: ToolStep) -> "ToolContext":
        return ToolContext(self, step.step)


class ToolContext:
    """The journal's side of a tool's `ctx`."""

    def __init__(self, effects: OnlineEffects, step: str) -> None:
        self.key = effects.key(step)
        self.user = effects.record.user
        self.session = effects.record.session
        self.run_id = ids.show("run", effects.record.id)
        self.deps = effects.deps
        self._effects = effects
        self._step = step

    async def recorded(self, step: str) -> bytes | None:
        return self._effects.inner.get(f"{self._step}/{step}")

    async def record(self, step: str, value: bytes) -> None:
        name = f"{self._step}/{step}"
        payload = canonical({"step": name, "value": msgspec.Raw(value)})
        await self._effects.append("step.finished", payload)
        self._effects.inner[name] = value

    async def model(self, step: str, messages: Any, options: dict[str, Any]) -> Completion:
        body = chat_body(messages, options.pop("model"), options)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        return await self._effects.complete(f"{self._step}/{step}", canonical(body))

    async def search(self, step: str, collection: str, query: str, limit: int, where: Where = None) -> Sequence[Hit]:
        return await self._effects.search(f"{self._step}/{step}", collection, query, limit, where)

    def now_us(self) -> int:
        return self._effects.now_us()


def usage_fields(completion: Completion) -> dict[str, int]:
    """The usage that is not zero."""
    return {} if completion.usage is None else msgspec.to_builtins(completion.usage)
