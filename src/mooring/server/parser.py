"""Bytes of a connection to exchanges: httptools parses, the limits on a request's head are kept here."""

from collections.abc import Callable
from functools import lru_cache
from typing import Literal
from urllib.parse import unquote

import httptools

from mooring.core.errors import InvalidRequest, MooringError, TooLarge

from .exchange import Exchange

HEAD_BYTES = 65_536  # of one request: its line and its headers
HEADERS = 256
_FRAMING = (b"content-length", b"transfer-encoding")
_ONCE = frozenset({b"host", b"content-length", b"authorization"})
Phase = Literal["between", "head", "body"]


class RequestParser:
    """`on_request` gets each request once its head is whole; the body is fed to it. `on_wanted` is told to it.

    `problem` is why nothing more can be parsed. `is_full`: the request that comes in wants no more for now.
    """

    def __init__(
        self,
        *,
        scheme: str,
        body_limit_bytes: int,
        on_request: Callable[[Exchange], None],
        on_wanted: Callable[[], None],
    ) -> None:
        self.phase: Phase = "between"
        self.problem: MooringError | None = None
        self.incoming: Exchange | None = None
        self.is_full = False
        self._scheme = scheme
        self._body_limit_bytes = body_limit_bytes
        self._on_request = on_request
        self._on_wanted = on_wanted
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._packet = 0
        self._fed = 0  # in the packets behind the one in which this head began
        self._is_again = False

    def feed(self, data: bytes) -> None:
        """Parse what has come; afterwards look at `problem`, `phase` and `is_full`."""
        self._packet = len(data)
        self._fed += self._packet
        try:
            self._feed(data)
            if self.phase == "head" and self._fed > HEAD_BYTES:
                self.problem = _HeadTooLarge("The request's head is too large.", hint="Send fewer or shorter headers.")
        except httptools.HttpParserError:
            self.problem = self.problem or InvalidRequest("This is not an HTTP/1.1 request.")

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # Java's client asks for h2c with every plain request. We stay with HTTP/1.1; but the parser stops before
            # the body, so another one takes it from there, with the same framing.
            framing = [b"%b: %b\r\n" % (name, self._headers[name]) for name in _FRAMING if name in self._headers]
            self._parser = httptools.HttpRequestParser(self)
            self._is_again = True
            self._parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(framing) + b"\r\n")
            self._is_again = False
            self._feed(data[upgrade.args[0] :])

    # httptools' callbacks: what they raise would be swallowed, so problems are kept ---

    def on_message_begin(self) -> None:
        if not self._is_again:
            self.phase = "head"
            self._fed = 0
            self._url = b""
            self._headers = {}

    def on_url(self, url: bytes) -> None:
        if self._is_again:
            return
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_again:
            return
        name = name.lower()
        if name in self._headers:
            if name in _ONCE:
                self.problem = InvalidRequest(f"The header '{name.decode('latin-1')}' came twice.")
            elif name == b"cookie":  # proxies from HTTP/2 split it
                value = self._headers[name] + b"; " + value
        self._headers[name] = value

    def on_headers_complete(self) -> None:
        if self._is_again or self.problem is not None:
            return
        if len(self._headers) > HEADERS or (self._is_large() and self._head_bytes() > HEAD_BYTES):
            self.problem = _HeadTooLarge("The request's headers are too large.", hint="Send fewer or shorter ones.")
            return
        parser = self._parser
        try:
            path, query = _target(self._url)
        except (httptools.HttpParserInvalidURLError, ValueError):
            self.problem = InvalidRequest("The request's URL cannot be read.")
            return
        self.phase = "body"
        self.incoming = Exchange(
            parser.get_method().decode("ascii"),
            path,
            self._headers,
            self._body_limit_bytes,
            query,
            scheme=self._scheme,
            keeps_alive=parser.should_keep_alive(),
            takes_chunks=parser.get_http_version() != "1.0",
            on_wanted=self._on_wanted,
        )
        self._on_request(self.incoming)

    def _is_large(self) -> bool:
        """Whether the head is worth adding up; its packets may hold other things as well."""
        return self._packet + self._fed > HEAD_BYTES // 2

    def _head_bytes(self) -> int:
        return len(self._url) + sum(len(name) + len(value) + 4 for name, value in self._headers.items())

    def on_body(self, data: bytes) -> None:
        if self.incoming is not None:
            self.is_full = not self.incoming.feed(data)

    def on_message_complete(self) -> None:
        if not self._is_again and self._parser.should_upgrade():
            return  # its body is still to come, from the next parser
        self.phase = "between"
        self.is_full = False
        incoming, self.incoming = self.incoming, None
        if incoming is not None:
            incoming.end()


class _HeadTooLarge(TooLarge):
    status = 431


@lru_cache(maxsize=512)
def _target(url: bytes) -> tuple[str, bytes]:
    """Path, decoded, and query of a request's URL."""
    parsed = httptools.parse_url(url)
    path = (parsed.path or b"/").decode("ascii")
    return (unquote(path) if "%" in path else path), parsed.query or b""
