"""OpenAI chat messages, in requests and answers alike."""

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

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",  # the newer name of the same turn
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


class WireFunction(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class WireCustom(msgspec.Struct):
    name: str | None = None
    input: str | None = None


class WireToolCall(msgspec.Struct):
    id: str | None = None
    type: str | None = None
    index: int | None = None
    function: WireFunction | None = None
    custom: WireCustom | None = None

    @property
    def name(self) -> str:
        return (self.function.name if self.function else self.custom.name if self.custom else None) or ""

    @property
    def arguments(self) -> str:
        return (self.function.arguments if self.function else self.custom.input if self.custom else None) or ""


class WireMessage(msgspec.Struct):
    role: str = "assistant"
    content: str | list[msgspec.Raw] | None = None
    name: str | None = None
    tool_calls: list[WireToolCall] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    function_call: WireFunction | None = None


class _Url(msgspec.Struct):
    url: str
    detail: str | None = None


class _Audio(msgspec.Struct):
    data: str
    format: str = ""


class _File(msgspec.Struct):
    file_id: str | None = None
    file_data: str | None = None
    filename: str | None = None


class _Part(msgspec.Struct):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: _Url | None = None
    input_audio: _Audio | None = None
    file: _File | None = None


_decode_part = msgspec.json.Decoder(_Part).decode
_encode = msgspec.json.encode


def message_of(wire: WireMessage) -> Message:
    """The canonical message.

    Raises:
        InvalidRequest: an unknown role.
    """
    role = _ROLES.get(wire.role)
    if role is None:
        raise InvalidRequest(f"Unknown role '{wire.role[:40]}'. Known: {', '.join(_ROLES)}.", param="messages")
    content = wire.content
    if role == "tool":
        return Message(role=role, parts=(_result_of(wire),), name=wire.name)
    if isinstance(content, str) and wire.tool_calls is None and role != "assistant":
        return Message(role=role, parts=(TextPart(content),), name=wire.name)
    return Message(role=role, parts=parts_of(wire), name=wire.name)


def parts_of(wire: WireMessage) -> tuple[Part, ...]:
    """Thinking, content, refusal and tool calls, in this order."""
    parts: list[Part] = []
    thinking = wire.reasoning_content or wire.reasoning
    if thinking:
        parts.append(ThinkingPart(text=thinking))
    parts.extend(_content_of(wire.content))
    if wire.refusal:
        parts.append(RefusalPart(wire.refusal))
    for call in wire.tool_calls or ():
        parts.append(ToolCallPart(id=call.id or "", name=call.name, arguments=call.arguments))
    if wire.function_call is not None:
        call_ = wire.function_call
        parts.append(ToolCallPart(id="", name=call_.name or "", arguments=call_.arguments or ""))
    return tuple(parts)


def _result_of(wire: WireMessage) -> ToolResultPart:
    parts = tuple(part for part in _content_of(wire.content) if isinstance(part, TextPart | MediaPart))
    return ToolResultPart(id=wire.tool_call_id or "", parts=parts, name=wire.name)


def _content_of(content: str | list[msgspec.Raw] | None) -> list[Part]:
    if isinstance(content, str):
        return [TextPart(content)] if content else []
    return [_part_of(raw) for raw in content or ()]


def _part_of(raw: msgspec.Raw) -> Part:
    part = _decode_part(raw)
    match part.type:
        case "text" if part.text is not None:
            return TextPart(part.text)
        case "refusal" if part.refusal is not None:
            return RefusalPart(part.refusal)
        case "image_url" if part.image_url is not None:
            return _media("image", part.image_url.url, detail=part.image_url.detail)
        case "input_audio" if part.input_audio is not None:
            return MediaPart(kind="audio", data=part.input_audio.data, media_type=f"audio/{part.input_audio.format}")
        case "file" if part.file is not None:
            media = _media("file", part.file.file_data, name=part.file.filename)
            return msgspec.structs.replace(media, file_id=part.file.file_id)
    return TextPart(
        bytes(raw).decode()
    )  # a part of a later day: its JSON is what guards read, its bytes are what travels


def _media(kind: Any, url: str | None, *, detail: str | None = None, name: str | None = None) -> MediaPart:
    if url is not None and url.startswith("data:"):
        head, _, data = url[5:].partition(",")
        return MediaPart(kind=kind, data=data, media_type=head.removesuffix(";base64"), detail=detail, name=name)
    return MediaPart(kind=kind, url=url, detail=detail, name=name)


def wire_message(message: Message) -> dict[str, Any]:
    """The message in this wire's shape."""
    wire: dict[str, Any] = {"role": message.role}
    if message.name is not None:
        wire["name"] = message.name
    if message.role == "tool":
        result = next(part for part in message.parts if isinstance(part, ToolResultPart))
        return wire | {"tool_call_id": result.id, "content": _wire_content(result.parts)}
    wire["content"] = _wire_content(message.parts)
    calls = [wire_tool_call(part) for part in message.parts if isinstance(part, ToolCallPart)]
    if calls:
        wire["tool_calls"] = calls
    refusal = "".join(part.text for part in message.parts if isinstance(part, RefusalPart))
    if refusal or message.role == "assistant":
        wire["refusal"] = refusal or None
    thinking = "".join(part.text for part in message.parts if isinstance(part, ThinkingPart))
    if thinking:
        wire["reasoning_content"] = thinking
    return wire


def wire_tool_call(part: ToolCallPart) -> dict[str, Any]:
    return {"id": part.id, "type": "function", "function": {"name": part.name, "arguments": part.arguments}}


def _wire_content(parts: tuple[Part, ...]) -> str | list[dict[str, Any]] | None:
    content = [part for part in parts if isinstance(part, TextPart | MediaPart)]
    if all(isinstance(part, TextPart) for part in content):
        return "".join(part.text for part in content if isinstance(part, TextPart)) if content else None
    return [_wire_part(part) for part in content]


def _wire_part(part: TextPart | MediaPart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    url = part.url if part.data is None else f"data:{part.media_type or ''};base64,{part.data}"
    if part.kind == "image":
        return {"type": "image_url", "image_url": _present(url=url, detail=part.detail)}
    if part.kind == "audio":
        return {
            "type": "input_audio",
            "input_audio": {"data": part.data, "format": (part.media_type or "").rpartition("/")[2]},
        }
    return {"type": "file", "file": _present(file_id=part.file_id, file_data=url, filename=part.name)}


def _present(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


def patch_message(raw: dict[str, Any], before: Message, after: Message) -> dict[str, Any]:
    """A message's own JSON with what policy changed; its unknown fields and unchanged parts stay."""
    fresh = wire_message(after)
    content = raw.get("content")
    old, new = _content_parts(before), _content_parts(after)
    if isinstance(content, list) and len(content) == len(old) == len(new):
        fresh["content"] = [
            part if was == now else _patch_part(part, now) for part, was, now in zip(content, old, new, strict=True)
        ]
    kept = {name: value for name, value in raw.items() if name not in ("reasoning", "function_call")}
    return (
        kept
        | {name: value for name, value in fresh.items() if value is not None or name in raw}
        | {"role": raw["role"]}
    )


def _content_parts(message: Message) -> list[Part]:
    parts = message.parts
    if message.role == "tool":
        parts = tuple(part for result in parts if isinstance(result, ToolResultPart) for part in result.parts)
    return [part for part in parts if isinstance(part, TextPart | MediaPart | RefusalPart)]


def _patch_part(raw: dict[str, Any], part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        if raw.get("type") == "text":
            return raw | {"text": part.text}
        decoded: dict[str, Any] = msgspec.json.decode(part.text)
        return decoded
    if isinstance(part, RefusalPart):
        return raw | {"refusal": part.text}
    return _wire_part(part) if isinstance(part, MediaPart) else raw
