"""Typed events of a stream: what a program shows while an agent or a model works."""

from collections.abc import Iterator
from typing import Any

import msgspec

from .results import Completion, RunFact


class TextDelta(msgspec.Struct, frozen=True):
    """More text; provisional until the step that it belongs to is finished."""

    text: str
    step: str = ""
    seq: int = 0


class ToolCall(msgspec.Struct, frozen=True):
    """The model asks for a tool."""

    id: str
    name: str
    arguments: str
    step: str = ""
    seq: int = 0


class ToolResult(msgspec.Struct, frozen=True):
    """What the tool answered."""

    id: str
    name: str
    text: str
    is_error: bool = False
    step: str = ""
    seq: int = 0


class ApprovalNeeded(msgspec.Struct, frozen=True):
    """The run waits for a person: `reason` says for what."""

    reason: str
    seq: int = 0


class Finished(msgspec.Struct, frozen=True):
    """The end. `completion` only for a single model call."""

    state: str
    output: Any = None
    error_code: str | None = None
    error_message: str | None = None
    completion: Completion | None = None
    seq: int = 0


Event = TextDelta | ToolCall | ToolResult | ApprovalNeeded | Finished


class EventReader:
    """Turns a run's facts into typed events; text that came live is not told twice."""

    def __init__(self) -> None:
        self._live: dict[str, str] = {}

    def read(self, fact: RunFact) -> Iterator[Event]:
        data = fact.data if isinstance(fact.data, dict) else {}
        step = str(data.get("step", ""))
        match fact.kind:
            case "text.delta":
                self._live[step] = self._live.get(step, "") + data["text"]
                yield TextDelta(data["text"], step, fact.seq)
            case "model.finished":
                yield from self._model(data, step, fact.seq)
            case "tool.started":
                yield ToolCall(data["id"], data["name"], data["arguments"], step, fact.seq)
            case "tool.finished" | "tool.rejected":
                yield ToolResult(data["id"], data["name"], data["text"], data.get("is_error", False), step, fact.seq)
            case "run.parked" if data.get("state") == "parked":
                yield ApprovalNeeded(str(data.get("reason", "")), fact.seq)
            case _:
                return

    def _model(self, data: dict[str, Any], step: str, seq: int) -> Iterator[Event]:
        text = data["message"].get("content") or ""
        live = self._live.pop(step, "")
        rest = text[len(live) :] if text.startswith(live) else text
        if rest:
            yield TextDelta(rest, step, seq)
