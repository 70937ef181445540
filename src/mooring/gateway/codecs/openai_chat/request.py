"""OpenAI chat requests: body to canonical request and back, and edits of a body that passes through."""

from typing import Any, Literal

import msgspec

from mooring.core.errors import InvalidRequest
from mooring.core.messages import ChatRequest, Message, OutputFormat, ToolChoice, ToolSpec

from .. import Fields, WireRequest
from .message import WireMessage, message_of, patch_message, wire_message

MOST_OUTPUT_TOKENS = 100_000_000  # no model comes near; its price still fits a column
_Body = dict[str, msgspec.Raw]


class _Function(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Tool(msgspec.Struct):
    type: str = "function"
    function: _Function | None = None
    custom: _Function | None = None


class _Named(msgspec.Struct):
    name: str


class _Choice(msgspec.Struct):
    type: str
    function: _Named | None = None
    custom: _Named | None = None


class _Schema(msgspec.Struct):
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class _Format(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _Schema | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Request(msgspec.Struct):
    model: str
    messages: list[WireMessage]
    tools: list[_Tool] | None = None
    tool_choice: str | _Choice | None = None
    parallel_tool_calls: bool | None = None
    response_format: _Format | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    n: int | None = None
    reasoning_effort: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None


KNOWN = frozenset(_Request.__struct_fields__)
_decode_fields = msgspec.json.Decoder(_Body).decode
_decode_request = msgspec.json.Decoder(_Request).decode
_decode_slices = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode


def decode_request(body: bytes) -> WireRequest:
    """What the caller asks for.

    Raises:
        InvalidRequest: not JSON, or a field of another type; `param` is its path.
    """
    try:
        fields = _decode_fields(body)
        wire = _decode_request(body)
        if not wire.messages:
            raise InvalidRequest("'messages' is empty; send at least one message.", param="messages")
        return WireRequest(request=_request_of(wire, fields), fields=dict(fields))
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        param = path.rstrip("`").lstrip(".") or None
        raise InvalidRequest(f"{message}{f' at {param}' if param else ''}.", param=param) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.") from error


def elements(fields: Fields) -> tuple[bytes, ...]:
    """Each message's JSON as it stands in the body."""
    messages = fields["messages"]
    if isinstance(messages, msgspec.Raw):
        return tuple(map(bytes, _decode_slices(messages)))
    return tuple(map(msgspec.json.encode, messages))


def _request_of(wire: _Request, fields: _Body) -> ChatRequest:
    cap = wire.max_completion_tokens if wire.max_completion_tokens is not None else wire.max_tokens
    n = 1 if wire.n is None else wire.n
    if n < 1 or n > 128:
        raise InvalidRequest(f"'n' is {n}; it must be between 1 and 128.", param="n")
    if cap is not None and not 1 <= cap <= MOST_OUTPUT_TOKENS:
        raise InvalidRequest(
            f"The output cap must be between 1 and {MOST_OUTPUT_TOKENS} tokens.", param="max_completion_tokens"
        )
    for name, value in (("model", wire.model), ("user", wire.user)):
        if value is not None and "\0" in value:
            raise InvalidRequest(f"'{name}' holds a NUL character.", param=name)
    extra = {name: _decode_any(value) for name, value in fields.items() if name not in KNOWN}
    if wire.tools and any(tool.type not in ("function", "custom") for tool in wire.tools):
        extra["vendor_tools"] = [
            tool for tool in _decode_any(fields["tools"]) if tool.get("type") not in ("function", "custom")
        ]
    stop = (wire.stop,) if isinstance(wire.stop, str) else tuple(wire.stop or ())
    return ChatRequest(
        model=wire.model,
        messages=tuple(map(message_of, wire.messages)),
        tools=tuple(map(_tool_of, wire.tools)) if wire.tools else (),
        tool_choice=_choice_of(wire.tool_choice),
        allows_parallel_tools=wire.parallel_tool_calls,
        output=_output_of(wire.response_format),
        max_output_tokens=cap,
        temperature=wire.temperature,
        top_p=wire.top_p,
        stop=stop,
        seed=wire.seed,
        n=n,
        reasoning_effort=wire.reasoning_effort,
        is_stream=bool(wire.stream),
        wants_usage=not wire.stream or bool(wire.stream_options and wire.stream_options.include_usage),
        user=wire.user,
        metadata=wire.metadata or {},
        extra=extra,
    )


def _tool_of(tool: _Tool) -> ToolSpec:
    function = tool.function or tool.custom
    if function is None:
        return ToolSpec(name=tool.type)  # a vendor's own tool: policy sees its type as its name
    return ToolSpec(
        name=function.name,
        description=function.description or "",
        parameters=function.parameters or {},
        is_strict=function.strict,
    )


def _choice_of(choice: str | _Choice | None) -> ToolChoice | None:
    match choice:
        case None:
            return None
        case "auto" | "none" | "required":
            return ToolChoice(mode=choice)
        case "any":  # Mistral's clients say so
            return ToolChoice(mode="required")
        case str():
            raise InvalidRequest(
                f"Unknown tool_choice '{choice[:40]}'. Known: auto, none, required.", param="tool_choice"
            )
    named = choice.function or choice.custom
    return ToolChoice(mode="named", name=named.name) if named else ToolChoice(mode="auto")


def _output_of(format_: _Format | None) -> OutputFormat | None:
    if format_ is None:
        return None
    schema = format_.json_schema
    if schema is None:
        return OutputFormat(kind=format_.type)
    return OutputFormat(kind=format_.type, schema=schema.schema, name=schema.name, is_strict=schema.strict)


def encode_request(request: ChatRequest) -> Fields:
    """The whole request in this wire's fields, for callers that came by another wire."""
    fields: Fields = {"model": request.model, "messages": list(map(wire_message, request.messages))}
    plain = {
        "parallel_tool_calls": request.allows_parallel_tools,
        "max_completion_tokens": request.max_output_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop": list(request.stop) or None,
        "seed": request.seed,
        "n": request.n if request.n != 1 else None,
        "reasoning_effort": request.reasoning_effort,
        "stream": request.is_stream or None,
        "user": request.user,
        "metadata": request.metadata or None,
        "tools": [_wire_tool(tool) for tool in request.tools] or None,
        "tool_choice": _wire_choice(request.tool_choice),
        "response_format": _wire_output(request.output),
        "stream_options": {"include_usage": True} if request.is_stream and request.wants_usage else None,
    }
    fields.update((name, value) for name, value in plain.items() if value is not None)
    fields.update((name, value) for name, value in request.extra.items() if name not in ("vendor_tools", *fields))
    return fields


def _wire_tool(tool: ToolSpec) -> Fields:
    function: Fields = {"name": tool.name, "parameters": tool.parameters}
    if tool.description:
        function["description"] = tool.description
    if tool.is_strict is not None:
        function["strict"] = tool.is_strict
    return {"type": "function", "function": function}


def _wire_choice(choice: ToolChoice | None) -> object:
    if choice is None:
        return None
    return {"type": "function", "function": {"name": choice.name}} if choice.mode == "named" else choice.mode


def _wire_output(output: OutputFormat | None) -> Fields | None:
    if output is None:
        return None
    if output.kind != "json_schema":
        return {"type": output.kind}
    schema: Fields = {"name": output.name or "answer", "schema": output.schema}
    if output.is_strict is not None:
        schema["strict"] = output.is_strict
    return {"type": "json_schema", "json_schema": schema}


def rewrite_request(fields: Fields, before: ChatRequest, after: ChatRequest) -> None:
    """Puts what differs between `before` and `after` into `fields`; unchanged messages keep their bytes."""
    if after.messages != before.messages:
        fields["messages"] = _rewritten_messages(fields["messages"], before.messages, after.messages)
    if after.tools != before.tools:
        fields["tools"] = [_wire_tool(tool) for tool in after.tools]
    old, new = encode_request(_bare(before)), encode_request(_bare(after))
    for name in old.keys() | new.keys():
        if old.get(name) == new.get(name) or name in ("model", "messages", "tools"):
            continue
        if name in new:
            fields[name] = new[name]
        else:
            fields.pop(name, None)


def _bare(request: ChatRequest) -> ChatRequest:
    return msgspec.structs.replace(request, messages=(), tools=())


def _rewritten_messages(raw: Any, before: tuple[Message, ...], after: tuple[Message, ...]) -> list[Any]:
    if len(before) != len(after):
        return [wire_message(message) for message in after]
    slices = _decode_slices(raw)
    return [
        slice_ if old == new else patch_message(_decode_any(slice_), old, new)
        for slice_, old, new in zip(slices, before, after, strict=True)
    ]


def prepare(fields: Fields, *, model: str, is_stream: bool, cap_field: str | None, cap_tokens: int) -> None:
    """The target's model name, usage asked for in a stream, and the output cap where one is due."""
    fields["model"] = model
    choice = fields.get("tool_choice")
    if isinstance(choice, msgspec.Raw) and bytes(choice) == b'"any"':
        fields["tool_choice"] = "required"  # the word that every server of this wire knows, Mistral's too
    if is_stream:
        options = fields.get("stream_options")
        if isinstance(options, msgspec.Raw):
            options = _decode_any(options)
        fields["stream_options"] = {**(options or {}), "include_usage": True}
    if cap_field is not None:
        fields[cap_field] = cap_tokens
