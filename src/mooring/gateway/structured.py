"""Answers that must be JSON: mended, checked against their schema, asked for again with what is wrong, or refused.

A model's `repairs` switches it on, for answers that are not streamed. The ladder: mend the syntax → ask again on the
same target with the errors, so many times → the next target → an error that carries the raw text. Each ask is an
attempt of its own, journalled and billed. A target that is known to have no JSON mode is told the schema in words.
"""

from typing import Any

import msgspec

from mooring.core.messages import ChatRequest, ChatResponse, Choice, Message, OutputFormat, TextPart
from mooring.core.text import shorten

from .asked import Asked
from .call import Call
from .json_schema import problems
from .mending import OutputInvalid, mended
from .plan import Target

RAW_CHARACTERS = 2000
_decode = msgspec.json.Decoder().decode


def is_due(asked: Asked) -> bool:
    """Whether this call's answers are held to JSON here."""
    output = asked.request.output
    return (
        asked.plan.repairs is not None and not asked.request.is_stream and output is not None and output.kind != "text"
    )


def shaped(call: Call, target: Target, *, is_repair: bool) -> Asked:
    """What this target is asked: the caller's own request, or one with the schema in words, or with what was wrong."""
    asked = call.asked
    if not is_due(asked):
        return asked
    request = _told(asked.request, target)
    if is_repair and call.correction:
        request = msgspec.structs.replace(request, messages=(*request.messages, *call.correction))
    if request is asked.request:
        return asked
    changed = msgspec.structs.replace(asked, request=request, fields=dict(asked.fields))
    changed.codec.rewrite_request(changed.fields, asked.request, request)
    return changed


def held(call: Call, response: ChatResponse) -> ChatResponse:
    """The answer with its JSON mended where it had to be; the very same where nothing had to.

    Raises:
        OutputInvalid: it does not fit; `call.correction` is what to say about it.
    """
    if not is_due(call.asked):
        return response
    output = call.asked.request.output
    assert output is not None
    choices = tuple(_held(call, choice, output) for choice in response.choices)
    if all(new is old for new, old in zip(choices, response.choices, strict=True)):
        return response
    return msgspec.structs.replace(response, choices=choices)


def _told(request: ChatRequest, target: Target) -> ChatRequest:
    """The schema in words, where the target is known not to take it otherwise."""
    output, able = request.output, target.facts.json_output
    if output is None or able not in ("none", "object") or (able == "object" and output.kind == "json_object"):
        return request
    words = "Answer with one JSON value alone: no prose around it, no fences."
    if output.schema is not None:
        words += f" It must fit this JSON Schema: {msgspec.json.encode(output.schema).decode()}"
    told = Message("system", (TextPart(words),))
    kept = OutputFormat("json_object") if able == "object" else None
    return msgspec.structs.replace(request, messages=(told, *request.messages), output=kept)


def _held(call: Call, choice: Choice, output: OutputFormat) -> Choice:
    if choice.message.tool_calls:
        return choice
    text = choice.message.text
    found = mended(text) if choice.finish_reason != "length" else text
    wrong = _wrong(found, output) if found is not None else ["it is not JSON"]
    if choice.finish_reason == "length" and wrong:
        wrong = ["it was cut at its limit of output tokens"]
    if wrong:
        call.correction = (
            Message("assistant", (TextPart(text),)),
            Message("user", (TextPart(f"That does not fit: {'; '.join(wrong)}. Answer again, with the JSON alone."),)),
        )
        raise OutputInvalid(
            f"The answer does not fit what was asked for: {'; '.join(wrong)}. It was: {shorten(text, RAW_CHARACTERS)}",
            upstream_status=200,
            is_billable=True,
        )
    if found == text:
        return choice
    parts = [part for part in choice.message.parts if not isinstance(part, TextPart)]
    message = msgspec.structs.replace(choice.message, parts=(*parts, TextPart(found or "")))
    return msgspec.structs.replace(choice, message=message)


def _wrong(text: str, output: OutputFormat) -> list[str]:
    try:
        value: Any = _decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ["it is not JSON"]
    if output.schema is not None:
        return problems(value, output.schema)
    return [] if isinstance(value, dict) else ["it is not a JSON object"]
