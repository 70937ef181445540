"""What the double answers on the wire of Bedrock's Converse: whole bodies, and streams in binary frames."""

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import msgspec

from .chat import Completion, Frame, Usage
from .dialect import Dialect
from .generate import Choice, pieces
from .models import tokens

_encode = msgspec.json.Encoder().encode
_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
STREAM_TYPE = "application/vnd.amazon.eventstream"


def usage_fields(usage: Usage) -> dict[str, Any]:
    """What was read from the cache or written to it stands beside the input, not in it."""
    beside = usage.cached_input_tokens + usage.cache_write_tokens
    return {
        "inputTokens": usage.input_tokens - beside,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.input_tokens + usage.output_tokens,
        "cacheReadInputTokens": usage.cached_input_tokens,
        "cacheWriteInputTokens": usage.cache_write_tokens,
    }


def whole(completion: Completion) -> bytes:
    """The whole answer."""
    choice = completion.choices[0]
    content: list[dict[str, Any]] = []
    if choice.reasoning:
        text = {"text": choice.reasoning, "signature": _signature(choice)}
        content.append({"reasoningContent": {"reasoningText": text}})
    if choice.text:
        content.append({"text": choice.text})
    for made in choice.calls:
        content.append({"toolUse": {"toolUseId": made.id, "name": made.name, "input": _input(made.arguments)}})
    return _encode(
        {
            "metrics": {"latencyMs": 12},
            "output": {"message": {"content": content, "role": "assistant"}},
            "stopReason": _STOPS[choice.finish_reason],
            "usage": usage_fields(completion.usage),
        }
    )


def _signature(choice: Choice) -> str:
    return f"sig-{tokens(choice.reasoning)}"


def _input(arguments: str) -> Any:
    try:
        return msgspec.json.decode(arguments or "{}")
    except msgspec.DecodeError:
        return {}  # cut by the limit


def _framed(headers: dict[str, str], payload: bytes) -> bytes:
    """Length, length of the headers, their checksum, the headers, the payload, the checksum of it all."""
    head = b""
    for name, value in headers.items():
        head += struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
    start = struct.pack(">II", len(head) + len(payload) + 16, len(head))
    start += struct.pack(">I", zlib.crc32(start))
    return start + head + payload + struct.pack(">I", zlib.crc32(start + head + payload))


def _event(kind: str, **fields: Any) -> bytes:
    """One frame; like Bedrock's, padded so that its size tells nothing."""
    payload = _encode({**fields, "p": "abcdefghijklmnop"[: 1 + len(fields) * 3 % 16]})
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return _framed(headers, payload)


def event(data: bytes) -> bytes:
    """An error inside a stream."""
    headers = {
        ":exception-type": "internalServerException",
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return _framed(headers, data)


def stream(completion: Completion, has_usage: bool) -> Iterator[Frame]:
    """A streamed answer; blocks of text are not opened, they begin with their first delta."""
    choice = completion.choices[0]
    yield Frame("head", b"")
    yield Frame("role", _event("messageStart", role="assistant"))
    index, kind = -1, ""
    for piece in pieces(choice):
        made = msgspec.json.decode(piece.delta)
        name, begun, delta = _delta(made)
        data = b""
        if begun is not None or name != kind:
            data += _closed(index, kind, choice)
            index, kind = index + 1, name
            if begun is not None:
                data += _event("contentBlockStart", contentBlockIndex=index, start={"toolUse": begun})
        if delta is not None:
            data += _event("contentBlockDelta", contentBlockIndex=index, delta=delta)
        yield Frame("event", data, piece.output_tokens, piece.reasoning_tokens)
    stop = _event("messageStop", stopReason=_STOPS[choice.finish_reason])
    yield Frame("finish", _closed(index, kind, choice) + stop)
    yield Frame("usage", _event("metadata", metrics={"latencyMs": 12}, usage=usage_fields(completion.usage)))
    yield Frame("end", b"")


def _delta(made: dict[str, Any]) -> tuple[str, dict[str, Any] | None, dict[str, Any] | None]:
    """The kind of block that a piece belongs to, what opens it, and its delta."""
    if "content" in made:
        return "text", None, {"text": made["content"]}
    if "reasoning_content" in made:
        return "thought", None, {"reasoningContent": {"text": made["reasoning_content"]}}
    call = made["tool_calls"][0]
    if "id" in call:
        return "tool", {"toolUseId": call["id"], "name": call["function"]["name"]}, None
    return "tool", None, {"toolUse": {"input": call["function"]["arguments"]}}


def _closed(index: int, kind: str, choice: Choice) -> bytes:
    if index < 0:
        return b""
    data = b""
    if kind == "thought":
        delta = {"reasoningContent": {"signature": _signature(choice)}}
        data = _event("contentBlockDelta", contentBlockIndex=index, delta=delta)
    return data + _event("contentBlockStop", contentBlockIndex=index)


def error(message: str, *, kind: str, param: str | None = None, code: str | None = None, status: int = 500) -> bytes:
    """An error's body; its name is in a header of a real one."""
    return _encode({"message": message})


def other_usage(data: bytes, usage: dict[str, Any] | None) -> bytes:
    """The last frame with other figures, or without any."""
    return _event("metadata", metrics={"latencyMs": 12}, **({"usage": usage} if usage is not None else {}))


CONVERSE = Dialect(
    whole=whole,
    stream=stream,
    error=error,
    usage="usage",
    wrong_usage={"inputTokens": 1, "outputTokens": -3, "totalTokens": 7, "cacheReadInputTokens": 999_999},
    done=b"",
    empty=b"{}",
    event=event,
    stream_type=STREAM_TYPE,
    other_event=other_usage,
)
