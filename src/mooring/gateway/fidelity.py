"""What a request may hold that not every wire can say, by name; how it is found, and how it is left out.

A codec declares by these names what it cannot carry (a request with it is refused, unless its caller allows the loss)
and what it leaves out (nothing that decides the answer; told in a header).
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args

import msgspec

from mooring.core.messages import (
    ChatRequest,
    MediaPart,
    Message,
    OutputFormat,
    Part,
    RefusalPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

Feature = Literal[
    "inline images",
    "images by url",
    "images by file id",
    "images in s3",
    "inline audio",
    "audio by url",
    "audio by file id",
    "audio in s3",
    "inline files",
    "files by url",
    "files by file id",
    "files in s3",
    "image detail",
    "media in tool results",
    "failed tool results",
    "thinking",
    "unsigned thinking",
    "signed thinking",
    "tool call signatures",
    "refusals",
    "later system turns",
    "names of participants",
    "cache marks",
    "vendor tools",
    "strict tools",
    "no parallel tools",
    "tools forbidden",
    "tools forbidden after calls",
    "calls without tools",
    "json output",
    "schema output",
    "temperature",
    "top_p",
    "stop",
    "seed",
    "several answers",
    "reasoning effort",
    "user",
    "metadata",
]
FEATURES: tuple[Feature, ...] = get_args(Feature)
VENDOR_TOOLS = "vendor_tools"

_PLURAL = {"image": "images", "audio": "audio", "file": "files"}
_FIELDS: dict[Feature, tuple[str, Any]] = {
    "temperature": ("temperature", None),
    "top_p": ("top_p", None),
    "stop": ("stop", ()),
    "seed": ("seed", None),
    "several answers": ("n", 1),
    "reasoning effort": ("reasoning_effort", None),
    "user": ("user", None),
    "metadata": ("metadata", {}),
}
_PARAMS: dict[str, str] = {
    "several answers": "n",
    "no parallel tools": "parallel_tool_calls",
    "vendor tools": "tools",
    "tools forbidden after calls": "tool_choice",
    "calls without tools": "tools",
}


def features_of(request: ChatRequest) -> frozenset[Feature]:
    """The names of all that this request holds."""
    found: set[Feature] = {name for name, (field, empty) in _FIELDS.items() if getattr(request, field) != empty}
    has_begun = False
    for message in request.messages:
        found.update(_of_message(message))
        if message.role == "system" and has_begun:
            found.add("later system turns")
        has_begun = has_begun or message.role != "system"
    if any(tool.is_strict for tool in request.tools):
        found.add("strict tools")
    found.update(_of_tools(request))
    if request.allows_parallel_tools is False:
        found.add("no parallel tools")
    if request.output is not None and request.output.kind != "text":
        found.add("json output" if request.output.kind == "json_object" else "schema output")
    if request.extra.get(VENDOR_TOOLS):
        found.add("vendor tools")
    return frozenset(found)


def _of_tools(request: ChatRequest) -> Iterator[Feature]:
    """What some wires cannot say of tools: that none may be called now, or that one was called that is not offered."""
    is_forbidden = bool(request.tools) and request.tool_choice is not None and request.tool_choice.mode == "none"
    if not is_forbidden and request.tools:
        return
    has_calls = any(message.role == "tool" or message.tool_calls for message in request.messages)
    if is_forbidden:
        yield "tools forbidden after calls" if has_calls else "tools forbidden"
    elif has_calls:
        yield "calls without tools"


def param_of(feature: str) -> str | None:
    """The field that a caller would look for."""
    return _PARAMS.get(feature) or (_FIELDS[feature][0] if feature in _FIELDS else None)


def _of_message(message: Message) -> Iterator[Feature]:
    if message.cache:
        yield "cache marks"
    if message.name is not None and message.role != "tool":
        yield "names of participants"
    for part in message.parts:
        yield from _of_part(part)


def _of_part(part: Part) -> Iterator[Feature]:
    match part:
        case MediaPart():
            yield media_feature(part)
            if part.detail is not None:
                yield "image detail"
        case ThinkingPart():
            yield "thinking"
            yield "signed thinking" if part.signature or part.data else "unsigned thinking"
        case RefusalPart():
            yield "refusals"
        case ToolCallPart() if part.signature is not None:
            yield "tool call signatures"
        case ToolResultPart():
            if part.is_error:
                yield "failed tool results"
            for inner in part.parts:
                yield from _of_part(inner)
                if isinstance(inner, MediaPart):
                    yield "media in tool results"


def media_feature(part: MediaPart) -> Feature:
    """What kind of medium it is, and how it is given."""
    plural = _PLURAL[part.kind]
    if part.data is not None:
        return f"inline {plural}"  # type: ignore[return-value]
    if part.url is not None and part.url.startswith("s3://"):
        return f"{plural} in s3"  # type: ignore[return-value]
    return f"{plural} by {'url' if part.url is not None else 'file id'}"  # type: ignore[return-value]


def without(request: ChatRequest, features: frozenset[Feature]) -> ChatRequest:
    """The request with these left out; a turn that nothing is left of goes too."""
    if not features:
        return request
    changes: dict[str, Any] = {field: empty for name, (field, empty) in _FIELDS.items() if name in features}
    messages = _messages_without(request.messages, features)
    if "calls without tools" in features:
        messages = tuple(filter(None, map(_uncalled, messages)))
    if messages != request.messages:
        changes["messages"] = messages
    if "strict tools" in features:
        changes["tools"] = tuple(msgspec.structs.replace(tool, is_strict=None) for tool in request.tools)
    if "vendor tools" in features:
        known = {tool.get("type") for tool in request.extra.get(VENDOR_TOOLS, ())}
        changes["tools"] = tuple(tool for tool in changes.get("tools", request.tools) if tool.name not in known)
    if "tools forbidden" in features:
        changes |= {"tools": (), "tool_choice": None}
    if "tools forbidden after calls" in features:
        changes["tool_choice"] = None
    if "no parallel tools" in features:
        changes["allows_parallel_tools"] = None
    if request.output is not None and _kind(request.output) in features:
        changes["output"] = None
    return msgspec.structs.replace(request, **changes)


def _uncalled(message: Message) -> Message | None:
    """The message without calls and results; None where nothing else was in it."""
    parts = tuple(part for part in message.parts if not isinstance(part, ToolCallPart | ToolResultPart))
    return msgspec.structs.replace(message, parts=parts) if parts else None


def _kind(output: OutputFormat) -> str:
    return "json output" if output.kind == "json_object" else "schema output"


def _messages_without(messages: tuple[Message, ...], features: frozenset[Feature]) -> tuple[Message, ...]:
    kept: list[Message] = []
    has_begun = False
    for message in messages:
        is_late = message.role == "system" and has_begun
        has_begun = has_begun or message.role != "system"
        if is_late and "later system turns" in features:
            continue
        clean = _message_without(message, features)
        if clean.parts or not message.parts:
            kept.append(clean)
    return tuple(kept)


def _message_without(message: Message, features: frozenset[Feature]) -> Message:
    parts = [clean for part in message.parts if (clean := _part_without(part, features)) is not None]
    has_name = message.role == "tool" or "names of participants" not in features
    return msgspec.structs.replace(
        message,
        parts=tuple(parts),
        name=message.name if has_name else None,
        cache=message.cache and "cache marks" not in features,
    )


def _part_without(part: Part, features: frozenset[Feature]) -> Part | None:
    """The part as it may go on; None where it may not."""
    named = set(_of_part(part)) & features
    if not named:
        return part
    rule = _RULES.get(type(part))
    return rule(part, named) if rule else None


def _media(part: MediaPart, named: set[Feature]) -> Part | None:
    return msgspec.structs.replace(part, detail=None) if named == {"image detail"} else None


def _call(part: ToolCallPart, named: set[Feature]) -> Part:
    return msgspec.structs.replace(part, signature=None)


def _result(part: ToolResultPart, named: set[Feature]) -> Part:
    parts = part.parts
    if "media in tool results" in named:
        parts = tuple(inner for inner in parts if not isinstance(inner, MediaPart))
    cleaned = tuple(clean for inner in parts if (clean := _part_without(inner, frozenset(named))) is not None)
    return msgspec.structs.replace(part, parts=cleaned, is_error=part.is_error and "failed tool results" not in named)


_RULES: dict[type, Callable[[Any, set[Feature]], Part | None]] = {
    MediaPart: _media,
    ToolCallPart: _call,
    ToolResultPart: _result,
}
