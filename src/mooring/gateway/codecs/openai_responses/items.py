"""Items of the responses wire: what is said, called, answered and thought, each on its own.

What one turn of a model says, calls and thinks is one canonical message; on the way out it becomes items again.
"""

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

_encode = msgspec.json.encode
_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
# How a thought's signature, and a thought that only its vendor can read, stand in `encrypted_content`.
SIGNED, SEALED = "signed.", "sealed."
OWN = frozenset({"message", "function_call", "function_call_output", "reasoning", "custom_tool_call",
                 "custom_tool_call_output"})  # fmt: skip


class _Content(msgspec.Struct):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    detail: str | None = None


class Item(msgspec.Struct):
    """Any item of the input or the output."""

    type: str = "message"
    id: str | None = None
    role: str | None = None
    content: str | list[dict[str, Any]] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    input: str | None = None
    output: str | list[dict[str, Any]] | None = None
    summary: list[dict[str, Any]] | None = None
    encrypted_content: str | None = None


def messages_of(raws: Iterable[dict[str, Any]]) -> list[Message]:
    """The canonical turns; what a model did in one turn is one message.

    Raises:
        InvalidRequest: an unknown role, or a reference to an item that is not here.
    """
    messages: list[Message] = []
    turn: list[Part] = []
    for raw in raws:
        item = msgspec.convert(raw, Item)
        if item.type == "item_reference":
            raise InvalidRequest("References to single items are not kept.", hint="Send the item.", param="input")
        if item.type == "message" and item.role != "assistant":
            _close(messages, turn)
            messages.append(_said(item))
        elif item.type in ("function_call_output", "custom_tool_call_output"):
            _close(messages, turn)
            messages.append(Message("tool", (ToolResultPart(item.call_id or "", tuple(_result_of(item.output))),)))
        else:
            turn += parts_of(item, raw)
    _close(messages, turn)
    return messages


def _close(messages: list[Message], turn: list[Part]) -> None:
    if turn:
        messages.append(Message("assistant", tuple(turn)))
        turn.clear()


def _said(item: Item) -> Message:
    role = _ROLES.get(item.role or "")
    if role is None:
        raise InvalidRequest(f"Unknown role '{str(item.role)[:40]}'. Known: {', '.join(_ROLES)}.", param="input")
    return Message(role, tuple(_content_of(item.content)))


def parts_of(item: Item, raw: dict[str, Any]) -> list[Part]:
    """What a model did in an item; of one without a canonical form its JSON, which is what guards read."""
    match item.type:
        case "message":
            return _content_of(item.content)
        case "function_call" | "custom_tool_call":
            arguments = item.arguments if item.type == "function_call" else item.input
            return [ToolCallPart(item.call_id or "", item.name or "", arguments or "")]
        case "reasoning":
            text = "\n\n".join(str(part.get("text", "")) for part in item.summary or ())
            sealed = item.encrypted_content or ""
            if sealed.startswith(SEALED):
                return [ThinkingPart(text, data=sealed[len(SEALED) :])]
            return [ThinkingPart(text, signature=sealed.removeprefix(SIGNED) or None)]
    return [TextPart(_encode(raw).decode())]


def _content_of(content: str | list[dict[str, Any]] | None) -> list[Part]:
    if isinstance(content, str):
        return [TextPart(content)] if content else []
    return [_part_of(raw) for raw in content or ()]


def _part_of(raw: dict[str, Any]) -> Part:
    part = msgspec.convert(raw, _Content)
    match part.type:
        case "input_text" | "output_text" | "text" if part.text is not None:
            return TextPart(part.text)
        case "refusal" if part.refusal is not None:
            return RefusalPart(part.refusal)
        case "input_image":
            return _media("image", part.image_url, part)
        case "input_file":
            return _media("file", part.file_data or part.file_url, part)
    return TextPart(_encode(raw).decode())


def _media(kind: Any, url: str | None, part: _Content) -> MediaPart:
    detail = part.detail if part.detail != "auto" else None
    if url is not None and url.startswith("data:"):
        head, _, data = url[5:].partition(",")
        return MediaPart(kind, data=data, media_type=head.removesuffix(";base64"), detail=detail, name=part.filename)
    return MediaPart(kind, url=url, file_id=part.file_id, detail=detail, name=part.filename)


def _result_of(output: str | list[dict[str, Any]] | None) -> list[TextPart | MediaPart]:
    if isinstance(output, str):
        return [TextPart(output)]
    return [part for raw in output or () if isinstance(part := _part_of(raw), TextPart | MediaPart)]


# The way out -----------------------------------------------------------------


def wire_items(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The input items of these turns."""
    items: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "assistant":
            items += [_asked(item) for item in output_items(message.parts, "in")]
        elif message.role == "tool":
            items += [_wire_result(part) for part in message.parts if isinstance(part, ToolResultPart)]
        else:
            items.append({"type": "message", "role": message.role, "content": _wire_content(message.parts)})
    return items


def _asked(item: dict[str, Any]) -> dict[str, Any]:
    """An item as a request holds it: without an id, which only its vendor can give, and a thought as it was sealed."""
    kept = {name: value for name, value in item.items() if name not in ("id", "status")}
    sealed = kept.get("encrypted_content", "")
    return kept | {"encrypted_content": sealed.removeprefix(SIGNED)} if sealed else kept


def output_items(parts: Sequence[Part], suffix: str) -> list[dict[str, Any]]:
    """What a model did, as items; texts that follow each other are one message."""
    items: list[dict[str, Any]] = []
    for part in parts:
        match part:
            case ThinkingPart():
                items.append(reasoning_item(f"rs_{len(items)}_{suffix}", part))
            case ToolCallPart():
                items.append(call_item(f"fc_{len(items)}_{suffix}", part.id, part.name, part.arguments))
            case TextPart() | RefusalPart():
                if not items or items[-1]["type"] != "message":
                    items.append(message_item(f"msg_{len(items)}_{suffix}", []))
                items[-1]["content"].append(said(part))
    return items


def said(part: TextPart | RefusalPart) -> dict[str, Any]:
    """A piece of an answer's message."""
    if isinstance(part, RefusalPart):
        return {"type": "refusal", "refusal": part.text}
    return {"type": "output_text", "text": part.text, "annotations": [], "logprobs": []}


def message_item(item_id: str, content: list[dict[str, Any]], status: str = "completed") -> dict[str, Any]:
    return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": content}


def call_item(item_id: str, call_id: str, name: str, arguments: str, status: str = "completed") -> dict[str, Any]:
    return {
        "id": item_id, "type": "function_call", "call_id": call_id, "name": name, "arguments": arguments,
        "status": status,
    }  # fmt: skip


def reasoning_item(item_id: str, part: ThinkingPart) -> dict[str, Any]:
    """A thought; what its vendor wants back stands where OpenAI's own sealed thoughts stand."""
    item: dict[str, Any] = {
        "id": item_id,
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": part.text}] if part.text else [],
    }
    if part.data is not None:
        item["encrypted_content"] = SEALED + part.data
    elif part.signature is not None:
        item["encrypted_content"] = SIGNED + part.signature
    return item


def _wire_result(part: ToolResultPart) -> dict[str, Any]:
    output: Any = _wire_content(part.parts)
    if len(part.parts) == 1 and isinstance(part.parts[0], TextPart):
        output = part.parts[0].text
    return {"type": "function_call_output", "call_id": part.id, "output": output}


def _wire_content(parts: Sequence[Part]) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, TextPart):
            content.append({"type": "input_text", "text": part.text})
        elif isinstance(part, MediaPart):
            content.append(_wire_media(part))
    return content


def _wire_media(part: MediaPart) -> dict[str, Any]:
    url = part.url if part.data is None else f"data:{part.media_type or ''};base64,{part.data}"
    if part.kind == "image":
        found = {"image_url": url, "file_id": part.file_id, "detail": part.detail or "auto"}
        return {"type": "input_image", **{name: value for name, value in found.items() if value is not None}}
    name = "file_data" if part.data is not None else "file_url"
    found = {name: url, "file_id": part.file_id, "filename": part.name}
    return {"type": "input_file", **{name: value for name, value in found.items() if value is not None}}
