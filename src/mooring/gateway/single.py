"""One tool call a turn, on wires that cannot ask for it: what a model calls beside the first is left out of its answer.

The model calls it in its next turn, if it still wants to, and then it knows what the first call gave.
"""

from collections.abc import Iterable

import msgspec

from mooring.core.events import Event, ToolCallDelta, ToolCallStart
from mooring.core.messages import ChatRequest, ChatResponse, Choice, Part, ToolCallPart

from .codecs import Codec


def is_held(request: ChatRequest, codec: Codec) -> bool:
    """Whether answers by this wire have to be held to one call here."""
    return request.allows_parallel_tools is False and "no parallel tools" in codec.held_here


def first_call(answer: ChatResponse) -> ChatResponse:
    """The answer with the first tool call of each choice alone; itself, where there are no more."""
    choices = tuple(_first_of(choice) for choice in answer.choices)
    is_same = all(new is old for new, old in zip(choices, answer.choices, strict=True))
    return answer if is_same else msgspec.structs.replace(answer, choices=choices)


def first_events(events: Iterable[Event]) -> list[Event]:
    """The same of a stream."""
    return [one for one in events if not isinstance(one, ToolCallStart | ToolCallDelta) or one.index == 0]


def _first_of(choice: Choice) -> Choice:
    parts: list[Part] = []
    has_call = False
    for part in choice.message.parts:
        if isinstance(part, ToolCallPart):
            if has_call:
                continue
            has_call = True
        parts.append(part)
    if len(parts) == len(choice.message.parts):
        return choice
    return msgspec.structs.replace(choice, message=msgspec.structs.replace(choice.message, parts=tuple(parts)))
