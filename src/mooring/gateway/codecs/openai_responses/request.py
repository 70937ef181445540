"""Requests of the responses wire: body to canonical request and back."""

import re
from typing import Any

import msgspec

from mooring.core.errors import InvalidRequest
from mooring.core.messages import ChatRequest, Message, OutputFormat, TextPart, ToolChoice, ToolSpec

from ...fidelity import VENDOR_TOOLS
from ...rewriting import is_same, substituted, substitutions
from .. import Fields, WireRequest
from ..openai_chat.request import MOST_OUTPUT_TOKENS
from .items import OWN, SEALED, SIGNED, messages_of, wire_items

_Body = dict[str, msgspec.Raw]


class _Tool(msgspec.Struct):
    type: str = "function"
    name: str = ""
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Format(msgspec.Struct):
    type: str = "text"
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class _Text(msgspec.Struct):
    format: _Format | None = None
    verbosity: str | None = None


class _Reasoning(msgspec.Struct):
    effort: str | None = None


class _Request(msgspec.Struct):
    model: str
    input: str | list[dict[str, Any]] | None = None
    instructions: str | None = None
    tools: list[_Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stream: bool | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    previous_response_id: str | None = None


KNOWN = frozenset(_Request.__struct_fields__)
_THOUGHTS = "reasoning.encrypted_content"
_REASONS = re.compile(r"(?:o\d|gpt-[5-9]|codex|computer-use)")  # models that think; others refuse to be asked for it
_decode_fields = msgspec.json.Decoder(_Body).decode
_decode_request = msgspec.json.Decoder(_Request).decode
_decode_slices = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.encode


def decode_request(body: bytes) -> WireRequest:
    """What the caller asks for.

    Raises:
        InvalidRequest: not JSON, or a field of another type; `param` is its path.
    """
    try:
        fields = _decode_fields(body)
        wire = _decode_request(body)
        if not wire.input:
            raise InvalidRequest("'input' is empty; send a text or at least one item.", param="input")
        return WireRequest(_request_of(wire, fields), dict(fields))
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        param = path.rstrip("`").lstrip(".") or None
        raise InvalidRequest(f"{message}{f' at {param}' if param else ''}.", param=param) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.") from error


def elements(fields: Fields) -> tuple[bytes, ...]:
    """Each item's JSON as it stands in the body; a bare text is none."""
    given = fields.get("input")
    raw = bytes(given) if isinstance(given, msgspec.Raw) else _encode(given)
    return tuple(map(bytes, _decode_slices(raw))) if raw[:1] == b"[" else ()


def _request_of(wire: _Request, fields: _Body) -> ChatRequest:
    cap = wire.max_output_tokens
    if cap is not None and not 1 <= cap <= MOST_OUTPUT_TOKENS:
        raise InvalidRequest(f"'max_output_tokens' must be between 1 and {MOST_OUTPUT_TOKENS}.",
                             param="max_output_tokens")  # fmt: skip
    if not wire.model or "\0" in wire.model:
        raise InvalidRequest("The request names no model.", hint="Add model.", param="model")
    system = [Message("system", (TextPart(wire.instructions),))] if wire.instructions else []
    items = wire.input
    messages = [Message("user", (TextPart(items),))] if isinstance(items, str) else messages_of(items or ())
    choice, is_known = _choice_of(wire.tool_choice)
    return ChatRequest(
        model=wire.model,
        messages=(*system, *messages),
        tools=tuple(map(_tool_of, wire.tools or ())),
        tool_choice=choice if wire.tools else None,
        allows_parallel_tools=wire.parallel_tool_calls,
        output=_output_of(wire.text),
        max_output_tokens=cap,
        temperature=wire.temperature,
        top_p=wire.top_p,
        reasoning_effort=wire.reasoning.effort if wire.reasoning else None,
        is_stream=bool(wire.stream),
        user=wire.user,
        metadata=wire.metadata or {},
        extra=_extra(wire, fields, is_known=is_known),
    )


def _extra(wire: _Request, fields: _Body, *, is_known: bool) -> dict[str, Any]:
    """What only this wire says; settings that ask for what happens anyway are nothing."""
    extra = {name: _decode_any(value) for name, value in fields.items() if name not in KNOWN}
    if extra.get("truncation") == "disabled":
        del extra["truncation"]
    if wire.text is not None and wire.text.verbosity not in (None, "medium"):
        extra["verbosity"] = wire.text.verbosity
    if not is_known:
        extra["tool_choice"] = wire.tool_choice
    own: list[Any] = [{"type": tool.type} for tool in wire.tools or () if tool.type not in ("function", "custom")]
    if isinstance(wire.input, list):
        own += [{"type": item["type"]} for item in wire.input if item.get("type", "message") not in OWN]
    return extra | ({VENDOR_TOOLS: own} if own else {})


def _tool_of(tool: _Tool) -> ToolSpec:
    if tool.type not in ("function", "custom"):
        return ToolSpec(name=tool.type)  # policy sees a vendor's own tool by its type
    return ToolSpec(
        name=tool.name, description=tool.description or "", parameters=tool.parameters or {}, is_strict=tool.strict
    )


def _choice_of(choice: str | dict[str, Any] | None) -> tuple[ToolChoice | None, bool]:
    """The choice, and whether it is one that other wires know."""
    match choice:
        case None:
            return None, True
        case "auto" | "none" | "required":
            return ToolChoice(choice), True
        case {"type": "function" | "custom", "name": str(name)}:
            return ToolChoice("named", name), True
    return None, False


def _output_of(text: _Text | None) -> OutputFormat | None:
    found = text.format if text is not None else None
    if found is None or found.type == "text":
        return None
    if found.type == "json_object":
        return OutputFormat("json_object")
    return OutputFormat("json_schema", schema=found.schema, name=found.name, is_strict=found.strict)


# The way out -----------------------------------------------------------------


def encode_request(request: ChatRequest) -> Fields:
    """The whole request in this wire's fields."""
    messages = list(request.messages)
    plain: Fields = {
        "instructions": messages.pop(0).text if messages and messages[0].role == "system" else None,
        "tools": [_wire_tool(tool) for tool in request.tools] or None,
        "tool_choice": _wire_choice(request.tool_choice),
        "parallel_tool_calls": request.allows_parallel_tools,
        "text": _wire_text(request.output),
        "reasoning": {"effort": request.reasoning_effort} if request.reasoning_effort is not None else None,
        "max_output_tokens": request.max_output_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stream": request.is_stream or None,
        "user": request.user,
        "metadata": request.metadata or None,
    }
    fields: Fields = {"model": request.model, "input": wire_items(messages)}
    fields.update((name, value) for name, value in plain.items() if value is not None)
    return fields


def _wire_tool(tool: ToolSpec) -> Fields:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters or {"type": "object", "properties": {}},
        "strict": bool(tool.is_strict),  # without it this wire makes any schema a strict one
    }


def _wire_choice(choice: ToolChoice | None) -> object:
    if choice is None:
        return None
    return {"type": "function", "name": choice.name} if choice.mode == "named" else choice.mode


def _wire_text(output: OutputFormat | None) -> Fields | None:
    if output is None:
        return None
    found = {"type": output.kind, "name": output.name, "schema": output.schema, "strict": output.is_strict}
    return {"format": {name: value for name, value in found.items() if value is not None}}


def rewrite_request(fields: Fields, before: ChatRequest, after: ChatRequest) -> None:
    """Puts what the guards changed between `before` and `after` into `fields`; all else stays as it came."""
    table = substitutions(before, after)
    if not table:
        return
    changed: Fields = {
        name: value if name in ("model", "stream", "previous_response_id") else substituted(value, table)
        for name, value in fields.items()
    }
    if not is_same(decode_request(_encode(changed)).request, after):
        changed |= encode_request(after)
    fields.clear()
    fields.update(changed)


def prepare(fields: Fields, *, model: str, cap_tokens: int | None) -> None:
    """The target's model name and the cap where one is due; the vendor keeps nothing, so its thoughts come sealed.

    The conversation so far is in the input already: the response that it names is one of ours.
    """
    fields["model"] = model
    fields.pop("previous_response_id", None)
    fields["store"] = False
    if cap_tokens is not None:
        fields["max_output_tokens"] = cap_tokens
    if "reasoning" in fields or _REASONS.match(model):
        given = _decode_any(_encode(fields.get("include"))) or []
        fields["include"] = [*given, *([_THOUGHTS] if _THOUGHTS not in given else [])]
    raw = _encode(fields.get("input"))
    if any(f'"{mark}'.encode() in raw for mark in (SIGNED, SEALED)):
        fields["input"] = [item for item in _decode_any(raw) if not _is_anothers(item)]


def _is_anothers(item: Any) -> bool:
    """Whether it is a thought that only another vendor can read."""
    sealed = item.get("encrypted_content") if isinstance(item, dict) else None
    return isinstance(sealed, str) and sealed.startswith((SIGNED, SEALED))
