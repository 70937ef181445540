"""From a script's reply to what is generated: limits applied, cut into pieces, each with the tokens that it adds."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from .conversation import ChatBody, Conversation, NamedChoice, Reply, ToolCall
from .models import BYTES_PER_TOKEN, MOST_OUTPUT_TOKENS, tokens
from .schema import Filling, instance
from .scripts import call

_WORD = re.compile(r"\s*\S{1,24}|\s+")
_FRAGMENT = re.compile(r".{1,16}", re.DOTALL)


class Call(NamedTuple):
    """A tool call with its id."""

    id: str
    name: str
    arguments: str


class Choice(NamedTuple):
    """One finished answer, and what it weighs."""

    text: str
    reasoning: str
    calls: tuple[Call, ...]
    finish_reason: str
    output_tokens: int
    reasoning_tokens: int


class Piece(NamedTuple):
    """One delta of a stream as JSON, and the tokens that it adds (reasoning is counted in both)."""

    delta: bytes
    output_tokens: int
    reasoning_tokens: int


def choose(request: ChatBody, conversation: Conversation, reply: Reply) -> Choice:
    """Apply what the request asks for: tool choice, response format, stop, and the output limit."""
    reply = _format(request, conversation, _choose_tool(request, conversation, reply))
    text, reason = _stopped(reply.text, request.stop)
    asked = request.max_completion_tokens or request.max_tokens or MOST_OUTPUT_TOKENS
    left = min(asked, MOST_OUTPUT_TOKENS)
    reasoning, thought, is_cut = _limited(reply.reasoning, left)
    left -= thought
    text, said, is_text_cut = _limited(text, left)
    left -= said
    calls: list[Call] = []
    called = 0
    for index, made in enumerate(reply.tool_calls):
        arguments, weight = _limited_call(made, left)
        if weight > left:
            is_cut = True
            break
        is_cut = is_cut or len(arguments) < len(made.arguments)
        left -= weight
        called += weight
        calls.append(Call(_call_id(conversation, index), made.name, arguments))
    if is_cut or is_text_cut:
        reason = "length"
    elif calls:
        reason = "tool_calls"
    return Choice(text, reasoning, tuple(calls), reason, thought + said + called, thought)


def _call_id(conversation: Conversation, index: int) -> str:
    """The same conversation gets the same ids, and one conversation never gets an id twice."""
    return f"call_{conversation.choice}_{len(conversation.messages)}_{index}"


def _choose_tool(request: ChatBody, conversation: Conversation, reply: Reply) -> Reply:
    choice = request.tool_choice
    if choice is None or choice in ("auto", "none"):
        return reply
    if isinstance(choice, NamedChoice):
        tool = next(tool for tool in conversation.tools if tool.name == choice.function.name)
        return Reply(reasoning=reply.reasoning, tool_calls=(call(tool, conversation),))
    return reply if reply.tool_calls else Reply(tool_calls=(call(conversation.tools[0], conversation),))


def _format(request: ChatBody, conversation: Conversation, reply: Reply) -> Reply:
    asked = request.response_format
    if asked is None or asked.type == "text" or reply.tool_calls or reply.is_verbatim:
        return reply
    value: Any = {"text": reply.text}
    if asked.json_schema is not None:
        value = instance(asked.json_schema.schema, Filling(conversation.last_user_text))
    elif reply.text.startswith("{"):
        return reply
    return Reply(text=msgspec.json.encode(value).decode(), reasoning=reply.reasoning)


def _stopped(text: str, stop: str | list[str] | None) -> tuple[str, str]:
    marks = [stop] if isinstance(stop, str) else stop or []
    ends = [text.find(mark) for mark in marks if mark and mark in text]
    return (text[: min(ends)] if ends else text), "stop"


def _limited(text: str, most_tokens: int) -> tuple[str, int, bool]:
    """The text cut to its limit, its tokens, and whether it was cut."""
    weight = tokens(text)
    if weight <= most_tokens:
        return text, weight, False
    kept = text.encode("utf-8", "replace")[: max(most_tokens, 0) * BYTES_PER_TOKEN].decode(errors="ignore")
    return kept, tokens(kept), True


def _limited_call(made: ToolCall, most_tokens: int) -> tuple[str, int]:
    weight = tokens(made.name + made.arguments)
    if weight <= most_tokens:
        return made.arguments, weight
    room = most_tokens * BYTES_PER_TOKEN - len(made.name.encode())
    arguments = made.arguments.encode()[: max(room, 0)].decode(errors="ignore")
    return arguments, tokens(made.name + arguments)


def pieces(choice: Choice) -> Iterator[Piece]:
    """A choice as the deltas of a stream; their tokens add up to the choice's."""
    size = 0
    for part in _WORD.findall(choice.reasoning):
        size, added = _grown(size, part)
        yield Piece(_delta("reasoning_content", part), added, added)
    size = 0
    for part in _WORD.findall(choice.text):
        size, added = _grown(size, part)
        yield Piece(_delta("content", part), added, 0)
    for index, made in enumerate(choice.calls):
        size, added = _grown(0, made.name)
        start = {"id": made.id, "type": "function", "function": {"name": made.name, "arguments": ""}}
        yield Piece(msgspec.json.encode({"tool_calls": [{"index": index, **start}]}), added, 0)
        for part in _FRAGMENT.findall(made.arguments):
            size, added = _grown(size, part)
            yield Piece(
                msgspec.json.encode({"tool_calls": [{"index": index, "function": {"arguments": part}}]}), added, 0
            )


def _grown(size: int, part: str) -> tuple[int, int]:
    """The bytes so far with this part, and the tokens that it adds."""
    grown = size + len(part.encode("utf-8", "replace"))
    return grown, -(-grown // BYTES_PER_TOKEN) - -(-size // BYTES_PER_TOKEN)


def _delta(key: str, part: str) -> bytes:
    return b'{"%b":%b}' % (key.encode(), msgspec.json.encode(part))
