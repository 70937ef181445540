"""Turns and content blocks of the Converse wire, in requests and answers alike.

Results of tools, and what the user says after them, stand in one turn here: canonical turns of their own, joined again
on the way out, because turns must alternate.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from mooring.core.errors import InvalidRequest
from mooring.core.messages import (
    MediaPart,
    Message,
    Part,
    RefusalPart,
    Role,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

from ..anthropic_messages.message import arguments_of, wire_input
from .media import Medium, media_of, wire_media

_encode = msgspec.json.encode
_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}
_ITS_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
CACHE_POINT = {"cachePoint": {"type": "default"}}


class _Use(msgspec.Struct, rename="camel"):
    tool_use_id: str = ""
    name: str = ""
    input: Any = None
    type: str | None = None


class _Result(msgspec.Struct, rename="camel"):
    tool_use_id: str = ""
    content: list[dict[str, Any]] = []
    status: str | None = None


class _ReasoningText(msgspec.Struct):
    text: str = ""
    signature: str | None = None


class _Reasoning(msgspec.Struct, rename="camel"):
    reasoning_text: _ReasoningText | None = None
    redacted_content: str | None = None


class _Cited(msgspec.Struct):
    content: list[dict[str, Any]] = []


class Block(msgspec.Struct, rename="camel"):
    """Any content block; only the kinds that have a canonical form."""

    text: str | None = None
    image: Medium | None = None
    audio: Medium | None = None
    document: Medium | None = None
    tool_use: _Use | None = None
    tool_result: _Result | None = None
    reasoning_content: _Reasoning | None = None
    citations_content: _Cited | None = None
    cache_point: Any = None


class Turn(msgspec.Struct):
    """One element of `messages`, or an answer's message."""

    role: str
    content: list[dict[str, Any]]


def messages_of(turn: Turn) -> list[Message]:
    """The canonical turns in one of this wire.

    Raises:
        InvalidRequest: an unknown role.
    """
    role = _ROLES.get(turn.role)
    if role is None:
        raise InvalidRequest(f"Unknown role '{turn.role[:40]}'. Known: {', '.join(_ROLES)}.", param="messages")
    messages: list[Message] = []
    parts: list[Part] = []
    for raw in turn.content:
        block = msgspec.convert(raw, Block)
        if block.cache_point is not None:
            _close(messages, role, parts)
            if messages:
                messages[-1] = msgspec.structs.replace(messages[-1], cache=True)
        elif block.tool_result is not None:
            _close(messages, role, parts)
            messages.append(Message("tool", (_result_of(block.tool_result),)))
        else:
            parts.append(part_of(block, raw))
    _close(messages, role, parts)
    return messages or [Message(role, ())]


def _close(messages: list[Message], role: Role, parts: list[Part]) -> None:
    if parts:
        messages.append(Message(role, tuple(parts)))
        parts.clear()


def part_of(block: Block, raw: dict[str, Any]) -> Part:
    """The canonical part; of a block without one its JSON, which is what guards read."""
    if block.text is not None:
        return TextPart(block.text)
    if block.tool_use is not None and block.tool_use.type is None:
        call = block.tool_use
        return ToolCallPart(
            call.tool_use_id, call.name, arguments_of(msgspec.Raw(_encode({} if call.input is None else call.input)))
        )
    if block.reasoning_content is not None:
        return _thought_of(block.reasoning_content)
    if block.citations_content is not None:
        return TextPart("".join(str(part.get("text", "")) for part in block.citations_content.content))
    for kind in ("image", "audio", "document"):
        medium: Medium | None = getattr(block, kind)
        if medium is not None:
            return media_of(kind, medium)
    return TextPart(_encode(raw).decode())


def _thought_of(reasoning: _Reasoning) -> ThinkingPart:
    if reasoning.reasoning_text is None:
        return ThinkingPart(data=reasoning.redacted_content or "")
    return ThinkingPart(reasoning.reasoning_text.text, reasoning.reasoning_text.signature or None)


def _result_of(result: _Result) -> ToolResultPart:
    parts: list[TextPart | MediaPart] = []
    for raw in result.content:
        if "json" in raw:
            parts.append(TextPart(_encode(raw["json"]).decode()))
            continue
        part = part_of(msgspec.convert(raw, Block), raw)
        parts.append(part if isinstance(part, TextPart | MediaPart) else TextPart(_encode(raw).decode()))
    return ToolResultPart(result.tool_use_id, tuple(parts), is_error=result.status == "error")


# The way out -----------------------------------------------------------------


def wire_turns(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """The turns of this wire, one after the other's; what one side says in several is one."""
    turns: list[dict[str, Any]] = []
    documents = 0
    for message in messages:
        blocks = wire_blocks(message.parts, documents)
        documents += sum(isinstance(part, MediaPart) and part.kind == "file" for part in message.parts)
        if message.cache and blocks:
            blocks.append(CACHE_POINT)
        role = "user" if message.role == "tool" else message.role
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"].extend(blocks)
        elif blocks:
            turns.append({"role": role, "content": blocks})
    return turns


def wire_blocks(parts: Sequence[Part], documents: int = 0) -> list[dict[str, Any]]:
    """The content blocks of these parts; empty text is no block. `documents` have been named before them."""
    blocks: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, MediaPart):
            documents += part.kind == "file"
            blocks.append(wire_media(part, documents))
            continue
        block = _wire_block(part)
        if block is not None:
            blocks.append(block)
    return blocks


def _wire_block(part: TextPart | RefusalPart | ThinkingPart | ToolCallPart | ToolResultPart) -> dict[str, Any] | None:
    match part:
        case TextPart() | RefusalPart():
            return {"text": part.text} if part.text else None
        case ThinkingPart():
            if part.data is not None:
                return {"reasoningContent": {"redactedContent": part.data}}
            thought = {"text": part.text} | ({"signature": part.signature} if part.signature is not None else {})
            return {"reasoningContent": {"reasoningText": thought}}
        case ToolCallPart():
            made = {"toolUseId": its_id(part.id), "name": part.name, "input": wire_input(part.arguments)}
            return {"toolUse": made}
        case ToolResultPart():
            status = {"status": "error"} if part.is_error else {}
            return {"toolResult": {"toolUseId": its_id(part.id), "content": wire_blocks(part.parts), **status}}


def its_id(given: str) -> str:
    """An id that this wire takes; always the same for the same one, so that a call and its result belong together."""
    return given if _ITS_ID.fullmatch(given) else hashlib.sha256(given.encode()).hexdigest()[:32]
