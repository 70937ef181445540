"""Gemini contents: parts, in requests and answers alike, under either spelling of their fields.

A call of a function may lack an id, and its answer then names the function alone: the canonical turns get ids by place.
"""

import mimetypes
import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

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

_encode = msgspec.json.encode
_decode_any = msgspec.json.Decoder().decode
_SNAKE = re.compile(r"_([a-z])")
# What is free text inside: schemas, arguments and answers of functions keep their own names.
_FREE = frozenset({"args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema"})
_FREE_TOO = frozenset({"labels", "metadata"})
_ROLES: dict[str | None, Role] = {"user": "user", "function": "user", None: "user", "model": "assistant"}
RESULT, ERROR = "result", "error"


class WireCall(msgspec.Struct):
    name: str = ""
    args: Any = None
    id: str | None = None


class WireResult(msgspec.Struct):
    name: str = ""
    response: Any = None
    id: str | None = None


class _Blob(msgspec.Struct, rename="camel"):
    mime_type: str | None = None
    data: str | None = None
    file_uri: str | None = None


class WirePart(msgspec.Struct, rename="camel"):
    """Any part; only the kinds that have a canonical form."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    inline_data: _Blob | None = None
    file_data: _Blob | None = None
    function_call: WireCall | None = None
    function_response: WireResult | None = None


class Content(msgspec.Struct):
    """One element of `contents`."""

    parts: list[dict[str, Any]] | None = None
    role: str | None = None


def camel(value: Any) -> Any:
    """The value with Google's newer spelling of every field."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    named = ((_SNAKE.sub(lambda found: found[1].upper(), key), item) for key, item in value.items())
    return {key: item if key in _FREE or key in _FREE_TOO else camel(item) for key, item in named}


def messages_of(contents: Iterable[Content]) -> list[Message]:
    """The canonical turns.

    Raises:
        InvalidRequest: an unknown role.
    """
    messages: list[Message] = []
    waiting: list[ToolCallPart] = []
    for number, content in enumerate(contents):
        role = _ROLES.get(content.role)
        if role is None:
            raise InvalidRequest(f"Unknown role '{str(content.role)[:40]}'. Known: user, model.", param="contents")
        parts: list[Part] = []
        for index, raw in enumerate(content.parts or ()):
            part = part_of(raw, f"call_{number}_{index}")
            if isinstance(part, ToolResultPart):
                if parts:
                    messages.append(Message(role=role, parts=tuple(parts)))
                    parts = []
                messages.append(Message(role="tool", parts=(_matched(part, waiting),)))
            else:
                parts.append(part)
        calls = [part for part in parts if isinstance(part, ToolCallPart)]
        waiting = calls or waiting
        if parts or not content.parts:
            messages.append(Message(role=role, parts=tuple(parts)))
    return messages


def _matched(result: ToolResultPart, waiting: list[ToolCallPart]) -> ToolResultPart:
    """The result under the id of the call that it answers: its own, or the first of its name."""
    found = next(
        (call for call in waiting if call.id == result.id or (not result.id and call.name == result.name)), None
    )
    if found is None:
        return result
    waiting.remove(found)
    return msgspec.structs.replace(result, id=found.id)


def part_of(raw: dict[str, Any], made_id: str) -> Part:
    """The canonical part; of one without, its JSON: that is what guards read, its bytes are what travels."""
    part = msgspec.convert(raw, WirePart)
    if part.function_call is not None:
        call = part.function_call
        arguments = arguments_of(msgspec.Raw(_encode({} if call.args is None else call.args)))
        return ToolCallPart(call.id or made_id, call.name, arguments, part.thought_signature)
    if part.function_response is not None:
        return _result_of(part.function_response)
    if part.text is not None:
        return ThinkingPart(part.text, part.thought_signature) if part.thought else TextPart(part.text)
    blob = part.inline_data or part.file_data
    if blob is not None:
        return MediaPart(kind=_kind(blob.mime_type), url=blob.file_uri, data=blob.data, media_type=blob.mime_type)
    return TextPart(_encode(raw).decode())


def is_vendors_own(raw: dict[str, Any]) -> bool:
    """Whether a part has no canonical form: code that ran at the vendor, and what came of it."""
    return not raw.keys() & {"text", "functionCall", "functionResponse", "inlineData", "fileData"}


def _kind(media_type: str | None) -> Any:
    head = (media_type or "").partition("/")[0]
    return head if head in ("image", "audio") else "file"


def _result_of(wire: WireResult) -> ToolResultPart:
    said = wire.response
    if isinstance(said, dict) and len(said) == 1 and isinstance(said.get(ERROR), str):
        return ToolResultPart(wire.id or "", (TextPart(said[ERROR]),), wire.name, is_error=True)
    if isinstance(said, dict) and len(said) == 1 and isinstance(said.get(RESULT), str):
        return ToolResultPart(wire.id or "", (TextPart(said[RESULT]),), wire.name)
    return ToolResultPart(wire.id or "", (TextPart(_encode(said).decode()),), wire.name)


# The way out -----------------------------------------------------------------


def wire_contents(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The contents of this wire: the results of functions that were called together stand together."""
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    contents: list[dict[str, Any]] = []
    is_open = False
    for message in messages:
        parts = [wire for part in message.parts if (wire := wire_part(part, names)) is not None]
        if message.role == "tool" and is_open:
            contents[-1]["parts"].extend(parts)
        elif parts:
            contents.append({"role": "model" if message.role == "assistant" else "user", "parts": parts})
        is_open = message.role == "tool"
    return contents


def wire_part(part: Part, names: dict[str, str] | None = None) -> dict[str, Any] | None:
    """One part; None for empty text, which this wire has no use for."""
    match part:
        case TextPart() | RefusalPart():
            return {"text": part.text} if part.text else None
        case ThinkingPart():
            return {"text": part.text, "thought": True} | _signed(part.signature)
        case ToolCallPart():
            call = {"id": part.id, "name": part.name, "args": wire_input(part.arguments)}
            return {"functionCall": call} | _signed(part.signature)
        case ToolResultPart():
            name = part.name or (names or {}).get(part.id, "")
            return {"functionResponse": {"id": part.id, "name": name, "response": _wire_response(part)}}
        case MediaPart():
            if part.data is not None:
                return {"inlineData": {"mimeType": part.media_type or "", "data": part.data}}
            return {"fileData": {"mimeType": part.media_type or _guessed(part), "fileUri": part.url}}


def _guessed(part: MediaPart) -> str:
    """The type of what an address names, which this wire wants to know."""
    found = mimetypes.guess_type(urlsplit(part.url or "").path)[0]
    return found or ("application/octet-stream" if part.kind == "file" else f"{part.kind}/*")


def _signed(signature: str | None) -> dict[str, str]:
    return {} if signature is None else {"thoughtSignature": signature}


def _wire_response(part: ToolResultPart) -> dict[str, Any]:
    text = "".join(inner.text for inner in part.parts if isinstance(inner, TextPart))
    if part.is_error:
        return {ERROR: text}
    if text[:1] == "{":
        try:
            decoded = _decode_any(text.encode())
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return {RESULT: text}
        if isinstance(decoded, dict) and list(decoded) not in ([RESULT], [ERROR]):
            return decoded
    return {RESULT: text}
