"""The wire of OpenAI's responses, as this double reads and writes it: strict, and it keeps nothing.

An item that only names another one is refused, and so is a thought that this double has not sealed itself.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec

from .chat import Completion, Frame, Usage, error_body
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

PATH = "/v1/responses"
_SEAL = "gAAAA"  # how what this double has sealed begins
_encode = msgspec.json.Encoder().encode
_EMPTY: dict[str, dict[str, Any]] = {
    "message": {"content": []},
    "function_call": {"arguments": ""},
    "reasoning": {"summary": []},
}


class _Content(msgspec.Struct):
    type: Literal["input_text", "output_text", "refusal", "input_image", "input_file"]
    text: str = ""


class _Item(msgspec.Struct):
    type: Literal["message", "function_call", "function_call_output", "reasoning"] = "message"
    role: Literal["user", "assistant", "system", "developer"] = "user"
    content: str | list[_Content] = ""
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    output: str | list[_Content] = ""
    encrypted_content: str = ""


class _Tool(msgspec.Struct):
    type: Literal["function"]
    name: str
    description: str | None = None
    strict: bool | None = None
    parameters: dict[str, Any] | None = None


class _Named(msgspec.Struct):
    type: Literal["function"]
    name: str


class _Format(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    name: str = ""
    schema: dict[str, Any] = {}


class _Text(msgspec.Struct):
    format: _Format | None = None
    verbosity: str | None = None


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    """The fields that a stateless caller may send; any other is refused."""

    model: str
    input: str | list[_Item]
    store: Literal[False]
    instructions: str | None = None
    include: list[Literal["reasoning.encrypted_content"]] | None = None
    tools: list[_Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | _Named | None = None
    parallel_tool_calls: bool | None = None
    text: _Text | None = None
    reasoning: dict[str, Any] | None = None
    max_output_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    temperature: float | None = None
    top_p: float | None = None
    stream: bool | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None


_decoder = msgspec.json.Decoder(_Body)


def decode_responses(body: bytes) -> ChatBody:
    """The request in a body, in the double's own words.

    Raises:
        BadRequest: no JSON, a wrong type, an unknown field, or a conversation that OpenAI would refuse.
    """
    try:
        asked = _decoder.decode(body)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        raise BadRequest(reason, path.rstrip("`") or None) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"We could not parse the JSON body of your request: {error}") from error
    messages = [Message("system", asked.instructions)] if asked.instructions else []
    items = [_Item(content=asked.input)] if isinstance(asked.input, str) else asked.input
    for item in items:
        _add(item, messages)
    form = asked.text.format if asked.text is not None else None
    choice = asked.tool_choice
    chat = ChatBody(
        model=asked.model,
        messages=messages,
        stream=asked.stream,
        tools=[Tool("function", Function(tool.name, tool.description, tool.parameters)) for tool in asked.tools or ()]
        or None,
        tool_choice=NamedChoice("function", ChosenFunction(choice.name)) if isinstance(choice, _Named) else choice,
        parallel_tool_calls=asked.parallel_tool_calls,
        response_format=ResponseFormat(form.type, NamedSchema(form.name, form.schema)) if form is not None else None,
        max_tokens=asked.max_output_tokens,
    )
    check_chat(chat)
    return chat


def _add(item: _Item, messages: list[Message]) -> None:
    """Add an item; what a model says and calls in one turn is one message."""
    if item.type == "reasoning":
        if not item.encrypted_content.startswith(_SEAL):
            raise BadRequest("The encrypted content could not be verified.", "input")
    elif item.type == "function_call":
        call = CalledTool(item.call_id, CalledFunction(item.name, item.arguments))
        if messages and messages[-1].role == "assistant":
            messages[-1].tool_calls = [*(messages[-1].tool_calls or ()), call]
        else:
            messages.append(Message("assistant", None, tool_calls=[call]))
    elif item.type == "function_call_output":
        messages.append(Message("tool", _parts(item.output), tool_call_id=item.call_id))
    else:
        messages.append(Message(item.role, _parts(item.content)))


def _parts(content: str | list[_Content]) -> str | list[Part]:
    if isinstance(content, str):
        return content
    return [Part("text" if one.text else "media", one.text) for one in content]


# Answers ----------------------------------------------------------------------


def usage_fields(usage: Usage) -> dict[str, Any]:
    """Inclusive, with what was read from the cache and thought."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _object(completion: Completion, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    is_over = status != "in_progress"
    return {
        "id": f"resp_{completion.id}",
        "object": "response",
        "created_at": completion.created,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "model": completion.model,
        "output": output,
        "previous_response_id": None,
        "store": False,
        "usage": usage_fields(completion.usage) if is_over else None,
    }


def _items(completion: Completion, choice: Choice) -> list[dict[str, Any]]:
    """What the answer is made of, each under an id of its own."""
    items: list[dict[str, Any]] = []
    mark = completion.id[-8:]
    if choice.reasoning:
        summary = [{"type": "summary_text", "text": choice.reasoning}]
        sealed = f"{_SEAL}{mark}"
        items.append({"id": f"rs_{mark}", "type": "reasoning", "summary": summary, "encrypted_content": sealed})
    if choice.text or not choice.calls:
        content = [{"type": "output_text", "text": choice.text, "annotations": []}]
        items.append(
            {"id": f"msg_{mark}", "type": "message", "role": "assistant", "status": "completed", "content": content}
        )
    for number, made in enumerate(choice.calls):
        own = {"call_id": made.id, "name": made.name, "arguments": made.arguments, "status": "completed"}
        items.append({"id": f"fc_{mark}{number}", "type": "function_call", **own})
    return items


def _status(choice: Choice) -> str:
    return "incomplete" if choice.finish_reason == "length" else "completed"


def whole(completion: Completion) -> bytes:
    """The whole answer."""
    choice = completion.choices[0]
    return _encode(_object(completion, _status(choice), _items(completion, choice)))


def event(data: bytes) -> bytes:
    """One server-sent event with the name that its type is; an error is wrapped in one."""
    fields = msgspec.json.decode(data)
    if "type" not in fields:
        fields = {**fields["error"], "type": "error", "sequence_number": 0}
    return b"event: %b\ndata: %b\n\n" % (str(fields["type"]).encode(), _encode(fields))


class _Teller:
    """Numbers the events of one stream."""

    def __init__(self) -> None:
        self._number = -1

    def say(self, kind: str, **fields: Any) -> bytes:
        self._number += 1
        return event(_encode({"type": kind, "sequence_number": self._number, **fields}))


def stream(completion: Completion, has_usage: bool) -> Iterator[Frame]:
    """A streamed answer: items are added, grow, and are done; the last event repeats them all."""
    choice, tell = completion.choices[0], _Teller()
    items = _items(completion, choice)
    started = _object(completion, "in_progress", [])
    yield Frame("head", b"")
    created = tell.say("response.created", response=started) + tell.say("response.in_progress", response=started)
    yield Frame("role", created)
    place = -1
    for piece in pieces(choice):
        made = msgspec.json.decode(piece.delta)
        kind, delta, is_new = _delta(made)
        data = b""
        if is_new or place < 0 or items[place]["type"] != kind:
            data += _done(tell, items, place)
            place += 1
            empty = _EMPTY[kind]
            data += tell.say("response.output_item.added", output_index=place, item={**items[place], **empty})
        name = {"message": "output_text", "reasoning": "reasoning_summary_text",
                "function_call": "function_call_arguments"}[kind]  # fmt: skip
        if delta:
            where = {"item_id": items[place]["id"], "output_index": place}
            data += tell.say(f"response.{name}.delta", **where, delta=delta)
        yield Frame("event", data, piece.output_tokens, piece.reasoning_tokens)
    yield Frame("finish", _done(tell, items, place))
    status = _status(choice)
    yield Frame("usage", tell.say(f"response.{status}", response=_object(completion, status, items)))
    yield Frame("end", b"")


def _delta(made: dict[str, Any]) -> tuple[str, str, bool]:
    """The kind of item that a piece belongs to, what it adds, and whether the item begins with it."""
    if "content" in made:
        return "message", made["content"], False
    if "reasoning_content" in made:
        return "reasoning", made["reasoning_content"], False
    call = made["tool_calls"][0]
    return "function_call", call["function"].get("arguments", ""), "id" in call


def _done(tell: _Teller, items: list[dict[str, Any]], place: int) -> bytes:
    return tell.say("response.output_item.done", output_index=place, item=items[place]) if place >= 0 else b""


def other_usage(data: bytes, usage: dict[str, Any] | None) -> bytes:
    """The last event with other figures, or without any."""
    fields = msgspec.json.decode(data.partition(b"data: ")[2])
    fields["response"]["usage"] = usage
    return event(_encode(fields))


RESPONSES = Dialect(
    whole=whole,
    stream=stream,
    error=error_body,
    usage="usage",
    wrong_usage={"input_tokens": 1, "output_tokens": -3, "total_tokens": 7},
    done=b"",
    empty=b"{}",
    event=event,
    other_event=other_usage,
)
