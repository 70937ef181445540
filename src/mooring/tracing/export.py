"""OTLP out: spans go to a collector as OTLP/HTTP JSON, from a queue that the projector fills in its own transaction.

At least once, with span ids that do not change, so a collector that knows them keeps one. Nothing is dropped silently:
the queue is bounded, and what it could not keep is counted.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from mooring.core.errors import MooringError
from mooring.journal.journal import Journal
from mooring.net import Deadlines, HttpClient, Request
from mooring.storage import Tx

from .records import CALLS, Span
from .repository import exports as rows
from .spans import Spans

log = logging.getLogger("mooring.tracing")

BATCH = 500
IDLE_SECONDS = 1.0
RETRY_SECONDS = 10.0
DEADLINES = Deadlines(connect_seconds=5, first_byte_seconds=10, idle_seconds=10, total_seconds=20)
_KINDS = {"chat": 3, "embedding": 3, "attempt": 3}  # CLIENT; the others are INTERNAL
_INTERNAL = 1
_OPERATIONS = {"chat": "chat", "embedding": "embeddings", "tool": "execute_tool", "run": "invoke_agent"}


class Exporter:
    """Sends what is queued to `endpoint`, which is a collector's address without `/v1/traces`."""

    def __init__(
        self, journal: Journal, spans: Spans, http: HttpClient, *, endpoint: str, headers: Mapping[str, str]
    ) -> None:
        self._journal = journal
        self._spans = spans
        self._http = http
        self._url = endpoint.rstrip("/").removesuffix("/v1/traces") + "/v1/traces"
        self._headers = [
            (b"content-type", b"application/json"),
            *((name.lower().encode(), value.encode()) for name, value in headers.items()),
        ]

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                sent = await self.send_some()
            except MooringError as error:
                log.warning("spans are kept for a collector that does not take them: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                await asyncio.sleep(0 if sent == BATCH else IDLE_SECONDS)

    async def send_some(self) -> int:
        """Send the oldest of the queue and take them out of it; how many that were.

        Raises:
            MooringError: the collector is away or refuses; they stay queued.
        """
        own = await self._spans.opened()
        queued = await own.read_async(lambda tx: rows.oldest(tx, BATCH))
        if not queued:
            return 0
        some = [span for _, span in queued]
        parents = await self._journal.read(lambda tx: _parents(tx, some))
        response = await self._http.send(
            Request("POST", self._url, self._headers, msgspec.json.encode(otlp(some, parents)), is_repeatable=True),
            deadlines=DEADLINES,
        )
        async with response:
            await response.read(64 * 1024)
        # What a collector calls malformed it will call so again: it is taken out, counted and told.
        is_refused = 400 <= response.status < 500 and response.status not in (401, 403, 408, 429)
        if response.status >= 300 and not is_refused:
            raise CollectorAway(f"The collector at {self._url} answered {response.status}.")
        if is_refused:
            log.warning("the collector at %s refused %d spans with %d", self._url, len(some), response.status)
        turns = [turn for turn, _ in queued]
        await own.write_async(lambda tx: rows.done(tx, turns, dropped=len(turns) if is_refused else 0))
        return len(some)


class CollectorAway(MooringError):
    """The collector took nothing."""

    status = 502
    code = "collector_away"


def _parents(tx: Tx, some: Sequence[Span]) -> dict[bytes, bytes]:
    """The caller's span, for calls that came with a trace."""
    roots = [span.id for span in some if span.kind in CALLS and span.run_id is None]
    return rows.parents(tx, roots)


def otlp(some: Sequence[Span], parents: Mapping[bytes, bytes]) -> dict[str, Any]:
    """An ExportTraceServiceRequest as JSON: ids in hexadecimal, 64-bit integers as text, as OTLP asks."""
    spans = [_span(span, parents.get(span.id)) for span in some]
    resource = {"attributes": [_attribute("service.name", "mooring")]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "mooring"}, "spans": spans}]}]}


def _span(span: Span, parent: bytes | None) -> dict[str, Any]:
    parent = span.parent_id[8:] if span.parent_id is not None else parent
    found: dict[str, Any] = {
        "traceId": span.trace_id.hex(),
        "spanId": span.id[8:].hex(),
        "name": f"{_OPERATIONS.get(span.kind, span.kind)} {span.name}",
        "kind": _KINDS.get(span.kind, _INTERNAL),
        "startTimeUnixNano": str(span.started_at_us * 1_000),
        "endTimeUnixNano": str((span.finished_at_us or span.started_at_us) * 1_000),
        "attributes": [_attribute(name, value) for name, value in _facts(span).items() if value is not None],
        "status": {"code": 2, "message": span.error_code or span.state} if span.is_failed else {"code": 1},
    }
    if parent is not None:
        found["parentSpanId"] = parent.hex()
    return found


def _facts(span: Span) -> dict[str, Any]:
    """OpenTelemetry's names for generative AI, and ours where it has none."""
    is_model = span.kind in ("chat", "embedding")
    return {
        "gen_ai.operation.name": _OPERATIONS.get(span.kind),
        "gen_ai.request.model": span.name if is_model else None,
        "gen_ai.usage.input_tokens": span.input_tokens if is_model else None,
        "gen_ai.usage.output_tokens": span.output_tokens if is_model else None,
        "error.type": span.error_code,
        "user.id": span.user,
        "session.id": span.session,
        "mooring.kind": span.kind,
        "mooring.state": span.state,
        "mooring.step": span.step,
        "mooring.project": span.project_id,
        "mooring.tags": list(span.tag_names) or None,
        "mooring.settled_nanos": span.settled_nanos,
        "mooring.held_nanos": span.held_nanos,
        "mooring.bytes_up": span.bytes_up,
        "mooring.bytes_down": span.bytes_down,
    }


def _attribute(name: str, value: object) -> dict[str, Any]:
    return {"key": name, "value": _value(value)}


def _value(value: object) -> dict[str, Any]:
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(one) for one in value]}}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": str(value)}
