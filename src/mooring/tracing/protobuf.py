"""The part of protobuf's wire format that OTLP needs: a message becomes the dictionary that its JSON would be.

What is raw is left for later, so that one span that makes no sense does not take the others with it. Unknown fields are
passed over, as protobuf asks. Source: protobuf.dev, "Encoding"; field numbers: opentelemetry-proto 1.x, trace.proto.
"""

import struct
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

MOST_DEPTH = 32
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_WIRES = {"int": _VARINT, "bool": _VARINT, "fixed64": _FIXED64, "double": _FIXED64}


class Field(NamedTuple):
    """`form` is one of int, bool, fixed64, double, text, hex, base64, raw, or the name of a message."""

    name: str
    form: str
    is_list: bool = False


MESSAGES: Mapping[str, Mapping[int, Field]] = {
    "Export": {1: Field("resourceSpans", "ResourceSpans", True)},
    "ResourceSpans": {1: Field("resource", "Resource"), 2: Field("scopeSpans", "ScopeSpans", True)},
    "Resource": {1: Field("attributes", "KeyValue", True)},
    "ScopeSpans": {1: Field("scope", "Scope"), 2: Field("spans", "raw", True)},
    "Scope": {1: Field("name", "text")},
    "Span": {
        1: Field("traceId", "hex"),
        2: Field("spanId", "hex"),
        4: Field("parentSpanId", "hex"),
        5: Field("name", "text"),
        6: Field("kind", "int"),
        7: Field("startTimeUnixNano", "fixed64"),
        8: Field("endTimeUnixNano", "fixed64"),
        9: Field("attributes", "KeyValue", True),
        11: Field("events", "Event", True),
        13: Field("links", "Link", True),
        15: Field("status", "Status"),
    },
    "Event": {
        1: Field("timeUnixNano", "fixed64"),
        2: Field("name", "text"),
        3: Field("attributes", "KeyValue", True),
    },
    "Link": {1: Field("traceId", "hex"), 2: Field("spanId", "hex"), 4: Field("attributes", "KeyValue", True)},
    "Status": {2: Field("message", "text"), 3: Field("code", "int")},
    "KeyValue": {1: Field("key", "text"), 2: Field("value", "AnyValue")},
    "AnyValue": {
        1: Field("stringValue", "text"),
        2: Field("boolValue", "bool"),
        3: Field("intValue", "int"),
        4: Field("doubleValue", "double"),
        5: Field("arrayValue", "ArrayValue"),
        6: Field("kvlistValue", "KeyValueList"),
        7: Field("bytesValue", "base64"),
    },
    "ArrayValue": {1: Field("values", "AnyValue", True)},
    "KeyValueList": {1: Field("values", "KeyValue", True)},
}


def read(data: bytes | memoryview, message: str, *, depth: int = 0) -> dict[str, Any]:
    """One message.

    Raises:
        ValueError: these bytes are none, or nest too deeply.
    """
    if depth > MOST_DEPTH:
        raise ValueError("messages nest too deeply")
    known = MESSAGES[message]
    found: dict[str, Any] = {}
    for number, wire, value in _fields(memoryview(data)):
        field = known.get(number)
        if field is None:
            continue
        if wire != _WIRES.get(field.form, _LENGTH):
            raise ValueError(f"'{field.name}' has wire type {wire}")
        shown = _value(field.form, value, depth)
        if field.is_list:
            found.setdefault(field.name, []).append(shown)
        else:
            found[field.name] = shown
    return found


def _value(form: str, value: Any, depth: int) -> Any:
    decode = _SCALARS.get(form)
    return read(value, form, depth=depth + 1) if decode is None else decode(value)


_SCALARS: Mapping[str, Callable[[Any], Any]] = {
    "int": lambda value: value - (1 << 64) if value >> 63 else value,  # two's complement in 64 bits
    "bool": bool,
    "fixed64": lambda value: int.from_bytes(value, "little"),
    "double": lambda value: struct.unpack("<d", value)[0],
    "text": lambda value: str(value, "utf-8"),
    "hex": lambda value: value.hex(),
    "base64": lambda value: b64encode(value).decode(),
    "raw": bytes,
}


def _fields(data: memoryview) -> Iterator[tuple[int, int, Any]]:
    """Number, wire type and value of each field."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, wire, value
            continue
        if wire == _LENGTH:
            size, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"there is no wire type {wire}")
        if size > len(data) - at:
            raise ValueError("a field ends behind the end of its message")
        yield tag >> 3, wire, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("a number ends behind the end of its message")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & ((1 << 64) - 1), at
    raise ValueError("a number is longer than 64 bits")


def refusal(rejected: int, reason: str) -> bytes:
    """An ExportTraceServiceResponse with its partial_success."""
    text = reason.encode()
    inner = b"\x08" + _number(rejected) + b"\x12" + _number(len(text)) + text
    return b"\x0a" + _number(len(inner)) + inner


def _number(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*found, value))
