"""OTLP in: a body of either encoding becomes foreign spans, and a count of those that make no sense, with the reason.

Both encodings become one shape first, which is that of the JSON. A span is read alone: a bad one costs itself.
"""

from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from mooring.core.errors import InvalidRequest, TooLarge
from mooring.core.seams import Redactor

from . import protobuf
from .records import ForeignSpan

T = TypeVar("T")
MOST_SPANS = 10_000  # of one request: collectors send 8,192 at most, SDKs 512
SPAN_BYTES = 1 << 20
RESOURCE_BYTES = 4_096  # it is kept with each of its spans; of a larger one the service's name
NAME_CHARACTERS = 1_000
_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATES = ("unset", "ok", "error")
_PROBLEMS = (msgspec.MsgspecError, ValueError, RecursionError, OverflowError)


class Received(NamedTuple):
    """What a request holds; `problem` is why the first of the refused was."""

    spans: list[ForeignSpan]
    refused: int
    problem: str | None


class _Any(msgspec.Struct, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | None = None
    double_value: float | None = None
    array_value: "_Values | None" = None
    kvlist_value: "_KeyValues | None" = None
    bytes_value: str | None = None


class _Values(msgspec.Struct):
    values: list[_Any] = []


class _KeyValue(msgspec.Struct):
    key: str = ""
    value: _Any | None = None


class _KeyValues(msgspec.Struct):
    values: list[_KeyValue] = []


class _Named(msgspec.Struct):
    name: str = ""


class _Resource(msgspec.Struct):
    attributes: list[_KeyValue] = []


class _ScopeSpans(msgspec.Struct, Generic[T]):
    scope: _Named | None = None
    spans: list[T] = []


class _ResourceSpans(msgspec.Struct, Generic[T], rename="camel"):
    resource: _Resource | None = None
    scope_spans: list[_ScopeSpans[T]] = []


class _Export(msgspec.Struct, Generic[T], rename="camel"):
    resource_spans: list[_ResourceSpans[T]] = []


class _Status(msgspec.Struct):
    code: int | str = 0
    message: str = ""


class _Event(msgspec.Struct, rename="camel"):
    time_unix_nano: int = 0
    name: str = ""
    attributes: list[_KeyValue] = []


class _Link(msgspec.Struct, rename="camel"):
    trace_id: str = ""
    span_id: str = ""
    attributes: list[_KeyValue] = []


class _Span(msgspec.Struct, rename="camel"):
    trace_id: str = ""
    span_id: str = ""
    parent_span_id: str = ""
    name: str = ""
    kind: int | str = 0
    start_time_unix_nano: int = 0
    end_time_unix_nano: int = 0
    attributes: list[_KeyValue] = []
    events: list[_Event] = []
    links: list[_Link] = []
    status: _Status | None = None


def receive(body: bytes, *, is_protobuf: bool, redact: Redactor) -> Received:
    """The spans of an ExportTraceServiceRequest; the same id twice is one span, the last.

    Raises:
        InvalidRequest: the body as a whole is none.
        TooLarge: more spans than are taken at once.
    """
    read_span = _from_protobuf if is_protobuf else _from_json
    try:
        export: _Export[Any] = (
            msgspec.convert(protobuf.read(body, "Export"), _Export[Any], strict=False)
            if is_protobuf
            else msgspec.json.decode(body, type=_Export[msgspec.Raw], strict=False)
        )
    except _PROBLEMS as error:
        what = "protobuf" if is_protobuf else "JSON"
        raise InvalidRequest(
            f"The body is no ExportTraceServiceRequest in {what}: {error}.",
            hint="The encoding follows from Content-Type: application/json or application/x-protobuf.",
        ) from error
    count = sum(len(scope.spans) for resource in export.resource_spans for scope in resource.scope_spans)
    if count > MOST_SPANS:
        raise TooLarge(f"{count:,} spans are more than {MOST_SPANS:,}.", hint="Send smaller batches; nothing was kept.")
    found: dict[tuple[bytes, bytes], ForeignSpan] = {}
    refused, problem = 0, None
    for raw, resource, scope in _each(export, redact):
        try:
            if len(raw) > SPAN_BYTES:
                raise ValueError(f"a span of {len(raw):,} bytes is larger than {SPAN_BYTES:,}")
            span = _span(read_span(raw), resource, scope, redact)
        except _PROBLEMS as error:
            refused += 1
            problem = problem or str(error)
        else:
            found[(span.trace_id, span.span_id)] = span
    return Received(list(found.values()), refused, problem)


def _from_json(raw: bytes) -> _Span:
    return msgspec.json.decode(raw, type=_Span, strict=False)


def _from_protobuf(raw: bytes) -> _Span:
    return msgspec.convert(protobuf.read(raw, "Span"), _Span, strict=False)


def _each(export: _Export[Any], redact: Redactor) -> Iterator[tuple[bytes, dict[str, Any], str]]:
    for group in export.resource_spans:
        resource = _facts(group.resource.attributes if group.resource else [], redact)
        if len(msgspec.json.encode(resource)) > RESOURCE_BYTES:
            resource = {"service.name": str(resource.get("service.name", ""))[:NAME_CHARACTERS]}
        for spans in group.scope_spans:
            scope = _name(spans.scope.name if spans.scope else "", redact)
            for raw in spans.spans:
                yield bytes(raw), resource, scope


def _span(wire: _Span, resource: dict[str, Any], scope: str, redact: Redactor) -> ForeignSpan:
    """Raises: ValueError: ids that are none."""
    status = wire.status or _Status()
    started, finished = wire.start_time_unix_nano, wire.end_time_unix_nano
    if not 0 < started < 1 << 64 or not 0 <= finished < 1 << 64:
        raise ValueError("startTimeUnixNano and endTimeUnixNano are nanoseconds since 1970, in 64 bits")
    facts = {
        "attributes": _facts(wire.attributes, redact),
        "resource": resource,
        "scope": scope,
        "message": redact(status.message),
        "events": [
            {"at_us": one.time_unix_nano // 1_000, "name": redact(one.name), **_more(one.attributes, redact)}
            for one in wire.events
        ],
        "links": [
            {"trace_id": one.trace_id, "span_id": one.span_id, **_more(one.attributes, redact)} for one in wire.links
        ],
    }
    return ForeignSpan(
        trace_id=_id(wire.trace_id, 16, "traceId"),
        span_id=_id(wire.span_id, 8, "spanId"),
        parent_id=_id(wire.parent_span_id, 8, "parentSpanId") if wire.parent_span_id.strip("0") else None,
        service=_name(str(resource.get("service.name", "")), redact),
        name=_name(wire.name, redact),
        kind=_word(wire.kind, _KINDS, "SPAN_KIND_"),
        state=_word(status.code, _STATES, "STATUS_CODE_"),
        started_at_us=started // 1_000,
        finished_at_us=finished // 1_000 if finished else None,
        facts={name: value for name, value in facts.items() if value},
    )


def _id(text: str, size: int, name: str) -> bytes:
    found = bytes.fromhex(text)
    if len(found) != size or not any(found):
        raise ValueError(f"'{name}' is not {2 * size} hexadecimal digits, or all of them are 0")
    return found


def _word(value: int | str, words: tuple[str, ...], prefix: str) -> str:
    """Of an enumeration, which JSON gives as a number and some programs as a name; unknown is the first."""
    if isinstance(value, str) and not value.isdecimal():
        word = value.removeprefix(prefix).lower()
        return word if word in words else words[0]
    number = int(value)
    return words[number] if 0 <= number < len(words) else words[0]


def _name(text: str, redact: Redactor) -> str:
    """For a column, so without the NUL that PostgreSQL's text does not take."""
    return redact(text)[:NAME_CHARACTERS].replace("\0", "\N{REPLACEMENT CHARACTER}")


def _more(attributes: list[_KeyValue], redact: Redactor) -> dict[str, Any]:
    return {"attributes": _facts(attributes, redact)} if attributes else {}


def _facts(attributes: list[_KeyValue], redact: Redactor) -> dict[str, Any]:
    return {one.key: _plain(one.value, redact) for one in attributes}


def _plain(value: _Any | None, redact: Callable[[str], str]) -> Any:
    if value is None:
        return None
    if value.string_value is not None:
        return redact(value.string_value)
    if value.array_value is not None:
        return [_plain(one, redact) for one in value.array_value.values]
    if value.kvlist_value is not None:
        return {one.key: _plain(one.value, redact) for one in value.kvlist_value.values}
    known = (value.bool_value, value.int_value, value.double_value, value.bytes_value)
    return next((one for one in known if one is not None), None)
