"""The straight line of an agent's run: fold what happened, then model step, tool steps, and again, until it is over.

The same loop runs online and in a replay; all it does to the world goes through `Effects`.
"""

import asyncio
from typing import Any

import msgspec

from mooring.client.app import Agent
from mooring.client.encoding import canonical
from mooring.client.tool import Tool
from mooring.core.errors import CallUncertain, ConfigError, InvalidRequest, MooringError, UpstreamMalformed
from mooring.core.money import nanos, show_usd
from mooring.core.text import digest
from mooring.journal.records import RunRecord

from .effects import Effects, ModelAnswer, ModelFailed, Parked, ToolOutcome
from .fold import AgentState, ToolStep, fold
from .resume import resume_rule

_MOST_REJECTED_OUTPUTS = 2
_WAIT_FOR_DEATH_SECONDS = 2.0


class Completed(msgspec.Struct, frozen=True):
    """The run's output, as JSON."""

    output: bytes


class Failed(msgspec.Struct, frozen=True):
    """Why the run ended without one."""

    code: str
    message: str


class AgentLoop:
    """Drives one run of one agent to its end."""

    def __init__(self, agent: Agent, record: RunRecord, effects: Effects) -> None:
        self.agent = agent
        self.record = record
        self.effects = effects
        self.state = AgentState()

    async def drive(self) -> Completed | Failed:
        """To the end.

        Raises:
            Parked: it cannot go on by itself.
            LeaseLost: another worker owns the run.
        """
        self.state = fold(await self.effects.events())
        if self.state.definition is None:
            await self._note("run.started", definition=definition_of(self.agent), input=input_of(self.record))
        if self.state.limit is not None:
            return Failed("limit_reached", self.state.limit["text"])
        if self.state.failure is not None:
            return Failed(self.state.failure["code"], self.state.failure["text"])
        try:
            while True:
                if self.state.pending:
                    await self._tools(self.state.pending)
                elif self.state.is_answered:
                    if outcome := await self._outcome():
                        return outcome
                else:
                    await self._model()
        except _Stop as stop:
            return Failed("limit_reached", str(stop))
        except ModelFailed as failed:
            return Failed(failed.failed_code, failed.message)

    async def _model(self) -> None:
        """One model step: limits first, then the call, then its event."""
        await self._check_limits()
        step = f"{self.state.steps + 1}.model"
        body = canonical(body_of(self.state))
        try:
            answer = await self.effects.model(step, body)
        except CallUncertain as error:
            raise Parked(f"Model step {step} is uncertain: {error.message}", step=step) from error
        except ModelFailed as failed:
            facts: dict[str, Any] = {"code": failed.failed_code, "text": failed.message}
            await self._note("model.failed", step=step, request=digest(body).hex(), **facts)
            raise
        await self._note("model.finished", call_id=answer.call_id, step=step, **model_facts(answer, body))

    async def _tools(self, steps: list[ToolStep]) -> None:
        """All tool calls of a turn side by side; one that parks lets the others finish first."""
        for step in steps:
            await self._check_repeats(step)
        ended = await asyncio.gather(*(self._tool(step) for step in steps), return_exceptions=True)
        errors = [error for error in ended if error is not None]
        for error in sorted(errors, key=lambda error: isinstance(error, Parked)):
            raise error

    async def _tool(self, step: ToolStep) -> None:
        """One tool step: known and valid, or told so; then by its repeat rule if it began before."""
        tool = self.agent.tools.get(step.name)
        if tool is None:
            known = ", ".join(sorted(self.agent.tools)) or "none"
            return await self._reject(step, f"There is no tool '{step.name}'. Known: {known}.")
        try:
            values = tool.parse(step.arguments)
        except InvalidRequest as error:
            return await self._reject(step, str(error))
        previous = await self.effects.find_tool(step.step) if step.step in self.state.started else None
        rule = resume_rule(
            tool.policy.repeat, previous.state if previous else None, has_reconcile=tool.reconcile is not None
        )
        if previous is None or rule == "run":
            await self._execute(tool, step, values, previous)
        elif rule == "collect":
            await self._tell(step, await self.effects.answer_of(previous), previous.id)
        elif rule == "reconcile":
            outcome = await self.effects.reconcile(tool, step, values, previous)
            if outcome is None:
                await self._execute(tool, step, values, previous)
            else:
                await self._tell(step, outcome, previous.id)
        else:
            waits = _WAIT_FOR_DEATH_SECONDS if rule == "wait" else None
            reason = f"Tool step {step.step} is uncertain: its worker died during '{step.name}'."
            raise Parked(reason, step=step.step, wake_after_seconds=waits)
        return None

    async def _execute(self, tool: Tool[..., Any], step: ToolStep, values: dict[str, Any], previous: Any) -> None:
        """Intent, effect, result."""
        started = canonical({"step": step.step, "id": step.id, "name": step.name, "arguments": step.arguments})
        call_id = await self.effects.begin_tool(step, started, previous=previous)
        self.state.apply("tool.started", started)
        outcome = await self.effects.run_tool(tool, step, values)
        finished = tool_payload(step, outcome)
        await self.effects.finish_tool(call_id, outcome, finished)
        if outcome.is_uncertain:
            raise Parked(f"Tool step {step.step} is uncertain: {outcome.text}", step=step.step)
        self.state.apply("tool.finished", finished)

    async def _tell(self, step: ToolStep, outcome: ToolOutcome, call_id: bytes) -> None:
        """A result that was known before, as the step's event."""
        payload = tool_payload(step, outcome)
        await self.effects.append("tool.finished", payload, call_id=call_id)
        self.state.apply("tool.finished", payload)

    async def _reject(self, step: ToolStep, text: str) -> None:
        await self._note("tool.rejected", step=step.step, id=step.id, name=step.name, text=text, is_error=True)

    async def _outcome(self) -> Completed | Failed | None:
        """How the run ends now that the model asks for nothing; None: it must answer again."""
        reason, text = self.state.finish_reason, self.state.text
        if reason == "length":
            return Failed("limit_reached", "The model's answer was cut at its output limit. Raise max_tokens.")
        if reason == "content_filter":
            return Failed("content_blocked", "The provider's filter stopped the answer.")
        try:
            return Completed(canonical(self.agent.parse_text(text)))
        except UpstreamMalformed as error:
            if self.state.rejected_outputs >= _MOST_REJECTED_OUTPUTS:
                return Failed(error.code, error.message)
            await self._note("output.rejected", text=f"{error.message} Answer again, with the JSON only.")
            return None

    async def _check_limits(self) -> None:
        """Before each model call.

        Raises:
            _Stop: a limit is reached; the event names it.
        """
        limits = self._limits()
        if self.state.steps >= limits["max_steps"]:
            await self._stop("steps", f"The run took {self.state.steps} model steps, all that its agent allows.")
        most = limits["max_cost_usd"]
        if most is not None and self.state.cost_nanos >= nanos(most):
            spent = show_usd(self.state.cost_nanos)
            await self._stop("cost", f"The run has cost {spent} of at most ${most}.")
        if limits["max_seconds"] is not None:
            now_us = self.effects.now_us()
            started_us = self.record.started_at_us or self.record.created_at_us
            if now_us - started_us >= limits["max_seconds"] * 1e6:
                text = f"The run has worked for more than {limits['max_seconds']} seconds."
                await self._stop("time", text, now_us=now_us)

    async def _check_repeats(self, step: ToolStep) -> None:
        most = self._limits()["max_repeats"]
        if self.state.is_repeated(step, most):
            await self._stop("repeats", f"The model asked for '{step.name}' with the same arguments over {most} times.")

    def _limits(self) -> dict[str, Any]:
        assert self.state.definition is not None
        limits: dict[str, Any] = self.state.definition["limits"]
        return limits

    async def _stop(self, limit: str, text: str, **facts: Any) -> None:
        await self._note("limit.reached", limit=limit, text=text, **facts)
        raise _Stop(text)

    async def _note(self, kind: str, *, call_id: bytes | None = None, **facts: Any) -> None:
        """Write an event, then let the state know: never the other way round."""
        payload = canonical(facts)
        await self.effects.append(kind, payload, call_id=call_id)
        self.state.apply(kind, payload)


class _Stop(MooringError):
    """A limit ends the run."""


def definition_of(agent: Agent) -> dict[str, Any]:
    """What decides the agent's model calls, written down at the start: a resumed run sends the same bytes."""
    output = agent.output
    options = dict(agent.options)
    if output is not None:
        schema = {"name": output.__name__, "schema": output.model_json_schema()}
        options["response_format"] = {"type": "json_schema", "json_schema": schema}
    return {
        "agent": agent.name,
        "model": agent.model,
        "instructions": agent.instructions,
        "options": options,
        "limits": {
            "max_steps": agent.limits.max_steps,
            "max_cost_usd": agent.limits.max_cost_usd,
            "max_seconds": agent.limits.max_seconds,
            "max_repeats": agent.limits.max_repeats,
        },
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.spec.description,
                    "parameters": tool.spec.parameters,
                },
            }
            for tool in agent.tools.values()
        ],
    }


def input_of(record: RunRecord) -> Any:
    """The run's input.

    Raises:
        ConfigError: it is not JSON.
    """
    try:
        return msgspec.json.decode(record.input)
    except msgspec.DecodeError as error:
        raise ConfigError(
            "The run's input is not JSON.", hint="Start runs with `agent.run` or POST /v1/runs."
        ) from error


def body_of(state: AgentState) -> dict[str, Any]:
    """The next model call's body."""
    assert state.definition is not None
    body = {
        "model": state.definition["model"],
        "messages": state.messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        **state.definition["options"],
    }
    if state.definition["tools"]:
        body["tools"] = state.definition["tools"]
    return body


def model_facts(answer: ModelAnswer, body: bytes) -> dict[str, Any]:
    """A model step's event: what was asked as a hash, what came in full."""
    return {
        "request": digest(body).hex(),
        "message": answer.message,
        "finish_reason": answer.finish_reason,
        "usage": answer.usage,
        "cost_nanos": answer.cost_nanos,
    }


def tool_payload(step: ToolStep, outcome: ToolOutcome) -> bytes:
    """A tool step's event."""
    return canonical(
        {"step": step.step, "id": step.id, "name": step.name, "text": outcome.text, "is_error": outcome.is_error}
    )
