"""What the server hands in and gets back: one HTTP request and its answer, without a web framework."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import msgspec

from .keys import Caller

# Headers that change what a body means, on the wires that are known.
VERSION_HEADERS = (b"openai-beta", b"openai-version", b"anthropic-version", b"anthropic-beta", b"api-version")


class Inbound(msgspec.Struct, frozen=True):
    """One request as it came: `headers` by lower-case name, `query` as raw bytes, `body` whole.

    `is_internal` marks Mooring's own questions (a judge, a rewriter), so that guards do not recurse.
    `model` and `is_stream` are what the path says, on a wire whose bodies do not say it.
    `key_lifetime_seconds`: how long its key answers, where that is not the configured time.
    `disconnected()` returns when the client has hung up; the gateway asks for it only where a call takes long.
    """

    caller: Caller
    body: bytes
    headers: Mapping[bytes, bytes] = {}
    method: str = "POST"
    path: str = "/v1/chat/completions"
    query: bytes = b""
    is_internal: bool = False
    model: str | None = None
    is_stream: bool = False
    key_lifetime_seconds: int | None = None
    disconnected: Callable[[], Awaitable[object]] | None = None

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


class Outbound(msgspec.Struct):
    """The answer: a whole body, or an iterator of a stream's bytes, to be closed by whoever stops early."""

    status: int = 200
    body: bytes | AsyncIterator[bytes] = b""
    content_type: str = "application/json"
    headers: list[tuple[bytes, bytes]] = []
