"""OpenAI errors: what an upstream's error body means, and ours in the same shape."""

import re
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

import msgspec

from mooring.core.errors import MooringError
from mooring.core.text import shorten

from .. import Failure, FailureKind, ReadsHeaders

_encode = msgspec.json.encode
_decode_any = msgspec.json.Decoder().decode

# Words of OpenAI, Azure, vLLM, llama.cpp, Groq, Together, Mistral, DeepSeek, Gemini, Bedrock and Anthropic.
_CONTEXT_LENGTH = re.compile(
    r"context[_ ]length|maximum context|context window|too many tokens|prompt is too long"
    r"|exceeds? the (?:available )?context|input is too long|reduce the length"
    r"|exceeds? the maximum number of (?:input )?tokens",
    re.IGNORECASE,
)
_OUT_OF_MONEY = re.compile(
    r"insufficient[_ ](?:quota|balance|funds|credits?)|credit balance|exceeded your current quota"
    r"|billing[_ ]|out of credits|spend(?:ing)? limit|payment required",
    re.IGNORECASE,
)
_BY_STATUS: dict[int, FailureKind] = {
    401: "not_authorised",
    402: "out_of_money",
    403: "not_authorised",
    404: "no_such_model",
    408: "broken",
    409: "broken",
    413: "context_length",
    425: "overloaded",
    429: "rate_limited",
    503: "overloaded",
    529: "overloaded",
}


class Described(msgspec.Struct, frozen=True):
    """The words of an error body, whoever wrote it."""

    message: str
    code: str | None = None
    type: str | None = None
    param: str | None = None


def describe(body: bytes) -> Described:
    """Finds the message in an OpenAI error, a FastAPI one, a bare string, or HTML."""
    try:
        decoded = _decode_any(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = re.sub(r"<[^>]{0,500}>|\s+", " ", body[:2000].decode(errors="replace")).strip()
        return Described(message=shorten(text) or "an empty body")
    if isinstance(decoded, list) and len(decoded) == 1:  # Gemini's compatible address wraps its error in a list
        decoded = decoded[0]
    error: Any = decoded
    if isinstance(decoded, dict):
        error = decoded.get("error") or decoded.get("detail") or decoded.get("message") or decoded
    if isinstance(error, dict):
        return Described(
            message=shorten(_text(error.get("message")) or _encode(error).decode(), 1000),
            code=_text(error.get("code")),
            type=_text(error.get("type")),
            param=_text(error.get("param")),
        )
    return Described(message=shorten(error if isinstance(error, str) else _encode(error).decode(), 1000))


def _text(value: object) -> str | None:
    return None if value is None else shorten(str(value), 1000)


def decode_error(status: int, headers: ReadsHeaders, body: bytes) -> Failure:
    """What the error means for the next step."""
    described = describe(body)
    words = f"{described.code or ''} {described.type or ''} {described.message}"
    return Failure(
        kind=_kind(status, words),
        message=described.message,
        code=described.code or described.type,
        param=described.param,
        retry_after_seconds=retry_after(headers),
    )


def _kind(status: int, words: str) -> FailureKind:
    if _OUT_OF_MONEY.search(words) and status != 503:
        return "out_of_money"
    if status < 500 and _CONTEXT_LENGTH.search(words):
        return "context_length"
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return "broken" if status >= 500 or status < 400 else "invalid"


def retry_after(headers: ReadsHeaders) -> float | None:
    """Seconds until it may be asked again: `retry-after-ms`, or `retry-after` in seconds or as a date."""
    milliseconds = headers.get("retry-after-ms")
    value = headers.get("retry-after")
    try:
        if milliseconds is not None:
            return max(float(milliseconds) / 1000, 0.0)
        if value is None:
            return None
        if value.strip().replace(".", "", 1).isdigit():
            return float(value)
        return max(parsedate_to_datetime(value).timestamp() - time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None


def encode_error(error: MooringError, *, message: str | None = None, code: str | None = None) -> bytes:
    """Our error as an OpenAI client reads it; `message` and `code` stand in for its own."""
    kind = "invalid_request_error" if 400 <= error.status < 500 else "server_error"
    return _encode(
        {"error": {"message": message or str(error), "type": kind, "param": error.param, "code": code or error.code}}
    )
