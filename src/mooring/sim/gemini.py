"""The wire of Gemini's generateContent, as this double reads and writes it: strict, with events that end in CRLF."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

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
from .embeddings import vector
from .errors import BadRequest
from .generate import Choice, pieces
from .models import input_tokens

_encode = msgspec.json.Encoder().encode
_FREE = {"args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema",
         "response_json_schema", "_responseJsonSchema"}  # fmt: skip
_STOPS = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP"}
_STATUSES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED",
             500: "INTERNAL", 503: "UNAVAILABLE"}  # fmt: skip
_PATH = re.compile(r"/v1(?:beta)?/models/(.+):(\w+)")


class Address(NamedTuple):
    """What the path says."""

    model: str
    operation: str


class _Call(msgspec.Struct):
    name: str
    args: dict[str, Any] = {}
    id: str | None = None


class _Answered(msgspec.Struct):
    name: str
    response: dict[str, Any]
    id: str | None = None
    parts: list[dict[str, Any]] | None = None


class _Part(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    text: str | None = None
    thought: bool = False
    thought_signature: str | None = None
    inline_data: dict[str, Any] | None = None
    file_data: dict[str, Any] | None = None
    function_call: _Call | None = None
    function_response: _Answered | None = None


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    parts: list[_Part]
    role: Literal["user", "model", "function"] = "user"


class _Declaration(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    parameters_json_schema: dict[str, Any] | None = None
    response_json_schema: dict[str, Any] | None = None


class _Tool(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    function_declarations: list[_Declaration]


class _Calling(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    mode: Literal["AUTO", "NONE", "ANY", "VALIDATED"] = "AUTO"
    allowed_function_names: list[str] | None = None


class _ToolConfig(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    function_calling_config: _Calling | None = None


class _Generation(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    candidate_count: Annotated[int, msgspec.Meta(ge=1, le=8)] = 1
    max_output_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    stop_sequences: list[str] | None = None
    response_mime_type: Literal["text/plain", "application/json"] | None = None
    response_schema: dict[str, Any] | None = None
    response_json_schema: dict[str, Any] | None = None
    thinking_config: dict[str, Any] | None = None
    response_modalities: list[Literal["TEXT"]] | None = None


class _Body(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    contents: Annotated[list[_Content], msgspec.Meta(min_length=1)]
    system_instruction: _Content | None = None
    tools: list[_Tool] | None = None
    tool_config: _ToolConfig | None = None
    generation_config: _Generation | None = None
    safety_settings: list[Any] | None = None


class _EmbedBody(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    content: _Content
    model: str | None = None
    output_dimensionality: Annotated[int, msgspec.Meta(ge=1, le=4096)] | None = None
    task_type: str | None = None
    title: str | None = None


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    requests: Annotated[list[_EmbedBody], msgspec.Meta(min_length=1)]


def address_of(path: str) -> Address | None:
    """Model and operation of a path of this wire."""
    found = _PATH.fullmatch(path)
    return Address(found[1], found[2]) if found else None


def _camel(value: Any) -> Any:
    """Both spellings of a field are known to Google; what is free text inside stays as it is."""
    if isinstance(value, list):
        return [_camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    named = {re.sub(r"_([a-z])", lambda found: found[1].upper(), key): item for key, item in value.items()}
    return {key: item if key in _FREE else _camel(item) for key, item in named.items()}


def _read(body: bytes, kind: Any) -> Any:
    try:
        return msgspec.convert(_camel(msgspec.json.decode(body)), kind)
    except msgspec.ValidationError as error:
        raise BadRequest(f"Invalid JSON payload received. {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"Invalid JSON payload received: {error}") from error


def decode_generate(body: bytes, address: Address) -> ChatBody:
    """The request in a body, in the double's own words.

    Raises:
        BadRequest: no JSON, a wrong type, an unknown field, or a conversation that Google would refuse.
    """
    asked: _Body = _read(body, _Body)
    config = asked.generation_config or _Generation()
    messages: list[Message] = []
    if asked.system_instruction is not None:
        messages.append(Message("system", _parts(asked.system_instruction)))
    waiting: list[CalledTool] = []
    for number, content in enumerate(asked.contents):
        waiting = _add(content, number, messages, waiting)
    calling = asked.tool_config.function_calling_config if asked.tool_config else None
    tools = [
        Tool("function", Function(one.name, one.description, one.parameters_json_schema or _lower(one.parameters)))
        for tool in asked.tools or ()
        for one in tool.function_declarations
    ]
    chat = ChatBody(
        model=address.model,
        messages=messages,
        stream=address.operation == "streamGenerateContent",
        tools=tools or None,
        tool_choice=_choice(calling) if tools else None,
        response_format=_format(config),
        n=config.candidate_count,
        stop=config.stop_sequences,
        max_tokens=config.max_output_tokens,
    )
    check_chat(chat)
    return chat


def _add(content: _Content, number: int, messages: list[Message], waiting: list[CalledTool]) -> list[CalledTool]:
    """Add a content; the calls that wait for their answers after it."""
    calls: list[CalledTool] = []
    for index, part in enumerate(content.parts):
        if part.function_call is not None:
            made = part.function_call
            arguments = _encode(made.args).decode()
            calls.append(CalledTool(made.id or f"call_{number}_{index}", CalledFunction(made.name, arguments)))
        elif part.function_response is not None:
            said = part.function_response
            call = next((one for one in waiting if said.id == one.id or said.name == one.function.name), None)
            if call is None:
                raise BadRequest("A function response part must answer a function call of the turn before.")
            waiting = [one for one in waiting if one is not call]
            messages.append(Message("tool", _encode(said.response).decode(), tool_call_id=call.id))
    rest = _parts(content)
    if rest or calls:
        role: Any = "assistant" if content.role == "model" else "user"
        messages.append(Message(role, rest or None, tool_calls=calls or None))
    return calls or waiting


def _parts(content: _Content) -> list[Part]:
    return [
        Part("text" if part.text is not None else "media", part.text or "")
        for part in content.parts
        if part.function_call is None and part.function_response is None and not part.thought
    ]


def _choice(calling: _Calling | None) -> Any:
    if calling is None:
        return None
    if calling.mode == "ANY" and calling.allowed_function_names and len(calling.allowed_function_names) == 1:
        return NamedChoice("function", ChosenFunction(calling.allowed_function_names[0]))
    return {"AUTO": "auto", "VALIDATED": "auto", "NONE": "none", "ANY": "required"}[calling.mode]


def _format(config: _Generation) -> ResponseFormat | None:
    schema = config.response_json_schema or config.response_schema
    if config.response_mime_type != "application/json":
        return None
    if schema is None:
        return ResponseFormat("json_object")
    return ResponseFormat("json_schema", NamedSchema("answer", _lower(schema)))


def _lower(schema: Any) -> Any:
    """Google's own schemas name their types in capitals."""
    if isinstance(schema, list):
        return [_lower(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: item.lower() if key == "type" and isinstance(item, str) else _lower(item) for key, item in schema.items()
    }


def decode_embed(body: bytes, address: Address) -> list[tuple[str, int]]:
    """The texts to embed, each with the size of its vector."""
    batch: list[_EmbedBody] = (
        _read(body, _Batch).requests if address.operation == "batchEmbedContents" else [_read(body, _EmbedBody)]
    )
    return [("".join(part.text or "" for part in one.content.parts), one.output_dimensionality or 64) for one in batch]


def embed_body(texts: list[tuple[str, int]], address: Address) -> bytes:
    """The vectors; this wire does not say what they cost."""
    found = [{"values": vector(text, size)} for text, size in texts]
    return _encode({"embeddings": found} if address.operation == "batchEmbedContents" else {"embedding": found[0]})


def decode_count(body: bytes, address: Address) -> bytes:
    """The answer of `countTokens`."""
    given = _camel(msgspec.json.decode(body))
    inner = given.get("generateContentRequest", given) if isinstance(given, dict) else given
    if isinstance(inner, dict):
        inner.pop("model", None)
    return _encode({"totalTokens": input_tokens(decode_generate(_encode(inner), address))})


# Answers ----------------------------------------------------------------------


def usage_fields(usage: Usage) -> dict[str, Any]:
    """Thoughts stand beside the candidates' tokens, not in them."""
    return {
        "promptTokenCount": usage.input_tokens,
        "cachedContentTokenCount": usage.cached_input_tokens,
        "candidatesTokenCount": usage.output_tokens - usage.reasoning_tokens,
        "thoughtsTokenCount": usage.reasoning_tokens,
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }


def whole(completion: Completion) -> bytes:
    """The whole answer."""
    return _encode(
        {
            "candidates": [
                {"content": {"parts": _answer(choice), "role": "model"}, "finishReason": _STOPS[choice.finish_reason],
                 "index": index}
                for index, choice in enumerate(completion.choices)
            ],
            "usageMetadata": usage_fields(completion.usage),
            "modelVersion": completion.model,
            "responseId": completion.id,
        }
    )  # fmt: skip


def _answer(choice: Choice) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if choice.reasoning:
        parts.append({"text": choice.reasoning, "thought": True})
    if choice.text or not choice.calls:
        parts.append({"text": choice.text})
    return parts + [_call(choice, index) for index in range(len(choice.calls))]


def _call(choice: Choice, index: int) -> dict[str, Any]:
    made = choice.calls[index]
    try:
        arguments = msgspec.json.decode(made.arguments or "{}")
    except msgspec.DecodeError:
        arguments = {}  # cut by the limit
    part: dict[str, Any] = {"functionCall": {"id": made.id, "name": made.name, "args": arguments}}
    return part | ({"thoughtSignature": "c2ln"} if index == 0 else {})


def event(data: bytes) -> bytes:
    """One server-sent event, with the line ends that Google sends."""
    return b"data: " + data + b"\r\n\r\n"


def stream(completion: Completion, has_usage: bool) -> Iterator[Frame]:
    """A streamed answer: calls come whole, the last chunk says why it ends, and nothing comes after it."""
    yield Frame("head", b"")
    for index, choice in enumerate(completion.choices):
        calls, weight = 0, 0
        for piece in pieces(choice):
            made = msgspec.json.decode(piece.delta)
            if "tool_calls" not in made:
                text = made.get("content") or made.get("reasoning_content") or ""
                part = {"text": text, "thought": True} if "reasoning_content" in made else {"text": text}
                yield Frame("event", _chunk(completion, index, [part]), piece.output_tokens, piece.reasoning_tokens)
                continue
            if made["tool_calls"][0].get("id") and weight:
                yield Frame("event", _chunk(completion, index, [_call(choice, calls)]), weight, 0)
                calls, weight = calls + 1, 0
            weight += piece.output_tokens
        if weight:
            yield Frame("event", _chunk(completion, index, [_call(choice, calls)]), weight, 0)
    yield Frame("finish", b"")
    last = [
        {"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": _STOPS[choice.finish_reason],
         "index": index}
        for index, choice in enumerate(completion.choices)
    ]  # fmt: skip
    yield Frame("usage", _event(completion, last, usage_fields(completion.usage)))
    yield Frame("end", b"")


def _chunk(completion: Completion, index: int, parts: list[dict[str, Any]]) -> bytes:
    so_far = {"promptTokenCount": completion.usage.input_tokens, "totalTokenCount": completion.usage.input_tokens}
    return _event(completion, [{"content": {"parts": parts, "role": "model"}, "index": index}], so_far)


def _event(completion: Completion, candidates: list[dict[str, Any]], usage: dict[str, Any]) -> bytes:
    fields = {"candidates": candidates, "usageMetadata": usage, "modelVersion": completion.model}
    return event(_encode({**fields, "responseId": completion.id}))


def error(message: str, *, kind: str, param: str | None = None, code: str | None = None, status: int = 500) -> bytes:
    """An error as Google shapes it."""
    name = _STATUSES.get(status) or ("INVALID_ARGUMENT" if status < 500 else "INTERNAL")
    return _encode({"error": {"code": status, "message": message, "status": name}})


GEMINI = Dialect(
    whole=whole,
    stream=stream,
    error=error,
    usage="usageMetadata",
    wrong_usage={"promptTokenCount": 1, "candidatesTokenCount": -3, "cachedContentTokenCount": 999_999},
    done=b"",
    empty=b"{}",
    event=event,
)
