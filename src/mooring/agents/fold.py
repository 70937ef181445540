"""Where a run stands: a fold over its events. Pure; no user code is run to find out."""

import collections
from collections.abc import Iterable
from typing import Any

import msgspec

from mooring.client.encoding import canonical
from mooring.journal.records import RunEvent


class ToolStep(msgspec.Struct, frozen=True):
    """A tool call that the model asked for; `step` is its place in the run, and makes its key."""

    step: str
    id: str
    name: str
    arguments: str


class AgentState:
    """The fold's value. `apply` takes each event once, in order; tool results may come in any order."""

    def __init__(self) -> None:
        self.definition: dict[str, Any] | None = None
        self.messages: list[dict[str, Any]] = []
        self.steps = 0
        self.cost_nanos = 0
        self.finish_reason: str | None = None
        self.rejected_outputs = 0
        self.started: set[str] = set()
        self.inner: dict[str, bytes] = {}
        self.limit: dict[str, Any] | None = None
        self.failure: dict[str, Any] | None = None
        self.repeats: collections.Counter[tuple[str, str]] = collections.Counter()
        self._round: dict[str, ToolStep] = {}
        self._results: dict[str, dict[str, Any]] = {}

    @property
    def pending(self) -> list[ToolStep]:
        """Tool calls without a result, in the model's order."""
        return [step for name, step in self._round.items() if name not in self._results]

    @property
    def text(self) -> str:
        """What the model said last."""
        return (self.messages[-1].get("content") or "") if self.messages else ""

    @property
    def is_answered(self) -> bool:
        """The model has spoken and asks for nothing."""
        return self.finish_reason is not None and not self._round

    def is_repeated(self, step: ToolStep, most: int) -> bool:
        """The model asked for the same tool with the same arguments more than `most` times."""
        return self.repeats[(step.name, same_arguments(step.arguments))] > most

    def apply(self, kind: str, payload: bytes) -> None:
        """One event; kinds that only tell people something change nothing."""
        data = msgspec.json.decode(payload) if payload else {}
        match kind:
            case "run.started":
                self._start(data)
            case "model.finished":
                self._model(data)
            case "tool.started":
                self.started.add(data["step"])
            case "tool.finished" | "tool.rejected":
                self._result(data)
            case "step.finished":
                self.inner[data["step"]] = canonical(data["value"])
            case "output.rejected":
                self.rejected_outputs += 1
                self.finish_reason = None
                self.messages.append({"role": "user", "content": data["text"]})
            case "limit.reached":
                self.limit = data
            case "model.failed":
                self.failure = data

    def _start(self, data: dict[str, Any]) -> None:
        self.definition = data["definition"]
        instructions = data["definition"]["instructions"]
        system = [{"role": "system", "content": instructions}] if instructions else []
        self.messages = [*system, *turns_of(data["input"])]

    def _model(self, data: dict[str, Any]) -> None:
        self.steps += 1
        self.cost_nanos += data["cost_nanos"]
        self.finish_reason = data["finish_reason"]
        self.messages.append(data["message"])
        self._round, self._results = {}, {}
        for index, call in enumerate(data["message"].get("tool_calls") or ()):
            step = f"{self.steps}.tool.{index}"
            function = call["function"]
            self._round[step] = ToolStep(step, call["id"], function["name"], function["arguments"])
            self.repeats[(function["name"], same_arguments(function["arguments"]))] += 1

    def _result(self, data: dict[str, Any]) -> None:
        self._results[data["step"]] = {"role": "tool", "tool_call_id": data["id"], "content": data["text"]}
        if len(self._results) == len(self._round):
            self.messages.extend(self._results[step] for step in self._round)
            self._round, self._results = {}, {}
            self.finish_reason = None


def fold(events: Iterable[RunEvent]) -> AgentState:
    """The state after these events."""
    state = AgentState()
    for event in events:
        state.apply(event.kind, event.payload)
    return state


def turns_of(value: Any) -> list[dict[str, Any]]:
    """A run's input as turns: text is the user's, a list of turns is taken as it is, other JSON is sent as text."""
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if isinstance(value, list) and value and all(isinstance(turn, dict) and "role" in turn for turn in value):
        return value
    return [{"role": "user", "content": canonical(value).decode()}]


def same_arguments(arguments: str) -> str:
    """One spelling for equal arguments; text that is no JSON stays as it is."""
    try:
        return canonical(msgspec.json.decode(arguments)).decode()
    except msgspec.DecodeError:
        return arguments
