"""What a server answers, as data."""

from typing import Any

import msgspec

from mooring.core.errors import MooringError
from mooring.core.money import Usd, usd
from mooring.core.seams import Hit
from mooring.core.usage import Usage


class ToolRequest(msgspec.Struct, frozen=True):
    """A tool call that a model asks for; `arguments` is JSON as the model wrote it, valid or not."""

    id: str
    name: str
    arguments: str


class Completion(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model's answer. `message` is the assistant's turn in OpenAI's wire format, to be sent back as it is."""

    text: str
    message: dict[str, Any]
    finish_reason: str
    model: str = ""
    tool_calls: tuple[ToolRequest, ...] = ()
    usage: Usage | None = None
    call_id: str | None = None
    cost_nanos: int | None = None
    is_replayed: bool = False

    @property
    def cost_usd(self) -> Usd | None:
        """None where the server did not say (a call under way elsewhere, an unknown price)."""
        return None if self.cost_nanos is None else usd(self.cost_nanos)


class Embeddings(msgspec.Struct, frozen=True, omit_defaults=True):
    """A vector for each text, in order. Many texts are several calls; usage and cost are their sums."""

    vectors: tuple[list[float], ...]
    model: str = ""
    usage: Usage = Usage()
    call_ids: tuple[str, ...] = ()
    cost_nanos: int | None = None
    is_replayed: bool = False

    @property
    def cost_usd(self) -> Usd | None:
        """None where the server did not say."""
        return None if self.cost_nanos is None else usd(self.cost_nanos)


class Citation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A claim's source: `[start, end)` in characters of the document at `path`; `page` where it has pages.

    `[mark_start, mark_end)` is the mark in the answer's text, in characters.
    """

    path: str
    section: str
    start: int
    end: int
    text: str
    number: int = 0
    document_id: str = ""
    chunk_id: str = ""
    page: int | None = None
    mark_start: int = 0
    mark_end: int = 0


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """An answer from documents; `is_answered` is false where the passages do not hold one."""

    text: str
    is_answered: bool = True
    citations: tuple[Citation, ...] = ()
    hits: tuple[Hit, ...] = ()
    call_id: str | None = None
    model: str = ""


class CallInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call as the server tells it. `raw` holds all fields that came."""

    id: str
    state: str
    raw: dict[str, Any]

    @property
    def cost_usd(self) -> Usd | None:
        cost = self.raw.get("cost_usd")
        return None if cost is None else Usd(str(cost).removeprefix("$"))


class RunState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run at one moment."""

    id: str
    state: str
    agent: str = ""
    output: Any = None
    error_code: str | None = None
    error_message: str | None = None
    cost_nanos: int = 0

    @property
    def is_over(self) -> bool:
        return self.state in ("completed", "failed", "cancelled")

    @property
    def cost_usd(self) -> Usd:
        return usd(self.cost_nanos)


class RunFact(msgspec.Struct, frozen=True):
    """One event of a run as the journal holds it; `seq` is the id to resume after (0: not in the journal)."""

    seq: int
    kind: str
    data: Any


def failure_of(state: RunState) -> MooringError:
    """The error that ended a run."""
    return MooringError(
        f"Run {state.id} failed with {state.error_code}: {state.error_message}",
        hint=f"See it: mooring trace {state.id}",
    )
