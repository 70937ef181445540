"""Gemini requests: body to canonical request and back, and edits of a body that passes through.

Model and streaming are said by the path, not by the body.
"""

from typing import Any

import msgspec

from mooring.core.errors import InvalidRequest
from mooring.core.messages import ChatRequest, Message, OutputFormat, ToolChoice, ToolSpec

from ...fidelity import VENDOR_TOOLS
from ...rewriting import is_same, substituted, substitutions
from .. import Fields, WireRequest
from ..openai_chat.request import MOST_OUTPUT_TOKENS
from .message import Content, camel, is_vendors_own, messages_of, part_of, wire_contents, wire_part

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.encode
CONFIG, CONFIG_SNAKE = "generationConfig", "generation_config"
_EFFORTS = ((0, "none"), (2048, "low"), (8192, "medium"))
# Before the third generation efforts are budgets; the figures are those of Google's own OpenAI-compatible address.
_BUDGETS = {"minimal": 512, "low": 1024, "medium": 8192, "high": 24_576}


class _Declaration(msgspec.Struct, rename="camel"):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    parameters_json_schema: dict[str, Any] | None = None


class _Calling(msgspec.Struct, rename="camel"):
    mode: str | None = None
    allowed_function_names: list[str] | None = None


class _ToolConfig(msgspec.Struct, rename="camel"):
    function_calling_config: _Calling | None = None


class _Thinking(msgspec.Struct, rename="camel"):
    thinking_budget: int | None = None
    thinking_level: str | None = None


class _Config(msgspec.Struct, rename="camel"):
    temperature: float | None = None
    top_p: float | None = None
    candidate_count: int | None = None
    max_output_tokens: int | None = None
    stop_sequences: list[str] | None = None
    seed: int | None = None
    response_mime_type: str | None = None
    response_schema: dict[str, Any] | None = None
    response_json_schema: dict[str, Any] | None = None
    thinking_config: _Thinking | None = None


class _Request(msgspec.Struct, rename="camel"):
    contents: list[Content]
    system_instruction: Content | None = None
    tools: list[dict[str, Any]] | None = None
    tool_config: _ToolConfig | None = None
    generation_config: _Config | None = None


KNOWN = frozenset(_Request.__struct_encode_fields__)
_KNOWN_CONFIG = frozenset(_Config.__struct_encode_fields__)


def decode_request(body: bytes, *, model: str | None, is_stream: bool) -> WireRequest:
    """What the caller asks for.

    Raises:
        InvalidRequest: not JSON, or a field of another type; `param` is its path.
    """
    try:
        fields: Fields = dict(_decode_fields(body))
        plain = camel(_decode_any(body))
        if isinstance(plain.get("contents"), dict):
            plain["contents"] = [plain["contents"]]
        wire = msgspec.convert(plain, _Request)
        if not wire.contents:
            raise InvalidRequest("'contents' is empty; send at least one.", param="contents")
        return WireRequest(_request_of(wire, plain, model or "", is_stream), fields)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        param = path.rstrip("`").lstrip(".") or None
        raise InvalidRequest(f"{message}{f' at {param}' if param else ''}.", param=param) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.") from error


def _request_of(wire: _Request, plain: dict[str, Any], model: str, is_stream: bool) -> ChatRequest:
    config = wire.generation_config or _Config()
    cap, n = config.max_output_tokens, config.candidate_count or 1
    if not model or "\0" in model:
        raise InvalidRequest("The path names no model.", param="model")
    if not 1 <= n <= 128:
        raise InvalidRequest(f"'candidateCount' is {n}; it must be between 1 and 128.", param="candidateCount")
    if cap is not None and not 1 <= cap <= MOST_OUTPUT_TOKENS:
        raise InvalidRequest(f"'maxOutputTokens' must be between 1 and {MOST_OUTPUT_TOKENS}.", param="maxOutputTokens")
    system: list[Message] = []
    if wire.system_instruction is not None:
        parts = tuple(part_of(raw, "") for raw in wire.system_instruction.parts or ())
        system.append(Message("system", parts))
    tools, own = _tools_of(wire.tools or [])
    choice = _choice_of(wire.tool_config)
    return ChatRequest(
        model=model,
        messages=(*system, *messages_of(wire.contents)),
        tools=tuple(tools),
        tool_choice=choice if tools else None,
        output=_output_of(config),
        max_output_tokens=cap,
        temperature=config.temperature,
        top_p=config.top_p,
        stop=tuple(config.stop_sequences or ()),
        seed=config.seed,
        n=n,
        reasoning_effort=_effort_of(config.thinking_config),
        is_stream=is_stream,
        extra=_extra(wire, plain, own),
    )


def _is_text(modalities: Any) -> bool:
    return isinstance(modalities, list) and all(str(one).lower() == "text" for one in modalities)


def _extra(wire: _Request, plain: dict[str, Any], own: list[Any]) -> dict[str, Any]:
    """What only this wire says, the settings of generation under their whole names."""
    extra = {name: value for name, value in plain.items() if name not in KNOWN}
    config = plain.get(CONFIG) or {}
    if _is_text(config.get("responseModalities")):  # what it is without being asked for, too
        config = {name: value for name, value in config.items() if name != "responseModalities"}
    extra.update({f"{CONFIG}.{name}": value for name, value in config.items() if name not in _KNOWN_CONFIG})
    names = wire.tool_config.function_calling_config if wire.tool_config else None
    if names is not None and len(names.allowed_function_names or ()) > 1:
        extra["allowedFunctionNames"] = names.allowed_function_names
    own += [
        {"type": next(iter(raw), "part")}
        for content in wire.contents
        for raw in content.parts or ()
        if is_vendors_own(raw)
    ]
    return extra | ({VENDOR_TOOLS: own} if own else {})


def _tools_of(tools: list[dict[str, Any]]) -> tuple[list[ToolSpec], list[Any]]:
    """The functions, and the vendor's own tools, which policy sees by their names."""
    specs: list[ToolSpec] = []
    own: list[Any] = []
    for tool in tools:
        for name, value in tool.items():
            if name == "functionDeclarations":
                specs += [_spec(msgspec.convert(one, _Declaration)) for one in value]
            else:
                specs.append(ToolSpec(name=name))
                own.append({"type": name})
    return specs, own


def _spec(declared: _Declaration) -> ToolSpec:
    schema = declared.parameters_json_schema or lowered(declared.parameters or {})
    return ToolSpec(name=declared.name, description=declared.description or "", parameters=schema)


def lowered(schema: Any) -> Any:
    """Google's own schemas write their types in capitals; JSON Schema does not."""
    if isinstance(schema, list):
        return [lowered(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: item.lower() if key == "type" and isinstance(item, str) else lowered(item) for key, item in schema.items()
    }


def _choice_of(config: _ToolConfig | None) -> ToolChoice | None:
    calling = config.function_calling_config if config is not None else None
    if calling is None or calling.mode in (None, "MODE_UNSPECIFIED"):
        return None
    match calling.mode:
        case "ANY":
            names = calling.allowed_function_names or []
            return ToolChoice("named", names[0]) if len(names) == 1 else ToolChoice("required")
        case "NONE":
            return ToolChoice("none")
    return ToolChoice("auto")


def _output_of(config: _Config) -> OutputFormat | None:
    if config.response_mime_type != "application/json":
        return None
    schema = config.response_json_schema or config.response_schema
    return OutputFormat("json_object") if schema is None else OutputFormat("json_schema", lowered(schema))


def _effort_of(thinking: _Thinking | None) -> str | None:
    if thinking is None:
        return None
    if thinking.thinking_level is not None:
        return thinking.thinking_level.lower()
    budget = thinking.thinking_budget
    if budget is None or budget < 0:
        return None
    return next((effort for most, effort in _EFFORTS if budget <= most), "high")


# The way out -----------------------------------------------------------------


def encode_request(request: ChatRequest) -> Fields:
    """The whole request in this wire's fields, for callers that came by another wire."""
    messages = list(request.messages)
    system: list[dict[str, Any]] = []
    while messages and messages[0].role == "system":
        system += [wire for part in messages.pop(0).parts if (wire := wire_part(part)) is not None]
    fields: Fields = {"contents": wire_contents(messages)}
    if system:
        fields["systemInstruction"] = {"parts": system}
    if request.tools:
        fields["tools"] = [{"functionDeclarations": [_wire_tool(tool) for tool in request.tools]}]
    if request.tool_choice is not None and request.tools:
        fields["toolConfig"] = {"functionCallingConfig": _wire_choice(request.tool_choice)}
    config = _wire_config(request)
    if config:
        fields[CONFIG] = config
    return fields


def _wire_tool(tool: ToolSpec) -> Fields:
    wire: Fields = {"name": tool.name}
    if tool.description:
        wire["description"] = tool.description
    if tool.parameters:
        wire["parametersJsonSchema"] = tool.parameters
    return wire


def _wire_choice(choice: ToolChoice) -> Fields:
    if choice.mode == "named":
        return {"mode": "ANY", "allowedFunctionNames": [choice.name]}
    return {"mode": {"auto": "AUTO", "none": "NONE", "required": "ANY"}[choice.mode]}


def _wire_config(request: ChatRequest) -> Fields:
    output, effort = request.output, request.reasoning_effort
    is_json = output is not None and output.kind != "text"
    plain: Fields = {
        "temperature": request.temperature,
        "topP": request.top_p,
        "candidateCount": request.n if request.n != 1 else None,
        "maxOutputTokens": request.max_output_tokens,
        "stopSequences": list(request.stop) or None,
        "seed": request.seed,
        "responseMimeType": "application/json" if is_json else None,
        "responseJsonSchema": output.schema if output is not None and output.kind == "json_schema" else None,
    }
    if effort is not None:
        plain["thinkingConfig"] = {"thinkingBudget": 0} if effort == "none" else {"thinkingLevel": effort}
    return {name: value for name, value in plain.items() if value is not None}


def rewrite_request(fields: Fields, before: ChatRequest, after: ChatRequest) -> None:
    """Puts what the guards changed between `before` and `after` into `fields`; all else stays as it came."""
    table = substitutions(before, after)
    if not table:
        return
    changed: Fields = {name: substituted(value, table) for name, value in fields.items()}
    again = decode_request(_encode(changed), model=after.model, is_stream=after.is_stream).request
    if not is_same(again, after):
        known = {name for name in changed if camel({name: 0}).keys() & KNOWN}
        changed = {name: value for name, value in changed.items() if name not in known} | encode_request(after)
    fields.clear()
    fields.update(changed)


def prepare(fields: Fields, *, model: str, cap_tokens: int | None) -> None:
    """The output cap where one is due, and efforts as the model's generation takes them."""
    name = CONFIG_SNAKE if CONFIG_SNAKE in fields else CONFIG
    if cap_tokens is not None:
        config = fields.get(name) or {}
        fields[name] = {**(_decode_any(config) if isinstance(config, msgspec.Raw) else config)}
        fields[name]["maxOutputTokens"] = cap_tokens
    config = fields.get(CONFIG)
    if isinstance(config, dict) and model.startswith("gemini-2"):
        thinking = config.get("thinkingConfig") or {}
        level = thinking.get("thinkingLevel")
        if level in _BUDGETS:
            config["thinkingConfig"] = {"thinkingBudget": _BUDGETS[level]}
