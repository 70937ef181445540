"""Every string leaf of a request, an answer or a tool's arguments, rewritten; what does not change is not copied."""

import json
import re
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import msgspec

from mooring.core.messages import (
    ChatRequest,
    MediaPart,
    Message,
    OutputFormat,
    Part,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
)

Rewrite = Callable[[str], str]
RewriteAt = Callable[[str, str | None], str]
T = TypeVar("T")
Struct = TypeVar("Struct", bound=msgspec.Struct)

# How often JSON may stand inside a JSON string before nobody decodes it any more.
_DEEPEST = 4
_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class Writer(Protocol):
    """What is done to plain text, and to the JSON of a tool call's arguments."""

    def text(self, text: str, /) -> str: ...

    def arguments(self, arguments: str, /) -> str: ...


def request(value: ChatRequest, writer: Writer) -> ChatRequest:
    """Messages, tools, output schema, stop words, user, metadata and the wire's own fields; media bytes stay."""
    return _changed(
        value,
        messages=_each(value.messages, lambda message: _message(message, writer)),
        tools=_each(value.tools, lambda tool: _tool(tool, writer.text)),
        output=_output(value.output, writer.text),
        stop=_each(value.stop, writer.text),
        user=_maybe(value.user, writer.text),
        metadata=tree(value.metadata, writer.text),
        extra=tree(value.extra, writer.text),
    )


def tree(value: Any, rewrite: Rewrite) -> Any:
    """A JSON value, keys included."""
    if isinstance(value, str):
        return rewrite(value)
    if isinstance(value, dict):
        pairs = {rewrite(key): tree(item, rewrite) for key, item in value.items()}
        return pairs if pairs != value else value
    if isinstance(value, list):
        items = [tree(item, rewrite) for item in value]
        return items if items != value else value
    return value


def arguments(text: str, rewrite: RewriteAt) -> str:
    """A tool call's arguments: each leaf as it is once decoded, however it was escaped, with its path.

    Text that is no JSON is taken as one leaf. A key that occurs twice hides its first value from a decoder, so the
    whole text is then looked at once more with its escapes undone.
    """
    doubled: list[str] = []

    def read(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            doubled.append(text)
        return value

    try:
        value = json.loads(text, object_pairs_hook=read)
    except ValueError:
        return leaf(text, lambda plain: rewrite(plain, None))
    changed = _tree_at(value, "", lambda text, path: leaf(text, lambda inner: rewrite(inner, path)))
    if changed is value and not any(rewrite(plain, None) != plain for plain in map(unescaped, doubled[:1])):
        return text
    encoded = json.dumps(changed, ensure_ascii=False, separators=(",", ":"))
    return encoded if encoded.isascii() or _is_whole(encoded) else json.dumps(changed, separators=(",", ":"))


def _tree_at(value: Any, path: str, rewrite: RewriteAt) -> Any:
    """The same as `tree`, and each value's path; keys have none."""
    if isinstance(value, str):
        return rewrite(value, path)
    if isinstance(value, dict):
        below = {key: f"{path}.{key}" if path else key for key in value}
        pairs = {rewrite(key, None): _tree_at(item, below[key], rewrite) for key, item in value.items()}
        return pairs if pairs != value else value
    if isinstance(value, list):
        items = [_tree_at(item, f"{path}[]", rewrite) for item in value]
        return items if items != value else value
    return value


def unescaped(text: str) -> str:
    """The text with JSON's escapes undone, again and again where JSON stands in JSON."""
    for _ in range(_DEEPEST):
        plain = _ESCAPE.sub(_plain, text)
        if plain == text:
            break
        text = plain
    return text


def leaf(text: str, rewrite: Rewrite) -> str:
    """A leaf may be JSON once more: if its escapes hide something, what is found without them stands in its place."""
    changed = rewrite(text)
    if "\\" not in changed:
        return changed
    plain = unescaped(changed)
    clean = rewrite(plain)
    return changed if clean == plain else clean


def _plain(match: re.Match[str]) -> str:
    code, short = match.groups()
    return chr(int(code, 16)) if code else _SHORT.get(short, short)


def _is_whole(text: str) -> bool:
    """Whether it can be sent as UTF-8: a lone surrogate cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _message(message: Message, writer: Writer) -> Message:
    return _changed(
        message,
        parts=_each(message.parts, lambda part: part_of(part, writer)),
        name=_maybe(message.name, writer.text),
    )


def part_of(part: Part, writer: Writer) -> Part:
    """One part of a message. Signatures and media bytes are opaque and stay."""
    match part:
        case TextPart() | RefusalPart() | ThinkingPart():
            return _changed(part, text=writer.text(part.text))
        case ToolCallPart():
            return _changed(part, name=writer.text(part.name), arguments=writer.arguments(part.arguments))
        case ToolResultPart():
            parts = _each(part.parts, lambda inner: part_of(inner, writer))
            return _changed(part, parts=parts, name=_maybe(part.name, writer.text))
        case MediaPart():
            is_inline = part.url is not None and part.url.startswith("data:")
            url = part.url if is_inline else _maybe(part.url, writer.text)
            return _changed(part, url=url, name=_maybe(part.name, writer.text))


def _tool(tool: ToolSpec, rewrite: Rewrite) -> ToolSpec:
    return _changed(
        tool,
        name=rewrite(tool.name),
        description=rewrite(tool.description),
        parameters=tree(tool.parameters, rewrite),
    )


def _output(output: OutputFormat | None, rewrite: Rewrite) -> OutputFormat | None:
    if output is None:
        return None
    return _changed(output, schema=tree(output.schema, rewrite), name=_maybe(output.name, rewrite))


def _maybe(text: str | None, rewrite: Rewrite) -> str | None:
    return None if text is None else rewrite(text)


def _each(values: tuple[T, ...], rewrite: Callable[[T], Any]) -> tuple[Any, ...]:
    changed = tuple(rewrite(value) for value in values)
    return values if all(new is old for new, old in zip(changed, values, strict=True)) else changed


def _changed(value: Struct, **fields: Any) -> Struct:
    """The same object if no field differs."""
    different = {name: new for name, new in fields.items() if new is not (old := getattr(value, name)) and new != old}
    return msgspec.structs.replace(value, **different) if different else value
