"""Gemini answers: body to canonical response and back; usage made inclusive."""

from typing import Any

import msgspec

from mooring.core.errors import UpstreamMalformed
from mooring.core.messages import ChatResponse, Choice, FinishReason, Message, Part, ToolCallPart
from mooring.core.usage import Usage

from ...rewriting import is_same, substituted, substitutions
from .message import camel, part_of, wire_part

_FINISH: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "OTHER": "error",
    "MALFORMED_FUNCTION_CALL": "error",
    "MALFORMED_RESPONSE": "error",
    "UNEXPECTED_TOOL_CALL": "error",
    "TOO_MANY_TOOL_CALLS": "error",
    "MISSING_THOUGHT_SIGNATURE": "error",
}
FINISH_REASONS: dict[FinishReason, str] = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "content_filter": "SAFETY",
    "error": "OTHER",
}


class _Modality(msgspec.Struct, rename="camel"):
    modality: str | None = None
    token_count: int | None = None


class WireUsage(msgspec.Struct, rename="camel"):
    """Thoughts and prompts of tools stand beside the totals."""

    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    total_token_count: int | None = None
    prompt_tokens_details: list[_Modality] | None = None
    candidates_tokens_details: list[_Modality] | None = None


class WireContent(msgspec.Struct):
    parts: list[dict[str, Any]] | None = None


class Candidate(msgspec.Struct, rename="camel"):
    index: int = 0
    content: WireContent | None = None
    finish_reason: str | None = None


class Feedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None


class WireResponse(msgspec.Struct, rename="camel"):
    """A whole answer, or one chunk of a streamed one."""

    candidates: list[Candidate] | None = None
    prompt_feedback: Feedback | None = None
    usage_metadata: WireUsage | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: Any = None


_decode_any = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.encode


def read_response(body: bytes) -> WireResponse:
    """A body or a chunk.

    Raises:
        UpstreamMalformed: it is not of this wire.
    """
    try:
        return msgspec.convert(camel(_decode_any(body)), WireResponse)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(error) from error


def malformed(error: Exception) -> UpstreamMalformed:
    return UpstreamMalformed(f"The provider's answer is not in the Gemini format: {error}.", is_billable=True)


def finish_of(reason: str | None, *, has_calls: bool) -> FinishReason:
    """The canonical reason; calls end with STOP here, and nothing at all is an error."""
    found: FinishReason = _FINISH.get(reason, "stop") if reason else "error"
    return "tool_calls" if found == "stop" and has_calls else found


def usage_of(wire: WireUsage) -> Usage:
    """Inclusive totals with their parts.

    Raises:
        UpstreamMalformed: the numbers contradict each other.
    """
    prompt = (wire.prompt_token_count or 0) + (wire.tool_use_prompt_token_count or 0)
    said = wire.candidates_token_count or 0
    # Some models tell their thoughts in the total alone.
    thoughts = max(wire.thoughts_token_count or 0, (wire.total_token_count or 0) - prompt - said)
    return Usage(
        input_tokens=prompt,
        output_tokens=said + thoughts,
        cached_input_tokens=wire.cached_content_token_count or 0,
        input_audio_tokens=_audio(wire.prompt_tokens_details),
        reasoning_tokens=thoughts,
        output_audio_tokens=_audio(wire.candidates_tokens_details),
    ).checked()


def _audio(details: list[_Modality] | None) -> int:
    return sum([one.token_count or 0 for one in details or () if one.modality == "AUDIO"])


def trusted_usage(wire: WireUsage | None) -> Usage | None:
    """The usage, or None where there is none or its numbers contradict each other: then the cost is not known."""
    try:
        return None if wire is None else usage_of(wire)
    except UpstreamMalformed:
        return None


def decode_response(body: bytes) -> ChatResponse:
    """The whole answer.

    Raises:
        UpstreamMalformed: not JSON, or without a candidate and without a reason for that.
    """
    wire = read_response(body)
    try:
        choices = [_choice_of(candidate, wire.response_id or "") for candidate in wire.candidates or ()]
    except (msgspec.ValidationError, RecursionError) as error:
        raise malformed(error) from error
    if not choices:
        if wire.prompt_feedback is None or not wire.prompt_feedback.block_reason:
            raise UpstreamMalformed("The provider's answer has no candidates.", is_billable=True)
        choices = [Choice(0, Message("assistant", ()), "content_filter")]
    return ChatResponse(
        id=wire.response_id or "",
        model=wire.model_version or "",
        choices=tuple(choices),
        usage=trusted_usage(wire.usage_metadata),
    )


def _choice_of(candidate: Candidate, response_id: str) -> Choice:
    raws = (candidate.content.parts if candidate.content else None) or []
    parts = tuple(part_of(raw, made_id(response_id, number)) for number, raw in enumerate(raws))
    has_calls = any(isinstance(part, ToolCallPart) for part in parts)
    return Choice(candidate.index, Message("assistant", parts), finish_of(candidate.finish_reason, has_calls=has_calls))


def made_id(response_id: str, number: int) -> str:
    """The id of a call that came without one."""
    return f"call_{response_id or 'x'}_{number}"


def is_error(body: bytes) -> bool:
    """Whether a body with a good status is an error object all the same."""
    if b'"error"' not in body:
        return False
    try:
        return _decode_any(body).get("error") is not None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def encode_usage(usage: Usage) -> dict[str, Any]:
    """Usage in this wire's shape."""
    return {
        "promptTokenCount": usage.input_tokens,
        "cachedContentTokenCount": usage.cached_input_tokens,
        "candidatesTokenCount": usage.output_tokens - usage.reasoning_tokens,
        "thoughtsTokenCount": usage.reasoning_tokens,
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }


def wire_parts(parts: tuple[Part, ...]) -> list[dict[str, Any]]:
    return [wire for part in parts if (wire := wire_part(part)) is not None]


def encode_response(response: ChatResponse) -> bytes:
    """The answer as a body of this wire."""
    fields: dict[str, Any] = {
        "candidates": [
            {
                "content": {"parts": wire_parts(choice.message.parts), "role": "model"},
                "finishReason": FINISH_REASONS[choice.finish_reason],
                "index": choice.index,
            }
            for choice in response.choices
        ],
        "modelVersion": response.model,
        "responseId": response.id,
    }
    if response.usage is not None:
        fields["usageMetadata"] = encode_usage(response.usage)
    return _encode(fields)


def rewrite_response(body: bytes, response: ChatResponse) -> bytes:
    """The body with what the guards changed."""
    before = decode_response(body)
    changed = _encode(substituted(_decode_any(body), substitutions(before.choices, response.choices)))
    if is_same(decode_response(changed).choices, response.choices):
        return changed
    return encode_response(response)
