"""OpenAI chat answers: body to canonical response and back; usage as the vendors really send it."""

from typing import Any

import msgspec

from mooring.core.errors import UpstreamMalformed
from mooring.core.messages import ChatResponse, Choice, FinishReason, Message
from mooring.core.usage import Usage

from .message import WireMessage, parts_of, wire_message

_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "error": "error",
    "abort": "error",
    "insufficient_system_resource": "error",  # DeepSeek: cut by the server
}


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None


class WireUsage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    prompt_cache_hit_tokens: int | None = None


class _WireChoice(msgspec.Struct):
    index: int = 0
    message: WireMessage | None = None
    finish_reason: str | None = None


class _Response(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    created: float | None = None
    choices: list[_WireChoice] | None = None
    usage: WireUsage | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Response).decode
_decode_any = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.encode


def finish_of(reason: str | None) -> FinishReason:
    """The canonical reason; one that nobody has documented counts as a stop, none at all as an error."""
    return _FINISH.get(reason, "stop") if reason else "error"


def usage_of(wire: WireUsage) -> Usage:
    """Inclusive totals, whatever the vendor's convention.

    Raises:
        UpstreamMalformed: the numbers contradict each other.
    """
    inputs, outputs = wire.prompt_tokens_details, wire.completion_tokens_details
    prompt, completion = wire.prompt_tokens or 0, wire.completion_tokens or 0
    reasoning = (outputs.reasoning_tokens if outputs else None) or 0
    if reasoning and wire.total_tokens == prompt + completion + reasoning:
        completion += reasoning  # xAI counts reasoning beside the completion; the total is the arbiter
    elif not reasoning and wire.total_tokens and wire.total_tokens > prompt + completion and prompt:
        # Gemini's compatible address counts and bills thoughts in the total alone.
        reasoning = wire.total_tokens - prompt - completion
        completion += reasoning
    return Usage(
        input_tokens=prompt,
        output_tokens=completion,
        cached_input_tokens=(inputs.cached_tokens if inputs else None) or wire.prompt_cache_hit_tokens or 0,
        cache_write_tokens=(inputs.cache_write_tokens if inputs else None) or 0,
        input_audio_tokens=(inputs.audio_tokens if inputs else None) or 0,
        reasoning_tokens=reasoning,
        output_audio_tokens=(outputs.audio_tokens if outputs else None) or 0,
    ).checked()


def trusted_usage(wire: WireUsage | None) -> Usage | None:
    """The usage, or None where there is none or its numbers contradict each other: then the cost is not known."""
    try:
        return None if wire is None else usage_of(wire)
    except UpstreamMalformed:
        return None


def _choice_of(choice: _WireChoice) -> Choice:
    parts = parts_of(choice.message) if choice.message else ()
    return Choice(choice.index, Message(role="assistant", parts=parts), finish_of(choice.finish_reason))


def decode_response(body: bytes) -> ChatResponse:
    """The whole answer.

    Raises:
        UpstreamMalformed: not JSON, not an answer, or without a choice (HTML, an empty object, a cut body).
    """
    try:
        wire = _decode(body)
        choices = tuple(map(_choice_of, wire.choices or ()))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamMalformed(
            f"The provider's answer is not in the OpenAI format: {error}.", is_billable=True
        ) from error
    if not choices:
        raise UpstreamMalformed("The provider's answer has no choices.", is_billable=True)
    return ChatResponse(
        id=wire.id or "",
        model=wire.model or "",
        choices=choices,
        usage=trusted_usage(wire.usage),
        created_at=int(wire.created or 0),
    )


def is_error(body: bytes) -> bool:
    """Whether a body with a good status is an error object all the same."""
    if b'"error"' not in body:
        return False
    try:
        error = _decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return error is not None


def encode_usage(usage: Usage) -> dict[str, Any]:
    """Usage in OpenAI's shape."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "audio_tokens": usage.input_audio_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.output_audio_tokens,
        },
    }


def _wire_choice(choice: Choice) -> dict[str, Any]:
    return {
        "index": choice.index,
        "message": wire_message(choice.message),
        "logprobs": None,
        "finish_reason": choice.finish_reason if choice.finish_reason != "error" else "stop",
    }


def encode_response(response: ChatResponse) -> bytes:
    """The answer as a body of this wire."""
    fields: dict[str, Any] = {
        "id": response.id,
        "object": "chat.completion",
        "created": response.created_at,
        "model": response.model,
        "choices": [_wire_choice(choice) for choice in response.choices],
    }
    if response.usage is not None:
        fields["usage"] = encode_usage(response.usage)
    return _encode(fields)


def rewrite_response(body: bytes, response: ChatResponse) -> bytes:
    """The body with the response's choices; log-probabilities go too, because they spell the text out again."""
    fields = _decode_any(body)
    fields["choices"] = [_wire_choice(choice) for choice in response.choices]
    return _encode(fields)
