"""Anthropic requests: body to canonical request and back, and edits of a body that passes through."""

from typing import Any, Literal

import msgspec

from mooring.core.errors import InvalidRequest
from mooring.core.messages import ChatRequest, Message, OutputFormat, TextPart, ToolChoice, ToolSpec

from ...fidelity import VENDOR_TOOLS
from ...rewriting import is_same, substituted, substitutions
from .. import Fields, WireRequest
from ..openai_chat.request import MOST_OUTPUT_TOKENS
from .message import Block, Turn, decode_block, is_vendors_own, messages_of, wire_turns

_Body = dict[str, msgspec.Raw]
# What a client's own settings of thinking mean as an effort, by the budget's tokens; and the other way round.
_EFFORT_BUDGETS = ((2048, "low"), (8192, "medium"))


class _Tool(msgspec.Struct):
    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None
    cache_control: Any = None


class _Choice(msgspec.Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Format(msgspec.Struct):
    type: str
    schema: dict[str, Any] | None = None


class _OutputConfig(msgspec.Struct):
    effort: str | None = None
    format: _Format | None = None


class _Thinking(msgspec.Struct):
    type: str
    budget_tokens: int | None = None


class _Metadata(msgspec.Struct):
    user_id: str | None = None


class _Request(msgspec.Struct):
    model: str
    messages: list[Turn]
    max_tokens: int | None = None
    system: str | list[Block] | None = None
    tools: list[_Tool] | None = None
    tool_choice: _Choice | None = None
    output_config: _OutputConfig | None = None
    thinking: _Thinking | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    metadata: _Metadata | None = None
    thread: Any = None


KNOWN = frozenset(_Request.__struct_fields__)
_decode_fields = msgspec.json.Decoder(_Body).decode
_decode_request = msgspec.json.Decoder(_Request).decode
_decode_slices = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.encode


class ThreadUnsupported(InvalidRequest):
    """The request opens or goes on with a thread kept by the vendor; clients then send the whole history."""

    code = "thread_unsupported_request"


def decode_request(body: bytes) -> WireRequest:
    """What the caller asks for.

    Raises:
        InvalidRequest: not JSON, or a field of another type; `param` is its path.
        ThreadUnsupported: it names a thread.
    """
    try:
        fields = _decode_fields(body)
        wire = _decode_request(body)
        if wire.thread is not None:
            raise ThreadUnsupported(
                "Threads are not kept here.", hint="Send the whole conversation without 'thread'.", param="thread"
            )
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
    return tuple(map(_encode, messages))


def _request_of(wire: _Request, fields: _Body) -> ChatRequest:
    cap = wire.max_tokens
    if cap is not None and not 1 <= cap <= MOST_OUTPUT_TOKENS:
        raise InvalidRequest(f"'max_tokens' must be between 1 and {MOST_OUTPUT_TOKENS}.", param="max_tokens")
    if not wire.model or "\0" in wire.model:
        raise InvalidRequest("The request names no model.", hint="Add model.", param="model")
    extra = {name: _decode_any(value) for name, value in fields.items() if name not in KNOWN}
    if _has_long_cache(fields):
        extra["cache_ttl"] = "1h"
    own = _vendors_own(wire, fields)
    if own:
        extra[VENDOR_TOOLS] = own
    choice = wire.tool_choice
    parallel = (
        None if choice is None or choice.disable_parallel_tool_use is None else not (choice.disable_parallel_tool_use)
    )
    messages = [message for turn in wire.messages for message in messages_of(turn)]
    return ChatRequest(
        model=wire.model,
        messages=(*_system_of(wire.system), *messages),
        tools=tuple(map(_tool_of, wire.tools or ())),
        tool_choice=_choice_of(choice),
        allows_parallel_tools=parallel,
        output=_output_of(wire.output_config),
        max_output_tokens=cap,
        temperature=wire.temperature,
        top_p=wire.top_p,
        stop=tuple(wire.stop_sequences or ()),
        reasoning_effort=_effort_of(wire),
        is_stream=bool(wire.stream),
        user=wire.metadata.user_id if wire.metadata else None,
        extra=extra,
    )


def _has_long_cache(fields: _Body) -> bool:
    """Whether a mark of the cache may ask for an hour; text that looks like one counts too."""
    return any(b'"ttl"' in raw and b'"1h"' in raw for raw in map(bytes, fields.values()))


def _vendors_own(wire: _Request, fields: _Body) -> list[Any]:
    """Tools that run at the vendor, and blocks that only it can read."""
    found: list[Any] = []
    if wire.tools and any(_is_own(tool) for tool in wire.tools):
        found += [tool for tool in _decode_any(fields["tools"]) if tool.get("type") not in (None, "custom")]
    for turn in wire.messages:
        if isinstance(turn.content, list):
            found += [{"type": block.type} for raw in turn.content if is_vendors_own((block := decode_block(raw)).type)]
    return found


def _is_own(tool: _Tool) -> bool:
    return tool.type not in (None, "custom")


def _system_of(system: str | list[Block] | None) -> list[Message]:
    if isinstance(system, str):
        return [Message(role="system", parts=(TextPart(system),))]
    return [
        Message(role="system", parts=(TextPart(block.text or ""),), cache=block.cache_control is not None)
        for block in system or ()
    ]


def _tool_of(tool: _Tool) -> ToolSpec:
    if _is_own(tool):
        return ToolSpec(name=tool.type or "")  # policy sees a vendor's own tool by its type
    return ToolSpec(
        name=tool.name,
        description=tool.description or "",
        parameters=tool.input_schema or {},
        is_strict=tool.strict,
    )


def _choice_of(choice: _Choice | None) -> ToolChoice | None:
    if choice is None:
        return None
    if choice.type == "tool":
        return ToolChoice(mode="named", name=choice.name)
    return ToolChoice(mode="required" if choice.type == "any" else choice.type)


def _output_of(config: _OutputConfig | None) -> OutputFormat | None:
    if config is None or config.format is None:
        return None
    return OutputFormat(kind="json_schema", schema=config.format.schema)


def _effort_of(wire: _Request) -> str | None:
    if wire.output_config is not None and wire.output_config.effort is not None:
        return wire.output_config.effort
    thinking = wire.thinking
    if thinking is None:
        return None
    if thinking.type == "disabled":
        return "none"
    budget = thinking.budget_tokens
    return next((effort for most, effort in _EFFORT_BUDGETS if (budget or 0) <= most), "high") if budget else None


# The way out -----------------------------------------------------------------


def encode_request(request: ChatRequest) -> Fields:
    """The whole request in this wire's fields, for callers that came by another wire."""
    messages = list(request.messages)
    leading: list[Message] = []
    while messages and messages[0].role == "system":
        leading.append(messages.pop(0))
    plain: Fields = {
        "system": _wire_system(leading),
        "max_tokens": request.max_output_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop_sequences": list(request.stop) or None,
        "tools": [_wire_tool(tool) for tool in request.tools] or None,
        "tool_choice": _wire_choice(request),
        "output_config": _wire_config(request),
        "thinking": _wire_thinking(request.reasoning_effort),
        "stream": request.is_stream or None,
        "metadata": {"user_id": request.user} if request.user is not None else None,
    }
    fields: Fields = {"model": request.model, "messages": wire_turns(messages)}
    fields.update((name, value) for name, value in plain.items() if value is not None)
    return fields


def _wire_system(messages: list[Message]) -> list[dict[str, Any]] | None:
    blocks: list[dict[str, Any]] = []
    for message in messages:
        if message.text:
            blocks.append({"type": "text", "text": message.text})
            if message.cache:
                blocks[-1]["cache_control"] = {"type": "ephemeral"}
    return blocks or None


def _wire_tool(tool: ToolSpec) -> Fields:
    wire: Fields = {"name": tool.name, "input_schema": tool.parameters or {"type": "object"}}
    if tool.description:
        wire["description"] = tool.description
    if tool.is_strict is not None:
        wire["strict"] = tool.is_strict
    return wire


_MODES = {"auto": "auto", "none": "none", "required": "any", "named": "tool"}


def _wire_choice(request: ChatRequest) -> Fields | None:
    choice, parallel = request.tool_choice, request.allows_parallel_tools
    if choice is None and (parallel is None or not request.tools):
        return None
    wire: Fields = {"type": _MODES[choice.mode] if choice else "auto"}
    if choice is not None and choice.mode == "named":
        wire["name"] = choice.name
    if parallel is not None and wire["type"] != "none":
        wire["disable_parallel_tool_use"] = not parallel
    return wire


def _wire_config(request: ChatRequest) -> Fields | None:
    config: Fields = {}
    if request.reasoning_effort not in (None, "none", "minimal"):
        config["effort"] = request.reasoning_effort
    if request.output is not None and request.output.kind == "json_schema":
        config["format"] = {"type": "json_schema", "schema": request.output.schema or {}}
    return config or None


def _wire_thinking(effort: str | None) -> Fields | None:
    if effort is None:
        return None
    return {"type": "disabled"} if effort in ("none", "minimal") else {"type": "adaptive"}


def rewrite_request(fields: Fields, before: ChatRequest, after: ChatRequest) -> None:
    """Puts what the guards changed between `before` and `after` into `fields`; all else stays as it came."""
    table = substitutions(before, after)
    if not table:
        return
    changed: Fields = {
        name: value if name in ("model", "stream") else substituted(value, table) for name, value in fields.items()
    }
    if not is_same(decode_request(_encode(changed)).request, after):
        changed |= encode_request(after)
    fields.clear()
    fields.update(changed)


def prepare(fields: Fields, *, model: str, cap_tokens: int | None) -> None:
    """The target's model name, and the output cap that this wire cannot do without."""
    fields["model"] = model
    if cap_tokens is not None:
        fields["max_tokens"] = cap_tokens
