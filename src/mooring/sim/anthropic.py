"""The wire of Anthropic's messages, as this double reads and writes it: strict, so that a leaked field is found."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec

from .chat import Completion, Frame, Usage
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
from .dialect import Dialect
from .errors import BadRequest
from .generate import Choice, pieces
from .models import Marked, input_tokens, tokens

_encode = msgspec.json.Encoder().encode
_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error", 529: "overloaded_error"}


class _Block(msgspec.Struct):
    type: Literal[
        "text", "image", "document", "thinking", "redacted_thinking", "tool_use", "tool_result", "search_result"
    ]
    text: str = ""
    thinking: str = ""
    signature: str | None = None
    id: str = ""
    name: str = ""
    input: dict[str, Any] = {}
    tool_use_id: str = ""
    content: str | list["_Block"] = ""
    source: dict[str, Any] | str | None = None
    cache_control: dict[str, Any] | None = None


class _Turn(msgspec.Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[_Block]


class _Tool(msgspec.Struct):
    name: str
    input_schema: dict[str, Any]
    description: str | None = None
    type: Literal["custom"] = "custom"
    strict: bool | None = None
    cache_control: dict[str, Any] | None = None


class _Choice(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class _Format(msgspec.Struct):
    type: Literal["json_schema"]
    schema: dict[str, Any]


class _Config(msgspec.Struct, forbid_unknown_fields=True):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: _Format | None = None


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    """All fields that the API documents; any other is refused, as there."""

    model: str
    messages: Annotated[list[_Turn], msgspec.Meta(min_length=1)]
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    system: str | list[_Block] | None = None
    tools: list[_Tool] | None = None
    tool_choice: _Choice | None = None
    output_config: _Config | None = None
    thinking: dict[str, Any] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    stream: bool = False
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None
    cache_control: dict[str, Any] | None = None
    context_management: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(_Body)


def decode_messages(body: bytes, *, is_count: bool = False) -> tuple[ChatBody, Marked]:
    """The request in a body, in the double's own words, and what of it is marked for the cache.

    Raises:
        BadRequest: no JSON, a wrong type, an unknown field, or a conversation that Anthropic would refuse.
    """
    try:
        asked = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise BadRequest(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The request body is not valid JSON: {error}") from error
    if asked.max_tokens is None and not is_count:
        raise BadRequest("max_tokens: Field required")
    messages: list[Message] = []
    marked, marks = 0, [tool.cache_control for tool in asked.tools or () if tool.cache_control]
    for block in _system(asked.system):
        messages.append(Message("system", block.text))
        if block.cache_control:
            marked = len(messages)
            marks.append(block.cache_control)
    for turn in asked.messages:
        found = _add(turn, messages)
        marked = len(messages) if found else marked
        marks += found
    if asked.cache_control:  # the vendor puts the mark itself, on the last block
        marked = len(messages)
        marks.append(asked.cache_control)
    body_ = ChatBody(
        model=asked.model,
        messages=messages,
        stream=asked.stream,
        tools=[Tool("function", Function(tool.name, tool.description, tool.input_schema)) for tool in asked.tools or ()]
        or None,
        tool_choice=_choice(asked.tool_choice),
        parallel_tool_calls=not (asked.tool_choice and asked.tool_choice.disable_parallel_tool_use),
        response_format=_format(asked.output_config),
        stop=asked.stop_sequences,
        max_tokens=asked.max_tokens,
    )
    check_chat(body_)
    return body_, Marked(marked, any(mark.get("ttl") == "1h" for mark in marks))


def _system(system: str | list[_Block] | None) -> list[_Block]:
    return [_Block("text", system)] if isinstance(system, str) else system or []


def _add(turn: _Turn, messages: list[Message]) -> list[dict[str, Any]]:
    """Add a turn; the marks of the cache that stand in it."""
    if isinstance(turn.content, str):
        messages.append(Message(turn.role, turn.content))
        return []
    rest: list[Part] = []
    calls: list[CalledTool] = []
    for block in turn.content:
        if block.type == "text" and not block.text:
            raise BadRequest("messages: text content blocks must be non-empty")
        if block.type == "thinking" and not block.signature:
            raise BadRequest("messages: thinking blocks need their signature")
        if block.type == "tool_use":
            calls.append(CalledTool(block.id, CalledFunction(block.name, _encode(block.input).decode())))
        elif block.type == "tool_result":
            content = block.content if isinstance(block.content, str) else [_part(inner) for inner in block.content]
            messages.append(Message("tool", content, tool_call_id=block.tool_use_id))
        elif block.type not in ("thinking", "redacted_thinking"):
            rest.append(_part(block))
    if rest or calls:
        messages.append(Message(turn.role, rest or None, tool_calls=calls or None))
    return [block.cache_control for block in turn.content if block.cache_control]


def _part(block: _Block) -> Part:
    return Part(block.type, block.text)


def _choice(choice: _Choice | None) -> Any:
    if choice is None:
        return None
    if choice.type == "tool":
        return NamedChoice("function", ChosenFunction(choice.name or ""))
    return {"auto": "auto", "any": "required", "none": "none"}[choice.type]


def _format(config: _Config | None) -> ResponseFormat | None:
    if config is None or config.format is None:
        return None
    return ResponseFormat("json_schema", NamedSchema("answer", config.format.schema))


def count_body(asked: ChatBody) -> bytes:
    """The answer of `count_tokens`."""
    return _encode({"input_tokens": input_tokens(asked)})


# Answers ----------------------------------------------------------------------


def usage_fields(usage: Usage) -> dict[str, Any]:
    """What was read from the cache or written to it stands beside the input, not in it."""
    beside = usage.cached_input_tokens + usage.cache_write_tokens
    return {
        "input_tokens": usage.input_tokens - beside,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": 0 if usage.is_kept_for_an_hour else usage.cache_write_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_tokens if usage.is_kept_for_an_hour else 0,
        },
        "cache_read_input_tokens": usage.cached_input_tokens,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
        "service_tier": "standard",
    }


def whole(completion: Completion) -> bytes:
    """The whole answer."""
    return _encode(_message(completion, completion.choices[0]))


def _message(completion: Completion, choice: Choice | None) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if choice is not None:
        if choice.reasoning:
            signature = f"sig-{tokens(choice.reasoning)}"
            content.append({"type": "thinking", "thinking": choice.reasoning, "signature": signature})
        if choice.text:
            content.append({"type": "text", "text": choice.text})
        for made in choice.calls:
            content.append({"type": "tool_use", "id": made.id, "name": made.name, "input": _input(made.arguments)})
    usage = completion.usage if choice is not None else completion.usage._replace(output_tokens=1, reasoning_tokens=0)
    return {
        "id": f"msg_{completion.id}",
        "type": "message",
        "role": "assistant",
        "model": completion.model,
        "content": content,
        "stop_reason": _STOPS[choice.finish_reason] if choice is not None else None,
        "stop_sequence": None,
        "usage": usage_fields(usage),
    }


def _input(arguments: str) -> Any:
    try:
        return msgspec.json.decode(arguments or "{}")
    except msgspec.DecodeError:
        return {}  # cut by the limit


def event(data: bytes) -> bytes:
    """One server-sent event with the name that its type is."""
    name = msgspec.json.decode(data)["type"]
    return b"event: " + str(name).encode() + b"\ndata: " + data + b"\n\n"


def _event(**fields: Any) -> bytes:
    return event(_encode(fields))


DONE = _event(type="message_stop")


def stream(completion: Completion, has_usage: bool) -> Iterator[Frame]:
    """A streamed answer; each block is opened with its first delta, and closed with what follows it."""
    choice = completion.choices[0]
    yield Frame("head", b"")
    yield Frame("role", _event(type="message_start", message=_message(completion, None)) + _event(type="ping"))
    index, kind = -1, ""
    for piece in pieces(choice):
        made = msgspec.json.decode(piece.delta)
        name, block, delta = _delta(made)
        data = b""
        if block.get("id") or name != kind:
            data += _closed(index, kind, choice)
            index, kind = index + 1, name
            data += _event(type="content_block_start", index=index, content_block=block)
        if delta:
            data += _event(type="content_block_delta", index=index, delta=delta)
        yield Frame("event", data, piece.output_tokens, piece.reasoning_tokens)
    yield Frame("finish", _closed(index, kind, choice))
    delta = {"stop_reason": _STOPS[choice.finish_reason], "stop_sequence": None}
    yield Frame("usage", _event(type="message_delta", delta=delta, usage=usage_fields(completion.usage)))
    yield Frame("done", DONE)
    yield Frame("end", b"")


def _delta(made: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any] | None]:
    """The block that a piece belongs to, and its delta."""
    if "content" in made:
        return "text", {"type": "text", "text": ""}, {"type": "text_delta", "text": made["content"]}
    if "reasoning_content" in made:
        block = {"type": "thinking", "thinking": "", "signature": ""}
        return "thinking", block, {"type": "thinking_delta", "thinking": made["reasoning_content"]}
    call = made["tool_calls"][0]
    if "id" in call:
        opened: dict[str, Any] = {"type": "tool_use", "id": call["id"], "name": call["function"]["name"], "input": {}}
        return "tool_use", opened, None
    return "tool_use", {}, {"type": "input_json_delta", "partial_json": call["function"]["arguments"]}


def _closed(index: int, kind: str, choice: Choice) -> bytes:
    if index < 0:
        return b""
    data = b""
    if kind == "thinking":
        delta = {"type": "signature_delta", "signature": f"sig-{tokens(choice.reasoning)}"}
        data = _event(type="content_block_delta", index=index, delta=delta)
    return data + _event(type="content_block_stop", index=index)


def error(message: str, *, kind: str, param: str | None = None, code: str | None = None, status: int = 500) -> bytes:
    """An error as Anthropic shapes it."""
    name = _TYPES.get(status) or ("invalid_request_error" if kind == "invalid_request_error" else "api_error")
    return _encode({"type": "error", "error": {"type": name, "message": message}, "request_id": None})


ANTHROPIC = Dialect(
    whole=whole,
    stream=stream,
    error=error,
    usage="usage",
    wrong_usage={"input_tokens": 1, "output_tokens": -3, "cache_read_input_tokens": -999_999},
    done=DONE,
    empty=b"{}",
    event=event,
)
