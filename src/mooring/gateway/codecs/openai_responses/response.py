"""Answers of the responses wire: canonical response to body and back."""

from typing import Any

import msgspec

from mooring.core.errors import UpstreamMalformed
from mooring.core.messages import ChatResponse, Choice, FinishReason, Message, Part, ToolCallPart
from mooring.core.usage import Usage

from ...rewriting import is_same, substituted, substitutions
from .. import Fields
from .items import Item, output_items, parts_of

_encode = msgspec.json.encode
_decode_any = msgspec.json.Decoder().decode
# What an answer repeats of its request, and what stands there where the request said nothing.
_ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int = 0
    output_tokens: int = 0
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    id: str = ""
    model: str = ""
    created_at: float = 0
    status: str | None = None
    output: list[dict[str, Any]] | None = None
    incomplete_details: _Incomplete | None = None
    usage: _Usage | None = None


_decode = msgspec.json.Decoder(_Response).decode
_decode_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def echoed(asked: Fields) -> dict[str, Any]:
    """The settings of the request as an answer repeats them."""
    found = dict(_ECHOED)
    for name in _ECHOED:
        if name in asked:
            value = asked[name]
            found[name] = _decode_any(value) if isinstance(value, msgspec.Raw) else value
    return found


def response_object(response: ChatResponse, asked: Fields, output: list[dict[str, Any]], status: str) -> dict[str, Any]:
    """The object that an answer is, whole or so far."""
    finish = response.choices[0].finish_reason if response.choices else "stop"
    reason = _REASONS.get(finish) if status == "incomplete" else None
    return {
        "id": response.id,
        "object": "response",
        "created_at": response.created_at,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "model": response.model,
        "output": output,
        "usage": encode_usage(response.usage) if response.usage is not None else None,
        **echoed(asked),
    }


def status_of(finish: FinishReason) -> str:
    """Whether the answer came to its end."""
    return "incomplete" if finish in _REASONS else "completed"


def encode_usage(usage: Usage) -> dict[str, Any]:
    """Usage in this wire's shape, which is inclusive."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def encode_response(response: ChatResponse, asked: Fields) -> bytes:
    """The answer as a body of this wire; it has room for one choice."""
    choice = response.choices[0]
    items = output_items(choice.message.parts, response.id.rpartition("_")[2])
    return _encode(response_object(response, asked, items, status_of(choice.finish_reason)))


def is_error(body: bytes) -> bool:
    """Whether a body with a good status is an error, or an answer that failed."""
    if b'"error"' not in body:
        return False
    try:
        found = _decode_any(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    if not isinstance(found, dict):
        return False
    return found.get("status") == "failed" or (found.get("error") is not None and "output" not in found)


def named(data: bytes, asked: Fields, name: str) -> bytes:
    """An answer that passes, or an event that holds one, under the name by which it is kept here."""
    fields = _decode_raw(data)
    if "response" in fields:
        fields["response"] = msgspec.Raw(named(bytes(fields["response"]), asked, name))
    elif bytes(fields.get("object", b"")) == b'"response"':
        own = {"previous_response_id": asked.get("previous_response_id"), "store": asked.get("store", True)}
        fields.update({field: msgspec.Raw(_encode(value)) for field, value in {"id": name, **own}.items()})
    else:
        return data
    return _encode(fields)


def decode_response(body: bytes) -> ChatResponse:
    """The whole answer.

    Raises:
        UpstreamMalformed: not JSON, or without an output.
    """
    try:
        wire = _decode(body)
        if wire.output is None:
            raise UpstreamMalformed("The provider's answer has no output.", is_billable=True)
        parts = tuple(part for raw in wire.output for part in parts_of(msgspec.convert(raw, Item), raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamMalformed(
            f"The provider's answer is not in the responses format: {error}.", is_billable=True
        ) from error
    choice = Choice(0, Message("assistant", parts), _finish_of(wire, parts))
    return ChatResponse(wire.id, wire.model, (choice,), _usage_of(wire.usage), int(wire.created_at))


def rewrite_response(body: bytes, response: ChatResponse) -> bytes:
    """The body with what the guards changed."""
    before = decode_response(body)
    fields: dict[str, Any] = _decode_any(body)
    changed = {**fields, "output": substituted(fields["output"], substitutions(before.choices, response.choices))}
    if not is_same(decode_response(_encode(changed)).choices, response.choices):
        changed["output"] = output_items(response.choices[0].message.parts, response.id.rpartition("_")[2])
    return _encode(changed)


def _finish_of(wire: _Response, parts: tuple[Part, ...]) -> FinishReason:
    if wire.status == "incomplete":
        reason = wire.incomplete_details.reason if wire.incomplete_details else None
        return "content_filter" if reason == "content_filter" else "length"
    if wire.status not in (None, "completed"):
        return "error"
    return "tool_calls" if any(isinstance(part, ToolCallPart) for part in parts) else "stop"


def _usage_of(wire: _Usage | None) -> Usage | None:
    if wire is None:
        return None
    inputs, outputs = wire.input_tokens_details or _Details(), wire.output_tokens_details or _Details()
    try:
        return Usage(
            input_tokens=wire.input_tokens,
            output_tokens=wire.output_tokens,
            cached_input_tokens=inputs.cached_tokens or 0,
            cache_write_tokens=inputs.cache_write_tokens or 0,
            reasoning_tokens=outputs.reasoning_tokens or 0,
        ).checked()
    except UpstreamMalformed:
        return None
