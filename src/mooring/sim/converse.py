"""The wire of AWS Bedrock's Converse, as this double reads it: strict, so that a leaked field is found."""

import re
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import unquote

import msgspec

from .conversation import (
    CalledFunction,
    CalledTool,
    ChatBody,
    ChosenFunction,
    Function,
    Message,
    NamedChoice,
    NamedSchema,
    Part,
    ResponseFormat,
    Tool,
    check_chat,
)
from .errors import BadRequest

_encode = msgspec.json.Encoder().encode
_PATH = re.compile(r"/model/([^/]+)/(converse|converse-stream)")


class Asked(NamedTuple):
    """What the path says."""

    model: str
    is_stream: bool


class _Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """All fields that the API documents; any other is refused, as there."""


class _ToolUse(_Strict):
    tool_use_id: Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z0-9_.:-]{1,64}$")]
    name: str
    input: dict[str, Any]


class _Text(_Strict):
    text: Annotated[str, msgspec.Meta(min_length=1)]
    signature: str | None = None


class _Reasoning(_Strict):
    reasoning_text: _Text | None = None
    redacted_content: str | None = None


class _Media(_Strict):
    source: dict[str, Any]
    format: str | None = None
    name: str | None = None


class _CachePoint(_Strict):
    type: Literal["default"]
    ttl: str | None = None


class _Inner(_Strict):
    text: str | None = None
    json: Any = None
    image: _Media | None = None
    document: _Media | None = None


class _ToolResult(_Strict):
    tool_use_id: str
    content: list[_Inner]
    status: Literal["success", "error"] = "success"


class _Block(_Strict):
    text: str | None = None
    image: _Media | None = None
    audio: _Media | None = None
    document: _Media | None = None
    tool_use: _ToolUse | None = None
    tool_result: _ToolResult | None = None
    reasoning_content: _Reasoning | None = None
    cache_point: _CachePoint | None = None


class _Turn(_Strict):
    role: Literal["user", "assistant", "system"]
    content: Annotated[list[_Block], msgspec.Meta(min_length=1)]


class _System(_Strict):
    text: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    cache_point: _CachePoint | None = None


class _Spec(_Strict):
    name: str
    input_schema: dict[Literal["json"], dict[str, Any]]
    description: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    strict: bool | None = None


class _Tool(_Strict):
    tool_spec: _Spec | None = None
    cache_point: _CachePoint | None = None


class _Named(_Strict):
    name: str


class _Choice(_Strict):
    auto: dict[str, Any] | None = None
    any: dict[str, Any] | None = None
    tool: _Named | None = None


class _ToolConfig(_Strict):
    tools: Annotated[list[_Tool], msgspec.Meta(min_length=1)]
    tool_choice: _Choice | None = None


class _Inference(_Strict):
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    stop_sequences: list[str] | None = None


class _Output(_Strict):
    text_format: dict[str, Any] | None = None
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None


class _Body(_Strict):
    messages: Annotated[list[_Turn], msgspec.Meta(min_length=1)]
    system: list[_System] | None = None
    tool_config: _ToolConfig | None = None
    inference_config: _Inference | None = None
    output_config: _Output | None = None
    additional_model_request_fields: dict[str, Any] | None = None
    request_metadata: dict[str, str] | None = None


_decoder = msgspec.json.Decoder(_Body)


def converse_of(path: str) -> Asked | None:
    """Model and way of answering, at a path of this wire."""
    found = _PATH.fullmatch(path)
    return Asked(unquote(found[1]), found[2] == "converse-stream") if found else None


def check_authorized(headers: dict[str, str]) -> None:
    """Whether somebody has signed; what the signature is worth is not this double's business.

    Raises:
        BadRequest: there is neither a signature nor a key.
    """
    given = headers.get("authorization", "")
    is_signed = given.startswith("AWS4-HMAC-SHA256 Credential=") and "x-amz-date" in headers
    if not (is_signed or given.startswith("Bearer ")):
        raise BadRequest("Missing Authentication Token", status=403)


def decode_converse(body: bytes, asked: Asked) -> tuple[ChatBody, int]:
    """The request in a body, in the double's own words, and how many of its messages are marked for the cache.

    Raises:
        BadRequest: no JSON, a wrong type, an unknown field, or a conversation that Bedrock would refuse.
    """
    try:
        wire = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The format of the request is wrong: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body is not JSON: {error}") from error
    messages: list[Message] = []
    marked = 0
    for block in wire.system or ():
        if block.text is not None:
            messages.append(Message("system", block.text))
        marked = len(messages) if block.cache_point else marked
    last = ""
    for turn in wire.messages:
        if turn.role == last:
            raise BadRequest("A conversation must alternate between user and assistant roles.")
        last = turn.role
        _add(turn, messages)
        marked = len(messages) if any(block.cache_point for block in turn.content) else marked
    has_calls = any(message.tool_calls or message.role == "tool" for message in messages)
    if has_calls and wire.tool_config is None:
        raise BadRequest("The toolConfig field must be defined when using toolUse and toolResult content blocks.")
    config = wire.inference_config or _Inference()
    chat = ChatBody(
        model=asked.model,
        messages=messages,
        stream=asked.is_stream,
        tools=_tools(wire.tool_config) or None,
        tool_choice=_choice(wire.tool_config.tool_choice) if wire.tool_config else None,
        response_format=_format(wire.output_config),
        stop=config.stop_sequences,
        max_tokens=config.max_tokens,
    )
    check_chat(chat)
    return chat, marked


def _add(turn: _Turn, messages: list[Message]) -> None:
    rest: list[Part] = []
    calls: list[CalledTool] = []
    for block in turn.content:
        if sum(getattr(block, name) is not None for name in _Block.__struct_fields__) != 1:
            raise BadRequest("A content block holds exactly one kind of content.")
        if block.text is not None and not block.text.strip():
            raise BadRequest("The text field in the ContentBlock object is blank.")
        if block.tool_use is not None:
            made = block.tool_use
            calls.append(CalledTool(made.tool_use_id, CalledFunction(made.name, _encode(made.input).decode())))
        elif block.tool_result is not None:
            said = [Part("text", inner.text or "") for inner in block.tool_result.content]
            messages.append(Message("tool", said, tool_call_id=block.tool_result.tool_use_id))
        elif block.text is not None:
            rest.append(Part("text", block.text))
        elif block.reasoning_content is None and block.cache_point is None:
            rest.append(Part("media"))
    if rest or calls:
        messages.append(Message(turn.role, rest or None, tool_calls=calls or None))


def _tools(config: _ToolConfig | None) -> list[Tool]:
    specs = [tool.tool_spec for tool in config.tools if tool.tool_spec is not None] if config else []
    return [Tool("function", Function(spec.name, spec.description, spec.input_schema["json"])) for spec in specs]


def _choice(choice: _Choice | None) -> Any:
    if choice is None:
        return None
    if choice.tool is not None:
        return NamedChoice("function", ChosenFunction(choice.tool.name))
    return "required" if choice.any is not None else "auto"


def _format(output: _Output | None) -> ResponseFormat | None:
    if output is None or output.text_format is None:
        return None
    schema = output.text_format["structure"]["jsonSchema"]["schema"]
    return ResponseFormat("json_schema", NamedSchema("answer", msgspec.json.decode(schema)))
