"""Errors on the wire, in the shape that the route's clients know."""

from collections.abc import Sequence

from mooring.core.errors import MooringError
from mooring.core.seams import Redactor
from mooring.core.text import shorten
from mooring.gateway.codecs import registry as codecs

from .exchange import Exchange, Reply

# Whose errors an address has, by how it begins; all others have OpenAI's.
_WIRES = (
    ("/v1/messages", "anthropic_messages"),
    ("/v1/rerank", "cohere_rerank"),
    ("/v2/rerank", "cohere_rerank"),
    ("/v1beta/", "gemini_generate"),
    ("/v1/models/", "gemini_generate"),
)


class MethodNotAllowed(MooringError):
    """The path exists, with another method."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, message: str, *, allowed: Sequence[str]) -> None:
        super().__init__(message, hint=f"It takes {', '.join(allowed)}.")
        self.allowed = allowed


def internal_error() -> MooringError:
    """What a caller sees of a mistake of ours: nothing of the inside."""
    return MooringError(
        "Something failed inside Mooring.", hint="The server's log says what; look for this moment there."
    )


def wire_of(exchange: Exchange) -> str:
    """The wire that is spoken at this address. A model is read at one address on two wires: the key's header tells."""
    wire = next((wire for start, wire in _WIRES if exchange.path.startswith(start)), "openai_chat")
    is_openai = exchange.path.startswith("/v1/models/") and exchange.method == "GET"
    return "openai_chat" if is_openai and b"x-goog-api-key" not in exchange.headers else wire


def reply_for(error: MooringError, exchange: Exchange, redactor: Redactor) -> Reply:
    """The error object of the address's wire; 409s tell the SDKs not to retry."""
    headers: list[tuple[bytes, bytes]] = []
    if error.status == 409:
        headers.append((b"x-should-retry", b"false"))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if error.status in (429, 503) and error.retry_after_seconds is not None:
        headers.append((b"retry-after", b"%d" % max(1, round(error.retry_after_seconds))))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    if exchange.method == "HEAD":
        return Reply(error.status, headers=headers)
    message = redactor(shorten(str(error), 2000))
    body = codecs.get(wire_of(exchange))().encode_error(error, message=message)
    return Reply(error.status, body, headers=headers)
