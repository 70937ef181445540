"""Converse requests: body to canonical request and back. Model and streaming are said by the path, not by the body."""

from typing import Any

import msgspec

from mooring.core.errors import InvalidRequest
from mooring.core.messages import ChatRequest, Message, OutputFormat, TextPart, ToolChoice, ToolSpec

from ...fidelity import VENDOR_TOOLS
from ...rewriting import is_same, substituted, substitutions
from .. import Fields, WireRequest
from ..openai_chat.request import MOST_OUTPUT_TOKENS
from .message import CACHE_POINT, Turn, messages_of, wire_turns

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.encode
CONFIG = "inferenceConfig"
# What only this wire knows, and a caller of any other may send: a model's own settings above all.
OWN_FIELDS = frozenset(
    {
        "additionalModelRequestFields",
        "additionalModelResponseFieldPaths",
        "guardrailConfig",
        "performanceConfig",
        "projectIdentifier",
        "requestMetadata",
        "serviceTier",
    }
)


class _Schema(msgspec.Struct, frozen=True):
    json: dict[str, Any] = {}


class _Spec(msgspec.Struct, rename="camel"):
    name: str
    input_schema: _Schema = _Schema()
    description: str | None = None
    strict: bool | None = None


class _Tool(msgspec.Struct, rename="camel"):
    tool_spec: _Spec | None = None
    system_tool: dict[str, Any] | None = None


class _Choice(msgspec.Struct):
    auto: Any = None
    any: Any = None
    tool: dict[str, str] | None = None


class _ToolConfig(msgspec.Struct, rename="camel"):
    tools: list[_Tool]
    tool_choice: _Choice | None = None


class _Inference(msgspec.Struct, rename="camel"):
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = msgspec.field(default=None, name="topP")
    stop_sequences: list[str] | None = None


class _JsonSchema(msgspec.Struct):
    schema: str
    name: str | None = None


class _Structure(msgspec.Struct, rename="camel"):
    json_schema: _JsonSchema


class _Format(msgspec.Struct):
    structure: _Structure


class _Output(msgspec.Struct, rename="camel"):
    text_format: _Format | None = None
    effort: str | None = None


class _Request(msgspec.Struct, rename="camel"):
    messages: list[Turn]
    system: list[dict[str, Any]] | None = None
    tool_config: _ToolConfig | None = None
    inference_config: _Inference | None = None
    output_config: _Output | None = None


KNOWN = frozenset(_Request.__struct_encode_fields__)
_decode_request = msgspec.json.Decoder(_Request).decode


def decode_request(body: bytes, *, model: str | None, is_stream: bool) -> WireRequest:
    """What the caller asks for.

    Raises:
        InvalidRequest: not JSON, or a field of another type; `param` is its path.
    """
    try:
        fields: Fields = dict(_decode_fields(body))
        return WireRequest(_request_of(_decode_request(body), fields, model or "", is_stream), fields)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        param = path.rstrip("`").lstrip(".") or None
        raise InvalidRequest(f"{message}{f' at {param}' if param else ''}.", param=param) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.") from error


def _request_of(wire: _Request, fields: Fields, model: str, is_stream: bool) -> ChatRequest:
    config, output = wire.inference_config or _Inference(), wire.output_config or _Output()
    if not model or "\0" in model:
        raise InvalidRequest("The path names no model.", param="model")
    if config.max_tokens is not None and not 1 <= config.max_tokens <= MOST_OUTPUT_TOKENS:
        raise InvalidRequest(f"'maxTokens' must be between 1 and {MOST_OUTPUT_TOKENS}.", param="maxTokens")
    tools = wire.tool_config.tools if wire.tool_config is not None else []
    own = [{"type": "systemTool"} for tool in tools if tool.system_tool is not None]
    extra = {name: _decode_any(value) for name, value in fields.items() if name not in KNOWN}
    return ChatRequest(
        model=model,
        messages=(*_system_of(wire.system), *(message for turn in wire.messages for message in messages_of(turn))),
        tools=tuple(_tool_of(tool.tool_spec) for tool in tools if tool.tool_spec is not None),
        tool_choice=_choice_of(wire.tool_config.tool_choice) if wire.tool_config is not None else None,
        output=_output_of(output.text_format),
        max_output_tokens=config.max_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        stop=tuple(config.stop_sequences or ()),
        reasoning_effort=output.effort,
        is_stream=is_stream,
        extra=extra | ({VENDOR_TOOLS: own} if own else {}),
    )


def _system_of(blocks: list[dict[str, Any]] | None) -> list[Message]:
    messages: list[Message] = []
    for block in blocks or ():
        if "cachePoint" in block and messages:
            messages[-1] = msgspec.structs.replace(messages[-1], cache=True)
        elif "text" in block:
            messages.append(Message("system", (TextPart(str(block["text"])),)))
    return messages


def _tool_of(spec: _Spec) -> ToolSpec:
    return ToolSpec(spec.name, spec.description or "", spec.input_schema.json, spec.strict)


def _choice_of(choice: _Choice | None) -> ToolChoice | None:
    if choice is None:
        return None
    if choice.tool is not None:
        return ToolChoice("named", choice.tool.get("name"))
    return ToolChoice("required" if choice.any is not None else "auto")


def _output_of(found: _Format | None) -> OutputFormat | None:
    if found is None:
        return None
    schema = found.structure.json_schema
    return OutputFormat("json_schema", schema=_decode_any(schema.schema), name=schema.name)


# The way out -----------------------------------------------------------------


def encode_request(request: ChatRequest) -> Fields:
    """The whole request in this wire's fields."""
    messages = list(request.messages)
    system: list[dict[str, Any]] = []
    while messages and messages[0].role == "system":
        message = messages.pop(0)
        if message.text:
            system += [{"text": message.text}, *([CACHE_POINT] if message.cache else [])]
    plain: Fields = {
        "system": system or None,
        CONFIG: _wire_config(request) or None,
        "toolConfig": _wire_tools(request) if request.tools else None,
        "outputConfig": _wire_output(request) or None,
        **{name: request.extra.get(name) for name in sorted(OWN_FIELDS)},
    }
    fields: Fields = {"messages": wire_turns(messages)}
    fields.update((name, value) for name, value in plain.items() if value is not None)
    return fields


def _wire_config(request: ChatRequest) -> Fields:
    plain: Fields = {
        "maxTokens": request.max_output_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "stopSequences": list(request.stop) or None,
    }
    return {name: value for name, value in plain.items() if value is not None}


def _wire_tools(request: ChatRequest) -> Fields:
    config: Fields = {"tools": [_wire_tool(tool) for tool in request.tools]}
    choice = request.tool_choice
    if choice is not None:
        named = {"tool": {"name": choice.name}}
        config["toolChoice"] = named if choice.mode == "named" else {_MODES[choice.mode]: {}}
    return config


_MODES = {"auto": "auto", "required": "any", "none": "auto"}  # `none` is left out or refused before it comes here


def _wire_tool(tool: ToolSpec) -> Fields:
    spec: Fields = {"name": tool.name, "inputSchema": {"json": tool.parameters or {"type": "object"}}}
    if tool.description:
        spec["description"] = tool.description
    if tool.is_strict is not None:
        spec["strict"] = tool.is_strict
    return {"toolSpec": spec}


def _wire_output(request: ChatRequest) -> Fields:
    output: Fields = {}
    if request.output is not None and request.output.kind == "json_schema":
        schema: Fields = {"schema": _encode(request.output.schema or {}).decode()}
        if request.output.name is not None:
            schema["name"] = request.output.name
        output["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": schema}}
    if request.reasoning_effort not in (None, "none"):
        output["effort"] = "low" if request.reasoning_effort == "minimal" else request.reasoning_effort
    return output


def rewrite_request(fields: Fields, before: ChatRequest, after: ChatRequest) -> None:
    """Puts what the guards changed between `before` and `after` into `fields`; all else stays as it came."""
    table = substitutions(before, after)
    if not table:
        return
    changed: Fields = {name: substituted(value, table) for name, value in fields.items()}
    again = decode_request(_encode(changed), model=after.model, is_stream=after.is_stream).request
    if not is_same(again, after):
        changed |= encode_request(after)
    fields.clear()
    fields.update(changed)


def prepare(fields: Fields, *, cap_tokens: int | None) -> None:
    """The output cap where one is due; the path says the rest."""
    if cap_tokens is not None:
        config = fields.get(CONFIG) or {}
        plain = _decode_any(config) if isinstance(config, msgspec.Raw) else config
        fields[CONFIG] = {**plain, "maxTokens": cap_tokens}
