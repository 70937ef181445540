"""What a caller asks of the double, and what a script replies: the request's types, checked as strictly as OpenAI does.

Nothing here knows about HTTP or money.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from .errors import BadRequest

_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class CalledFunction(msgspec.Struct):
    """The function of a tool call; `arguments` is JSON text, as a model wrote it."""

    name: str
    arguments: str


class CalledTool(msgspec.Struct):
    """A tool call in an assistant's message."""

    id: str
    function: CalledFunction
    type: Literal["function"] = "function"


class Part(msgspec.Struct):
    """One content part; only text is understood, everything else weighs one token."""

    type: str
    text: str = ""


class Message(msgspec.Struct):
    """One element of `messages`."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    tool_calls: list[CalledTool] | None = None
    tool_call_id: str | None = None
    name: str | None = None

    @property
    def text(self) -> str:
        """Its text parts, joined."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content or ())


class Function(msgspec.Struct):
    """A declared function; `parameters` is JSON schema."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(msgspec.Struct):
    """An offered tool."""

    type: Literal["function"]
    function: Function


class NamedSchema(msgspec.Struct):
    """The schema of a structured answer."""

    name: str
    schema: dict[str, Any] = {}


class ResponseFormat(msgspec.Struct):
    """`response_format` of a request."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None


class StreamOptions(msgspec.Struct):
    """`stream_options` of a request."""

    include_usage: bool = False


class ChosenFunction(msgspec.Struct):
    """The name inside a named tool choice."""

    name: str


class NamedChoice(msgspec.Struct):
    """`tool_choice` that names a function."""

    type: Literal["function"]
    function: ChosenFunction


_Count = Annotated[int, msgspec.Meta(ge=1)]


class ChatBody(msgspec.Struct):
    """The body of `POST /v1/chat/completions`; unknown fields are ignored, as by most compatible servers."""

    model: str
    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=128)] | None = None
    stop: str | list[str] | None = None
    max_tokens: _Count | None = None
    max_completion_tokens: _Count | None = None


_chat_decoder = msgspec.json.Decoder(ChatBody)


def decode_chat(body: bytes) -> ChatBody:
    """The request in a body.

    Raises:
        BadRequest: no JSON, a wrong type, or a conversation that OpenAI would refuse.
    """
    try:
        request = _chat_decoder.decode(body)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        raise BadRequest(reason, path.rstrip("`") or None) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"We could not parse the JSON body of your request: {error}") from error
    if request.stream_options is not None and not request.stream:
        raise BadRequest("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    check_chat(request)
    return request


def check_chat(request: ChatBody) -> None:
    """What every vendor asks of tools and their results.

    Raises:
        BadRequest: a tool's name, choice or result does not fit.
    """
    _check_tools(request)
    _check_pairs(request.messages)


def _check_tools(request: ChatBody) -> None:
    for index, tool in enumerate(request.tools or ()):
        if not _TOOL_NAME.fullmatch(tool.function.name):
            raise BadRequest(
                f"Invalid 'tools[{index}].function.name': expected a match of '^[a-zA-Z0-9_-]{{1,64}}$'.",
                f"tools[{index}].function.name",
            )
    if request.tool_choice is not None and not request.tools:
        raise BadRequest("'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")
    if isinstance(request.tool_choice, NamedChoice):
        wanted = request.tool_choice.function.name
        if wanted not in [tool.function.name for tool in request.tools or ()]:
            raise BadRequest(f"Tool choice '{wanted[:64]}' is not among the tools.", "tool_choice")
    asked = request.response_format
    if asked is not None and asked.type == "json_schema" and asked.json_schema is None:
        raise BadRequest("Missing required parameter: 'response_format.json_schema'.", "response_format.json_schema")


def _check_pairs(messages: list[Message]) -> None:
    """Each tool call is answered before anything else is said, and nothing else is answered."""
    waiting: set[str] = set()
    for index, message in enumerate(messages):
        if message.role == "tool":
            if message.tool_call_id not in waiting:
                raise BadRequest(
                    "Messages with role 'tool' must be a response to a preceding message with 'tool_calls'.",
                    f"messages[{index}].tool_call_id",
                )
            waiting.discard(message.tool_call_id)
            continue
        if waiting:
            raise _unanswered(waiting, index)
        waiting = {call.id for call in message.tool_calls or ()}
    if waiting:
        raise _unanswered(waiting, len(messages) - 1)


def _unanswered(waiting: set[str], index: int) -> BadRequest:
    names = ", ".join(sorted(waiting))[:200]
    return BadRequest(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        f"These had no response: {names}",
        f"messages[{index}]",
    )


class Options(NamedTuple):
    """What the suffixes of a model's name ask for: `writer-64words-5ms`, `agent-3rounds`."""

    pace_ms: int | None = None
    words: int = 120
    rounds: int = 1


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a script sees. A script is a pure function of this.

    `attempt` counts how often this very conversation was asked, from 1, and only for models that depend on it.
    `choice` is the index of the answer when `n` is above 1.
    """

    model: str
    messages: list[Message]
    tools: list[Function]
    allows_parallel: bool = True
    options: Options = Options()  # noqa: RUF009
    attempt: int = 1
    choice: int = 0

    @property
    def last_user_text(self) -> str:
        """What the user said last, or the empty text."""
        return next((message.text for message in reversed(self.messages) if message.role == "user"), "")

    @property
    def turn(self) -> list[Message]:
        """What came after the last user message."""
        for index in range(len(self.messages) - 1, -1, -1):
            if self.messages[index].role == "user":
                return self.messages[index + 1 :]
        return self.messages


class ToolCall(NamedTuple):
    """A call that a script makes; `arguments` is JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What a script answers: reasoning first, then text, then tool calls. `is_verbatim`: whatever form was wanted."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    is_verbatim: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """What a script answers when its model is broken; nothing is billed."""

    status: int = 503
    message: str = "The model is overloaded. Try again later."
    code: str | None = None
    retry_after: str | None = None


Script = Callable[[Conversation], Reply | Failure]
