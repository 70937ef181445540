"""Converse answers: body to canonical response and back; usage made inclusive."""

from typing import Any

import msgspec

from mooring.core.errors import UpstreamMalformed
from mooring.core.messages import ChatResponse, Choice, FinishReason, Message
from mooring.core.usage import Usage

from ...rewriting import is_same, substituted, substitutions
from .message import Block, Turn, part_of, wire_blocks

_FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
}
STOP_REASONS: dict[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "content_filtered",
    "error": "malformed_model_output",
}


class _CacheDetail(msgspec.Struct, rename="camel"):
    ttl: str | None = None
    input_tokens: int | None = None


class WireUsage(msgspec.Struct, rename="camel"):
    """What was read from the cache or written to it stands beside `inputTokens`; the total is all three."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    cache_details: list[_CacheDetail] | None = None


class _Tier(msgspec.Struct):
    type: str | None = None


class _Performance(msgspec.Struct):
    latency: str | None = None


class Told(msgspec.Struct, rename="camel"):
    """What a whole answer and the last event of a stream say alike."""

    usage: WireUsage | None = None
    service_tier: _Tier | None = None
    performance_config: _Performance | None = None


class _Output(msgspec.Struct):
    message: Turn | None = None


class _Response(Told, rename="camel"):
    output: _Output | None = None
    stop_reason: str | None = None


_decode = msgspec.json.Decoder(_Response).decode
_decode_any = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.encode


def finish_of(reason: str | None) -> FinishReason:
    """The canonical reason; one that nobody has documented counts as a stop, none at all as an error."""
    return _FINISH.get(reason, "stop") if reason else "error"


def trusted_usage(told: Told) -> Usage | None:
    """The usage, or None where there is none, where it does not tell the price, or where it contradicts itself."""
    wire = told.usage
    if wire is None or wire.input_tokens is None or wire.output_tokens is None or _is_dearer(told):
        return None
    read, written = wire.cache_read_input_tokens or 0, wire.cache_write_input_tokens or 0
    try:
        return Usage(
            input_tokens=wire.input_tokens + read + written,
            output_tokens=wire.output_tokens,
            cached_input_tokens=read,
            cache_write_tokens=written,
        ).checked()
    except UpstreamMalformed:
        return None


def _is_dearer(told: Told) -> bool:
    """Whether tokens do not tell the price: an hour's cache, another tier, a faster machine."""
    details = (told.usage.cache_details if told.usage is not None else None) or ()
    return (
        any(one.ttl == "1h" and one.input_tokens for one in details)
        or (told.service_tier is not None and told.service_tier.type not in (None, "default"))
        or (told.performance_config is not None and told.performance_config.latency == "optimized")
    )


def decode_response(body: bytes) -> ChatResponse:
    """The whole answer.

    Raises:
        UpstreamMalformed: not JSON, or without a message.
    """
    try:
        wire = _decode(body)
        message = wire.output.message if wire.output is not None else None
        if message is None:
            raise UpstreamMalformed("The provider's answer has no message.", is_billable=True)
        parts = tuple(part_of(msgspec.convert(raw, Block), raw) for raw in message.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamMalformed(
            f"The provider's answer is not in the Converse format: {error}.", is_billable=True
        ) from error
    choice = Choice(0, Message("assistant", parts), finish_of(wire.stop_reason))
    return ChatResponse(id="", model="", choices=(choice,), usage=trusted_usage(wire))


def is_error(body: bytes) -> bool:
    """Whether a body with a good status is an error object all the same."""
    if b'"output"' in body:
        return False
    try:
        return bool(_decode_any(body).keys() & {"message", "Message", "__type", "Output"})
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def encode_usage(usage: Usage | None) -> dict[str, Any]:
    """Usage in this wire's shape; this wire always has one, so none is zeros."""
    usage = usage or Usage()
    return {
        "inputTokens": usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.input_tokens + usage.output_tokens,
        "cacheReadInputTokens": usage.cached_input_tokens,
        "cacheWriteInputTokens": usage.cache_write_tokens,
    }


def encode_response(response: ChatResponse) -> bytes:
    """The answer as a body of this wire; it has room for one choice."""
    choice = response.choices[0]
    return _encode(
        {
            "output": {"message": {"role": "assistant", "content": wire_blocks(choice.message.parts)}},
            "stopReason": STOP_REASONS[choice.finish_reason],
            "usage": encode_usage(response.usage),
            "metrics": {"latencyMs": 0},
        }
    )


def rewrite_response(body: bytes, response: ChatResponse) -> bytes:
    """The body with what the guards changed."""
    before = decode_response(body)
    changed = _encode(substituted(_decode_any(body), substitutions(before.choices, response.choices)))
    if is_same(decode_response(changed).choices, response.choices):
        return changed
    return encode_response(response)
