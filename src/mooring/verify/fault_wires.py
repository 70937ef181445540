"""The wires that the battery of faults speaks: how the double is asked by each, how callers ask, how an answer is read.

A caller's judgement is that of an SDK of its own wire: the whole text and its good end, an error in that wire's shape,
or neither.
"""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from .fault_list import Case

TEXT = "Grüße 🌊 from 横浜: one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen."
MOST_TOKENS = 200

Verdict = Literal["whole", "shown", "silent", "cut", "hung"]

Read = Callable[[Any], str]


class Inward(NamedTuple):
    """A wire that callers speak: address and body of a request, and how text, end and error are found in an answer."""

    path: Callable[[str, bool], str]
    body: Callable[[str], dict[str, Any]]
    text: Read  # of a whole body
    piece: Read  # of an event
    is_end: Callable[[Any], bool]  # whether the last event ends a stream well
    broken: Callable[[Any], str | None]  # the words of an event that is an error


class Wire(NamedTuple):
    """A choice of `--wire`: whom the gateway asks and how, and the wire of the callers.

    `unfit`: faults, by kind or name, that do not exist here. `words`: what this vendor says where OpenAI says a code.
    """

    name: str
    inward: str
    out: str
    section: str
    base: str
    unfit: frozenset[str] = frozenset()
    words: Mapping[str, str] = MappingProxyType({})


def _openai_error(event: Any) -> str | None:
    return str(event["error"]["message"]) if "error" in event else None


def _anthropic_error(event: Any) -> str | None:
    return str(event["error"]["message"]) if event["type"] == "error" else None


def _responses_error(event: Any) -> str | None:
    if event["type"] == "error":
        return str(event["message"])
    return str(event["response"]["error"]["message"]) if event["type"] == "response.failed" else None


def _parts(event: Any) -> str:
    return "".join(
        part.get("text", "") for one in event["candidates"] for part in one.get("content", {}).get("parts", ())
    )


INWARD = {
    "openai_chat": Inward(
        path=lambda model, is_stream: "/v1/chat/completions",
        body=lambda model: {"model": model, "max_tokens": MOST_TOKENS, "messages": [{"role": "user", "content": TEXT}]},
        text=lambda body: body["choices"][0]["message"]["content"],
        piece=lambda event: "".join(choice["delta"].get("content") or "" for choice in event["choices"]),
        is_end=lambda event: event == "[DONE]",
        broken=_openai_error,
    ),
    "anthropic_messages": Inward(
        path=lambda model, is_stream: "/v1/messages",
        body=lambda model: {"model": model, "max_tokens": MOST_TOKENS, "messages": [{"role": "user", "content": TEXT}]},
        text=lambda body: "".join(block["text"] for block in body["content"] if body["stop_reason"] == "end_turn"),
        piece=lambda event: event["delta"].get("text", "") if event["type"] == "content_block_delta" else "",
        is_end=lambda event: event["type"] == "message_stop",
        broken=_anthropic_error,
    ),
    "gemini_generate": Inward(
        path=lambda model, is_stream: (
            f"/v1beta/models/{model}:{'streamGenerateContent?alt=sse' if is_stream else 'generateContent'}"
        ),
        body=lambda model: {
            "contents": [{"role": "user", "parts": [{"text": TEXT}]}],
            "generationConfig": {"maxOutputTokens": MOST_TOKENS},
        },
        text=lambda body: _parts(body) if body["candidates"][0]["finishReason"] == "STOP" else "",
        piece=_parts,
        is_end=lambda event: "error" not in event and event["candidates"][0].get("finishReason") == "STOP",
        broken=_openai_error,
    ),
    "openai_responses": Inward(
        path=lambda model, is_stream: "/v1/responses",
        body=lambda model: {"model": model, "max_output_tokens": MOST_TOKENS, "input": TEXT, "store": False},
        text=lambda body: "".join(
            part["text"] for item in body["output"] for part in item["content"] if body["status"] == "completed"
        ),
        piece=lambda event: event["delta"] if event["type"] == "response.output_text.delta" else "",
        is_end=lambda event: event["type"] == "response.completed",
        broken=_responses_error,
    ),
}

_ENDLESS = frozenset({"no_done", "early_done"})  # these wires have no mark of an end beside the last event
_ANTHROPIC = {"context_length_exceeded": "prompt is too long: 250000 tokens > 200000 maximum"}
_GEMINI = {"context_length_exceeded": "The input token count (1200000) exceeds the maximum number of tokens allowed."}
_BEDROCK = {"context_length_exceeded": "Input is too long for requested model."}

WIRES = {
    wire.name: wire
    for wire in (
        Wire("openai_chat", "openai_chat", "openai_chat", 'type = "sim"', "/v1"),
        Wire(
            "anthropic_messages",
            "anthropic_messages",
            "anthropic_messages",
            'type = "anthropic"',
            "/v1",
            words=_ANTHROPIC,
        ),
        Wire("gemini_generate", "gemini_generate", "gemini_generate", 'type = "gemini"', "/v1beta", _ENDLESS, _GEMINI),
        Wire(
            "openai_responses",
            "openai_responses",
            "openai_responses",
            'type = "openai_compatible"\nwires = { "*" = "openai_responses" }',
            "/v1",
            _ENDLESS | {"bytes slower than the deadline"},  # its first events are so long that no token has gone out
        ),
        # its frames are no lines of text, and nobody asks Mooring by it
        Wire(
            "bedrock_converse",
            "openai_chat",
            "bedrock_converse",
            'type = "bedrock"\nregion = "eu-west-1"',
            "",
            _ENDLESS | {"crlf", "comments"},
            _BEDROCK,
        ),
        Wire("crossed", "anthropic_messages", "gemini_generate", 'type = "gemini"', "/v1beta", _ENDLESS, _GEMINI),
    )
}
_SAYS_CODES = ("openai_chat", "openai_responses")


def fits(case: Case, wire: Wire) -> bool:
    """Whether this fault exists on this wire."""
    return case.name not in wire.unfit and (case.fault is None or case.fault["kind"] not in wire.unfit)


def fault_of(case: Case, wire: Wire) -> dict[str, Any] | None:
    """What is ordered of the double: an error in the words and the shape of the wire."""
    if case.fault is None or not case.message:
        return case.fault
    if wire.name in _SAYS_CODES:
        error = {"message": case.message, "type": "error", "code": case.code}
        return {**case.fault, "body": json.dumps({"error": error})}
    return {**case.fault, "message": wire.words.get(case.code, case.message)}


def judge(status: int, data: bytes, *, is_stream: bool, inward: str = "openai_chat") -> tuple[Verdict, str]:
    """Whether the answer is whole, shown to be broken, or neither."""
    try:
        if status != 200:
            return "shown", str(json.loads(data)["error"]["message"])
        return _judge_stream(data, INWARD[inward]) if is_stream else _judge_body(data, INWARD[inward])
    except (ValueError, KeyError, TypeError, IndexError) as error:
        return "silent", f"status {status}, and a body that no SDK can read: {error!r}: {data[:200]!r}"


def _judge_body(data: bytes, inward: Inward) -> tuple[Verdict, str]:
    text = inward.text(json.loads(data))
    return ("whole", "") if text == TEXT else ("silent", f"the text is {text!r}")


def _judge_stream(data: bytes, inward: Inward) -> tuple[Verdict, str]:
    lines = [line.removeprefix("data: ") for line in data.decode().split("\n") if line.startswith("data: ")]
    events = [line if line == "[DONE]" else json.loads(line) for line in lines]
    chunks = [event for event in events if event != "[DONE]"]
    is_ended = bool(events) and inward.is_end(events[-1])
    for message in filter(None, map(inward.broken, chunks)):
        return ("silent", f"an error, then a good end: {message}") if is_ended else ("shown", message)
    text = "".join(map(inward.piece, chunks))
    if text == TEXT and is_ended:
        return "whole", ""
    return "silent", f"the text is {text!r}, the last event {events[-1:]}"
