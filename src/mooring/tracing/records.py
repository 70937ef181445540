"""The words of the projection: a span is one narrow row of typed columns, with its facts compressed beside it."""

from typing import Any, Literal, get_args

import msgspec

from mooring.journal.records import Kind

SpanKind = Kind | Literal["run", "attempt"]
Width = Literal["minute", "hour", "total"]
Dimension = Literal["all", "kind", "model", "target", "user", "tag"]
GroupBy = Literal["project", "user", "model", "tag", "session", "key", "day", "target"]
WIDTH_US: dict[Width, int] = {"minute": 60_000_000, "hour": 3_600_000_000, "total": 0}
CALLS: frozenset[str] = frozenset(get_args(Kind))


class ForeignSpan(msgspec.Struct, frozen=True):
    """A span that another program sent. `facts`: attributes, resource, scope, message, events and links, if any."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes | None
    service: str
    name: str
    kind: str
    state: str
    started_at_us: int
    finished_at_us: int | None
    facts: dict[str, Any] = {}


class Span(msgspec.Struct, frozen=True):
    """A run, a call or an attempt, finished or given up; `id` is its id in the journal, `parent_id` what it is part of.

    The fields are the columns of `trace_spans`, in their order.
    """

    id: bytes
    project_id: str
    trace_id: bytes
    parent_id: bytes | None
    kind: SpanKind
    name: str
    state: str
    error_code: str | None
    run_id: bytes | None
    step: str | None
    user: str | None
    session: str | None
    tags: str | None
    api_key_id: bytes | None
    started_at_us: int
    finished_at_us: int | None
    first_byte_at_us: int | None
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    settled_nanos: int
    held_nanos: int
    bytes_up: int
    bytes_down: int

    @property
    def duration_us(self) -> int | None:
        return None if self.finished_at_us is None else max(self.finished_at_us - self.started_at_us, 0)

    @property
    def tag_names(self) -> tuple[str, ...]:
        return msgspec.json.decode(self.tags, type=tuple[str, ...]) if self.tags else ()

    @property
    def is_failed(self) -> bool:
        return self.state not in ("completed", "blocked")


class Projected(msgspec.Struct, frozen=True):
    """A span on its way into the projection: its row, its facts, the words by which it is found."""

    span: Span
    facts: dict[str, Any] = {}
    words: tuple[str, ...] = ()


class Filter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which traces: all conditions hold at once, each for some span of the trace."""

    user: str | None = None
    session: str | None = None
    tag: str | None = None
    model: str | None = None
    state: str | None = None
    kind: str | None = None
    text: str | None = None
    since_us: int | None = None
    until_us: int | None = None


class Summary(msgspec.Struct, frozen=True):
    """One trace in a list. `settled_nanos` and `held_nanos` are the ledger's own figures of this moment."""

    trace_id: bytes
    first_id: bytes
    run_id: bytes | None
    kind: str
    name: str
    state: str
    error_code: str | None
    user: str | None
    session: str | None
    tags: tuple[str, ...]
    started_at_us: int
    finished_at_us: int | None
    spans: int
    calls: int
    failed: int
    attempts: int
    input_tokens: int
    output_tokens: int
    settled_nanos: int
    held_nanos: int
    bytes_up: int
    bytes_down: int


class Group(msgspec.Struct, frozen=True):
    """What belongs to one user, model, tag, session, key, target or day (UTC); `value` None: to none of them."""

    value: str | None
    calls: int
    failed: int
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    settled_nanos: int
    held_nanos: int


class Rollup(msgspec.Struct, frozen=True):
    """Sums of one stretch of time."""

    starts_at_us: int
    value: str
    calls: int
    failed: int
    blocked: int
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    settled_nanos: int
    duration_us: int
    latencies: dict[int, int]


class Spent(msgspec.Struct, frozen=True):
    """What went to one target or user, or one tag's calls, in a time; `calls` are attempts where it is a target."""

    value: str
    calls: int
    failed: int
    input_tokens: int
    output_tokens: int
    settled_nanos: int
