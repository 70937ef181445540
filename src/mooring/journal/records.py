"""The journal's words as data: what rooms hand in before an effect, and what they hand in after it.

Times are unix microseconds, amounts nano-dollars, ids 16 bytes (UUIDv7), project ids short text.
"""

from typing import Any, Literal

import msgspec

from mooring.core.ids import show
from mooring.core.money import Price
from mooring.core.usage import Usage

RUN_KEYS = "run/"  # how the keys of runs begin, which no caller may choose
REQUEST_HASH_BYTES = 16  # it tells requests apart, and is compared with nothing

Kind = Literal[
    "chat",
    "embedding",
    "count",
    "rerank",
    "moderation",
    "image",
    "transcription",
    "speech",
    "passthrough",
    "file",
    "tool",
    "retrieval",
    "guard",
    "approval",
]
Outcome = Literal["intended", "completed", "failed", "blocked", "uncertain"]
Settlement = Literal["held", "settled", "unknown"]
CallState = Literal["running", "completed", "failed", "blocked", "uncertain"]
PlacePer = Literal["key", "user", "model", "project"]
RunState = Literal["queued", "running", "waiting", "parked", "completed", "failed", "cancelled"]


def step_key(run_id: bytes, step: str) -> str:
    """The key of a step's call, where its caller names no other."""
    return f"{RUN_KEYS}{show('run', run_id)}/{step}"


class RunRef(msgspec.Struct, frozen=True):
    """Who writes for a run: every such write is fenced by `epoch`."""

    run_id: bytes
    epoch: int
    step: str

    @property
    def key(self) -> str:
        """The key of this step's call, where its caller names no other."""
        return step_key(self.run_id, self.step)


class Place(msgspec.Struct, frozen=True):
    """At most so many calls of one key, user, model or project at once; `whose` it is, as its caller reads it."""

    per: PlacePer
    subject: bytes | str
    most: int
    whose: str


class NewCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a caller asked for. `key` + `binding` make it answerable once; `request_elements` are its messages.

    It is opened only where there is a place for it in each of `places`.
    """

    id: bytes
    project_id: str
    kind: Kind
    name: str
    trace_id: bytes
    request_body: bytes = b""
    request_elements: tuple[bytes, ...] = ()
    parent_span_id: bytes | None = None
    api_key_id: bytes | None = None
    key: str | None = None
    binding: bytes | None = None
    key_lifetime_seconds: int = 86_400
    run: RunRef | None = None
    user: str | None = None
    session: str | None = None
    tags: tuple[str, ...] = ()
    release_id: bytes | None = None
    is_stream: bool = False
    places: tuple[Place, ...] = ()


class AttemptIntent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One send to one upstream, before it happens. `held_nanos` is its maximum.

    `budget_ids` are those that apply of the project's, of which `newest_budget` was the newest; None: not asked for.
    """

    id: bytes
    call_id: bytes
    project_id: str
    number: int
    target: str
    request_hash: bytes
    held_nanos: int = 0
    budget_ids: tuple[bytes, ...] = ()
    newest_budget: bytes | None = None
    price: Price = Price()
    reason: str = "first"
    run: RunRef | None = None


class AttemptResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """The same send, after it. `cost_nanos` None: what it cost is not known, and the maximum stays held."""

    attempt_id: bytes
    outcome: Literal["completed", "failed", "blocked", "uncertain"]
    cost_nanos: int | None
    usage: Usage | None = None
    provider_request_id: str | None = None
    upstream_status: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    bytes_up: int = 0
    bytes_down: int = 0
    sent_at_us: int | None = None
    first_byte_at_us: int | None = None


class CallAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the caller gets, and whoever comes again with its key.

    `body` is the unstreamed body, or the stream's bytes as they were sent. `attributes` are facts for the trace
    (guard verdicts, hits with scores), JSON values only.
    """

    state: Literal["completed", "failed", "blocked"]
    status: int = 200
    content_type: str = "application/json"
    body: bytes = b""
    error_code: str | None = None
    attributes: dict[str, Any] = {}


class CallRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call as the journal holds it, with the sums of its attempts."""

    id: bytes
    project_id: str
    kind: Kind
    name: str
    state: CallState
    trace_id: bytes
    started_at_us: int
    finished_at_us: int | None = None
    run_id: bytes | None = None
    step: str | None = None
    key: str | None = None
    process_id: bytes | None = None
    api_key_id: bytes | None = None
    user: str | None = None
    session: str | None = None
    tags: tuple[str, ...] = ()
    release_id: bytes | None = None
    is_stream: bool = False
    status: int | None = None
    content_type: str | None = None
    error_code: str | None = None
    attributes: dict[str, Any] = {}
    settled_nanos: int = 0
    held_nanos: int = 0


class AttemptRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """An attempt as the journal holds it."""

    id: bytes
    call_id: bytes
    project_id: str
    number: int
    target: str
    reason: str
    outcome: Outcome
    settlement: Settlement
    held_nanos: int
    settled_nanos: int
    price: Price
    process_id: bytes
    intended_at_us: int
    finished_at_us: int | None = None
    sent_at_us: int | None = None
    first_byte_at_us: int | None = None
    usage: Usage | None = None
    provider_request_id: str | None = None
    upstream_status: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    bytes_up: int = 0
    bytes_down: int = 0


class NewRun(msgspec.Struct, frozen=True, omit_defaults=True):
    """Work that must end: an agent's run, an ingestion, an evaluation. `handler` names who can do it."""

    id: bytes
    project_id: str
    handler: str
    name: str
    input: bytes
    key: str | None = None
    user: str | None = None
    session: str | None = None
    tags: tuple[str, ...] = ()
    release_id: bytes | None = None
    app_path: str | None = None
    app_digest: bytes | None = None
    max_cost_nanos: int | None = None
    parent_run_id: bytes | None = None
    due_at_us: int | None = None


class RunRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run as the journal holds it."""

    id: bytes
    project_id: str
    handler: str
    name: str
    state: RunState
    epoch: int
    next_seq: int
    input: bytes
    created_at_us: int
    output: bytes | None = None
    error_code: str | None = None
    error_message: str | None = None
    owner_process_id: bytes | None = None
    lease_until_us: int | None = None
    started_at_us: int | None = None
    finished_at_us: int | None = None
    user: str | None = None
    session: str | None = None
    tags: tuple[str, ...] = ()
    release_id: bytes | None = None
    app_path: str | None = None
    app_digest: bytes | None = None
    settled_nanos: int = 0
    held_nanos: int = 0


class RunEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One fact of a run: gapless `seq` from 1; `payload` is JSON; `call_id` where it points to a call."""

    seq: int
    kind: str
    payload: bytes
    at_us: int
    call_id: bytes | None = None
