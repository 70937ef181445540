"""Gemini errors: what an upstream's error body means, and ours in the same shape."""

import re
from typing import Any

import msgspec

from mooring.core.errors import MooringError

from .. import Failure, ReadsHeaders
from ..openai_chat.errors import decode_error as decode_described

_encode = msgspec.json.encode
_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_DELAY = re.compile(rb'"retryDelay"\s*:\s*"(\d{1,6}(?:\.\d{1,9})?)s"')
_STATUS = re.compile(rb'"status"\s*:\s*"([A-Z_]{1,40})"')


def decode_error(status: int, headers: ReadsHeaders, body: bytes) -> Failure:
    """What the error means for the next step; the wait stands in the body."""
    body = body.strip()
    failure = decode_described(status, headers, body.strip(b"[]") if body[:1] == b"[" else body)
    delay, name = _DELAY.search(body), _STATUS.search(body)
    wait = failure.retry_after_seconds
    return msgspec.structs.replace(
        failure,
        code=name.group(1).decode().lower() if name else failure.code,
        retry_after_seconds=float(delay.group(1)) if delay and wait is None else wait,
    )


def error_object(status: int, message: str, code: str) -> dict[str, Any]:
    """The error as this wire shapes it; the reason of its details is ours."""
    name = _NAMES.get(status) or ("INVALID_ARGUMENT" if status < 500 else "INTERNAL")
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code.upper(), "domain": "mooring"}]
    return {"error": {"code": status, "message": message, "status": name, "details": details}}


def encode_error(error: MooringError, *, message: str | None = None, code: str | None = None) -> bytes:
    """Our error as a Gemini client reads it; `message` and `code` stand in for its own."""
    return _encode(error_object(error.status, message or str(error), code or error.code))
