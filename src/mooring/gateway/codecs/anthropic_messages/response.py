"""Anthropic answers: body to canonical response and back; usage made inclusive."""

from typing import Any

import msgspec

from mooring.core.errors import UpstreamMalformed
from mooring.core.messages import ChatResponse, Choice, FinishReason, Message
from mooring.core.usage import Usage

from ...rewriting import is_same, substituted, substitutions
from .message import decode_block, part_of, wire_blocks

_FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "pause_turn": "length",  # a turn that the caller must ask to go on
}
STOP_REASONS: dict[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "error": "end_turn",
}


class _CacheCreation(msgspec.Struct):
    ephemeral_1h_input_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    thinking_tokens: int | None = None


class WireUsage(msgspec.Struct):
    """Cache reads and writes stand beside `input_tokens`; the total is all three."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation: _CacheCreation | None = None
    output_tokens_details: _OutputDetails | None = None
    server_tool_use: dict[str, Any] | None = None
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None


class _Response(msgspec.Struct):
    type: str | None = None
    id: str | None = None
    model: str | None = None
    content: list[msgspec.Raw] | None = None
    stop_reason: str | None = None
    usage: WireUsage | None = None


_decode = msgspec.json.Decoder(_Response).decode
_decode_any = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.encode


def finish_of(reason: str | None) -> FinishReason:
    """The canonical reason; one that nobody has documented counts as a stop, none at all as an error."""
    return _FINISH.get(reason, "stop") if reason else "error"


def usage_of(wire: WireUsage) -> Usage:
    """Inclusive totals with their disjoint parts.

    Raises:
        UpstreamMalformed: the numbers contradict each other.
    """
    read, written = wire.cache_read_input_tokens or 0, wire.cache_creation_input_tokens or 0
    details, created = wire.output_tokens_details, wire.cache_creation
    return Usage(
        input_tokens=(wire.input_tokens or 0) + read + written,
        output_tokens=wire.output_tokens or 0,
        cached_input_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=(details.thinking_tokens if details else None) or 0,
        hour_cache_write_tokens=(created.ephemeral_1h_input_tokens if created else None) or 0,
    ).checked()


def is_dearer(wire: WireUsage) -> bool:
    """Whether tokens do not tell the price: a faster or regional tier, a vendor's own tools."""
    return bool(
        wire.service_tier == "priority"
        or wire.speed == "fast"
        or wire.inference_geo not in (None, "", "global", "not_available")
        or any(isinstance(count, int) and count for count in (wire.server_tool_use or {}).values())
    )


def trusted_usage(wire: WireUsage | None) -> Usage | None:
    """The usage, or None where there is none, where it does not tell the cost, or where it contradicts itself."""
    if wire is None or is_dearer(wire):
        return None
    try:
        return usage_of(wire)
    except UpstreamMalformed:
        return None


def decode_response(body: bytes) -> ChatResponse:
    """The whole answer.

    Raises:
        UpstreamMalformed: not JSON, or not a message (HTML, an empty object, a cut body).
    """
    try:
        wire = _decode(body)
        if wire.content is None or wire.type not in (None, "message"):
            raise UpstreamMalformed("The provider's answer has no content.", is_billable=True)
        parts = tuple(part_of(decode_block(raw), raw) for raw in wire.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamMalformed(
            f"The provider's answer is not in the Anthropic format: {error}.", is_billable=True
        ) from error
    choice = Choice(0, Message(role="assistant", parts=parts), finish_of(wire.stop_reason))
    return ChatResponse(id=wire.id or "", model=wire.model or "", choices=(choice,), usage=trusted_usage(wire.usage))


def is_error(body: bytes) -> bool:
    """Whether a body with a good status is an error object all the same."""
    if b'"error"' not in body:
        return False
    try:
        return _decode_any(body).get("type") == "error"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def encode_usage(usage: Usage | None) -> dict[str, Any]:
    """Usage in this wire's shape; this wire always has one, so none is zeros."""
    usage = usage or Usage()
    fields: dict[str, Any] = {
        "input_tokens": usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_input_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        fields["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return fields


def encode_response(response: ChatResponse) -> bytes:
    """The answer as a body of this wire; it has room for one choice."""
    choice = response.choices[0]
    return _encode(
        {
            "id": response.id,
            "type": "message",
            "role": "assistant",
            "model": response.model,
            "content": wire_blocks(choice.message.parts),
            "stop_reason": STOP_REASONS[choice.finish_reason],
            "stop_sequence": None,
            "usage": encode_usage(response.usage),
        }
    )


def rewrite_response(body: bytes, response: ChatResponse) -> bytes:
    """The body with what the guards changed."""
    before = decode_response(body)
    changed = _encode(substituted(_decode_any(body), substitutions(before.choices, response.choices)))
    if is_same(decode_response(changed).choices, response.choices):
        return changed
    return _encode({**_decode_any(body), "content": wire_blocks(response.choices[0].message.parts)})
