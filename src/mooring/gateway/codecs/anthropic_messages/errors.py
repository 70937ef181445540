"""Anthropic errors: what an upstream's error body means, and ours in the same shape."""

from typing import Any

import msgspec

from mooring.core.errors import MooringError

from ..openai_chat.errors import decode_error

__all__ = ["decode_error", "encode_error", "error_object"]

_encode = msgspec.json.encode
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def error_object(status: int, message: str, code: str, param: str | None = None) -> dict[str, Any]:
    """The error as this wire shapes it; `details.error_code` is ours."""
    kind = _TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")
    details: dict[str, Any] = {"error_code": code}
    if param is not None:
        details["param"] = param
    return {"type": "error", "error": {"type": kind, "message": message, "details": details}, "request_id": None}


def encode_error(error: MooringError, *, message: str | None = None, code: str | None = None) -> bytes:
    """Our error as an Anthropic client reads it; `message` and `code` stand in for its own."""
    return _encode(error_object(error.status, message or str(error), code or error.code, error.param))
