"""Errors on the wire, in the shape that the route's clients know."""

import msgspec

from mooring.core.errors import MooringError, RateLimited
from mooring.core.seams import Redactor
from mooring.core.text import shorten

from .exchange import Exchange, Reply


def internal_error() -> MooringError:
    """What a caller sees of a mistake of ours: nothing of the inside."""
    return MooringError(
        "Something failed inside Mooring.", hint="The server's log says what; look for this moment there."
    )


def reply_for(error: MooringError, exchange: Exchange, redactor: Redactor) -> Reply:
    """The OpenAI error object; 409s tell the SDKs not to retry."""
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    body = {
        "error": {
            "message": redactor(shorten(str(error), 2000)),
            "type": kind,
            "param": error.param,
            "code": error.code,
        }
    }
    headers: list[tuple[bytes, bytes]] = []
    if error.status == 409:
        headers.append((b"x-should-retry", b"false"))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, RateLimited) and error.retry_after_seconds is not None:
        headers.append((b"retry-after", b"%d" % max(1, round(error.retry_after_seconds))))
    if exchange.method == "HEAD":
        return Reply(error.status, headers=headers)
    return Reply(error.status, msgspec.json.encode(body), headers=headers)
