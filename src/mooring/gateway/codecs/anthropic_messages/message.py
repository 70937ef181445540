"""Anthropic messages: content blocks, in requests and answers alike.

One user turn may hold the results of several tools and text after them: canonical turns of their own, joined again on
the way out.
"""

from collections.abc import Sequence
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

RAW = "_raw"  # the one key of an `input` whose canonical arguments are no JSON object
_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}


class _Source(msgspec.Struct):
    type: str = ""
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None


class Block(msgspec.Struct):
    """Any content block; only the fields of the kinds that have a canonical form."""

    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    source: _Source | None = None
    title: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw(b"{}")
    tool_use_id: str | None = None
    content: Any = None
    is_error: bool | None = None
    cache_control: Any = None


class Turn(msgspec.Struct):
    """One element of `messages`."""

    role: str
    content: str | list[msgspec.Raw]


class _Kind(msgspec.Struct):
    """What every block has."""

    type: str
    cache_control: Any = None


_decode_block = msgspec.json.Decoder(Block).decode
_decode_kind = msgspec.json.Decoder(_Kind).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.encode


def messages_of(turn: Turn) -> list[Message]:
    """The canonical turns in one of this wire.

    Raises:
        InvalidRequest: an unknown role.
    """
    role = _ROLES.get(turn.role)
    if role is None:
        raise InvalidRequest(f"Unknown role '{turn.role[:40]}'. Known: {', '.join(_ROLES)}.", param="messages")
    if isinstance(turn.content, str):
        return [Message(role=role, parts=(TextPart(turn.content),))]
    messages: list[Message] = []
    parts: list[Part] = []
    is_cached = False
    for raw in turn.content:
        block = decode_block(raw)
        if block.type == "tool_result":
            if parts:
                messages.append(Message(role=role, parts=tuple(parts), cache=is_cached))
                parts, is_cached = [], False
            messages.append(Message(role="tool", parts=(_result_of(block),), cache=block.cache_control is not None))
            continue
        parts.append(part_of(block, raw))
        is_cached = is_cached or block.cache_control is not None
    if parts or not messages:
        messages.append(Message(role=role, parts=tuple(parts), cache=is_cached))
    return messages


def part_of(block: Block, raw: msgspec.Raw) -> Part:
    """The canonical part; of a block without one, its JSON: that is what guards read, its bytes are what travels."""
    match block.type:
        case "text" if block.text is not None:
            return TextPart(block.text)
        case "thinking" if block.thinking is not None:
            return ThinkingPart(text=block.thinking, signature=block.signature or None)
        case "redacted_thinking" if block.data is not None:
            return ThinkingPart(data=block.data)
        case "tool_use" if block.name is not None:
            return ToolCallPart(id=block.id or "", name=block.name, arguments=arguments_of(block.input))
        case "image" | "document" if block.source is not None and block.source.type in ("base64", "url", "file"):
            return _media_of(block)
    return TextPart(bytes(raw).decode())


def decode_block(raw: msgspec.Raw) -> Block:
    """A block's fields. The vendor's own blocks may give them other shapes (a search result's source is a text).

    Raises:
        msgspec.ValidationError: a block that has a canonical form is not as it should be.
    """
    try:
        return _decode_block(raw)
    except msgspec.ValidationError:
        kind = _decode_kind(raw)
        if not is_vendors_own(kind.type):
            raise
        return Block(kind.type, cache_control=kind.cache_control)


def is_vendors_own(block_type: str) -> bool:
    """Whether a block has no canonical form: server tools and what comes of them, search results, containers."""
    return block_type not in (
        "text", "thinking", "redacted_thinking", "tool_use", "tool_result", "image", "document"
    )  # fmt: skip


def arguments_of(raw: msgspec.Raw) -> str:
    """A tool call's input as the JSON text of the canonical form."""
    text = bytes(raw).decode()
    if f'"{RAW}"' in text:
        fields = _decode_any(raw)
        if isinstance(fields, dict) and list(fields) == [RAW] and isinstance(fields[RAW], str):
            return str(fields[RAW])
    return text


def _media_of(block: Block) -> Part:
    source = block.source
    assert source is not None
    return MediaPart(
        kind="image" if block.type == "image" else "file",
        url=source.url,
        data=source.data,
        media_type=source.media_type,
        file_id=source.file_id,
        name=block.title,
    )


def _result_of(block: Block) -> ToolResultPart:
    parts: list[TextPart | MediaPart] = []
    if isinstance(block.content, str):
        parts.append(TextPart(block.content))
    elif isinstance(block.content, list):
        for item in block.content:
            raw = msgspec.Raw(_encode(item))
            part = part_of(decode_block(raw), raw)
            parts.append(part if isinstance(part, TextPart | MediaPart) else TextPart(bytes(raw).decode()))
    return ToolResultPart(id=block.tool_use_id or "", parts=tuple(parts), is_error=bool(block.is_error))


# The way out -----------------------------------------------------------------


def wire_turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The turns of this wire: results of tools, and what the user says after them, in one."""
    turns: list[dict[str, Any]] = []
    is_open = False  # the last turn holds tool results, and may take more
    for message in messages:
        blocks = wire_blocks(message.parts)
        if message.cache and blocks:
            blocks[-1]["cache_control"] = {"type": "ephemeral"}
        role = "user" if message.role == "tool" else message.role
        if is_open and role == "user":
            turns[-1]["content"].extend(blocks)
        elif blocks:
            turns.append({"role": role, "content": blocks})
        is_open = message.role == "tool"
    return turns


def wire_blocks(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """The content blocks of these parts; empty text is no block."""
    return [block for part in parts if (block := _wire_block(part)) is not None]


def _wire_block(part: Part) -> dict[str, Any] | None:
    match part:
        case TextPart() | RefusalPart():
            return {"type": "text", "text": part.text} if part.text else None
        case ThinkingPart():
            if part.data is not None:
                return {"type": "redacted_thinking", "data": part.data}
            return {"type": "thinking", "thinking": part.text, "signature": part.signature or ""}
        case ToolCallPart():
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": wire_input(part.arguments)}
        case ToolResultPart():
            return _wire_result(part)
        case MediaPart():
            return _wire_media(part)


def wire_input(arguments: str) -> dict[str, Any]:
    """The arguments as an object; what is none stands under a key of its own."""
    if not arguments.strip():
        return {}
    try:
        decoded = _decode_any(arguments.encode())
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return {RAW: arguments}
    return decoded if isinstance(decoded, dict) else {RAW: arguments}


def _wire_result(part: ToolResultPart) -> dict[str, Any]:
    wire: dict[str, Any] = {"type": "tool_result", "tool_use_id": part.id}
    if len(part.parts) == 1 and isinstance(part.parts[0], TextPart):
        wire["content"] = part.parts[0].text
    elif part.parts:
        wire["content"] = wire_blocks(part.parts)
    if part.is_error:
        wire["is_error"] = True
    return wire


def _wire_media(part: MediaPart) -> dict[str, Any]:
    source: dict[str, Any]
    if part.data is not None:
        source = {"type": "base64", "media_type": part.media_type or "", "data": part.data}
    elif part.url is not None:
        source = {"type": "url", "url": part.url}
    else:
        source = {"type": "file", "file_id": part.file_id}
    if part.kind == "image":
        return {"type": "image", "source": source}
    return {"type": "document", "source": source, **({"title": part.name} if part.name is not None else {})}
