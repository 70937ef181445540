"""On whose behalf documents are searched, and what the room takes from others to do so."""

from typing import Any, Protocol

import msgspec

from mooring.core.ids import show
from mooring.core.seams import Embed, Hit
from mooring.journal.records import CallAnswer, NewCall, RunRef

from .retrieve import Retrieval, Stage


class RecordCall(Protocol):
    """The journal's way in for a call that needs no attempt."""

    async def __call__(self, call: NewCall, answer: CallAnswer, /) -> None: ...


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """On whose behalf a search is made; it goes into the journal."""

    trace_id: bytes | None = None
    parent_span_id: bytes | None = None
    api_key_id: bytes | None = None
    run: RunRef | None = None
    user: str | None = None
    session: str | None = None
    tags: tuple[str, ...] = ()
    release_id: bytes | None = None


class Recalled(msgspec.Struct, frozen=True):
    """A search that a step of a run made before, as the journal holds it."""

    call_id: bytes
    request: bytes
    body: bytes
    attributes: dict[str, Any]


class Recall(Protocol):
    """What the journal holds for a step of a run."""

    async def __call__(self, project_id: str, run: RunRef, /) -> Recalled | None: ...


class EmbedFor(Protocol):
    """Vectors on somebody's behalf: whose project pays, and which trace they belong to."""

    def __call__(self, project_id: str, origin: Origin, /) -> Embed: ...


def recalled(made: Recalled) -> Retrieval:
    """A recorded search as it was answered."""
    return Retrieval(
        hits=msgspec.json.decode(made.body, type=list[Hit]),
        stages=msgspec.convert(made.attributes.get("stages", []), list[Stage]),
        call_id=show("call", made.call_id),
    )
