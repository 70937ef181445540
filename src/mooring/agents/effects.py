"""What the loop may do to the outside world, as one seam: `online.py` does it, `replay.py` answers from the journal."""

from typing import Any, Protocol

import msgspec

from mooring.client.tool import Tool
from mooring.core.errors import MooringError
from mooring.journal.records import CallRecord, RunEvent

from .fold import ToolStep


class ModelAnswer(msgspec.Struct, frozen=True):
    """A model's turn in OpenAI's wire format, with what it cost."""

    message: dict[str, Any]
    finish_reason: str
    usage: dict[str, int]
    cost_nanos: int
    call_id: bytes | None


class ToolOutcome(msgspec.Struct, frozen=True):
    """What a tool did; `is_uncertain`: nobody knows whether its effect happened."""

    text: str
    is_error: bool = False
    error_code: str | None = None
    is_uncertain: bool = False


class Parked(MooringError):
    """The run cannot go on by itself; `wake_after_seconds` None: a person must decide."""

    code = "parked"

    def __init__(self, message: str, *, step: str, wake_after_seconds: float | None = None) -> None:
        super().__init__(message, hint="See `mooring runs uncertain`, decide with `mooring runs resolve`.")
        self.step = step
        self.wake_after_seconds = wake_after_seconds


class ModelFailed(MooringError):
    """A model step has no answer and never will: it was refused, blocked, or every target failed."""

    def __init__(self, failed_code: str, message: str) -> None:
        super().__init__(message)
        self.failed_code = failed_code


class Effects(Protocol):
    """One run's hands. Every write is fenced by the run's epoch and raises `LeaseLost` when another worker owns it."""

    async def events(self) -> list[RunEvent]:
        """What happened so far."""
        ...

    async def append(self, kind: str, payload: bytes, *, call_id: bytes | None = None) -> None: ...

    async def model(self, step: str, body: bytes) -> ModelAnswer:
        """Ask the model; a step that was asked before gets its recorded answer.

        Raises:
            ModelFailed: it gives none.
            CallUncertain: nobody can know whether it gave one.
        """
        ...

    async def find_tool(self, step: str) -> CallRecord | None:
        """The call of a tool step that began before."""
        ...

    async def answer_of(self, call: CallRecord) -> ToolOutcome:
        """What is recorded for a tool call that ended."""
        ...

    async def begin_tool(self, step: ToolStep, payload: bytes, *, previous: CallRecord | None) -> bytes:
        """Intent and event, before the tool runs; the call's id."""
        ...

    async def run_tool(self, tool: Tool[..., Any], step: ToolStep, values: dict[str, Any]) -> ToolOutcome: ...

    async def reconcile(
        self, tool: Tool[..., Any], step: ToolStep, values: dict[str, Any], call: CallRecord
    ) -> ToolOutcome | None:
        """What the tool's reconcile function says of a call in doubt: its outcome, or None: it did not happen."""
        ...

    async def finish_tool(self, call_id: bytes, outcome: ToolOutcome, payload: bytes) -> None:
        """Result and event, in one transaction; an uncertain outcome is written without an event."""
        ...

    def now_us(self) -> int: ...

    def random(self) -> float: ...
