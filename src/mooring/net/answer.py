"""Bytes of one connection in, responses out: httptools does the tokens, this file decides what they mean.

httptools never learns that the peer has gone, cannot be told that an answer has no body, and reads on into whatever
follows: so where a body ends, what is too much and what was not asked for is decided here.
"""

import enum

import httptools

from mooring.core.errors import MooringError, TooLarge, UpstreamMalformed

from .limits import PoolLimits
from .request import Origin
from .response import Response

_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"content-encoding", b"keep-alive"})
_NOTHING: dict[bytes, bytes] = {}


class Phase(enum.IntEnum):
    """Where the exchange stands; `OVER` is a whole response, and what comes after it was not asked for."""

    HEAD = 1
    INTERIM = 2
    BODY = 3
    OVER = 4


# Looked up a dozen times a request: a member by its class costs three times a global.
_HEAD, _INTERIM, _BODY, _OVER = Phase


class AnswerParser:
    """Feeds one `Response` at a time. `on_*` are httptools' callbacks."""

    def __init__(self, origin: Origin, limits: PoolLimits) -> None:
        self.phase = Phase.OVER
        self.ends_with_socket = False
        self.keep_alive_seconds = limits.idle_seconds
        self._is_reusable = True
        self._origin = origin
        self._limits = limits
        self._parser = httptools.HttpResponseParser(self)
        self._response: Response | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._framing = _NOTHING
        self._problem: MooringError | None = None
        self._overhead_bytes = 0

    def start(self, response: Response) -> None:
        """Expect the answer to a request that has just been sent."""
        self.phase = _HEAD
        self._response = response
        self._overhead_bytes = 0

    def feed(self, data: bytes) -> None:
        """Bytes as they came.

        Raises:
            UpstreamMalformed: not HTTP/1.1, or framed so that nobody can say where the body ends.
            TooLarge: head, trailers or framing over the limit.
        """
        self._overhead_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self._problem is not None:
                raise self._problem from None
            if self.phase is not _OVER:
                raise self._malformed(str(error)) from error
            self._is_reusable = False
        if self._problem is not None:
            raise self._problem
        if self._overhead_bytes > self._limits.header_bytes and self.phase is not _OVER:
            raise self._too_much_head()

    def release(self) -> bool:
        """Done with the response; whether the connection can carry another."""
        response, self._response = self._response, None
        if response is not None and response.request.method == "HEAD":
            # The parser would read the next answer as this one's body.
            self._parser = httptools.HttpResponseParser(self)
        return self._is_reusable

    def close(self) -> None:
        """Break the cycle with httptools' parser, which holds bound methods of this object."""
        del self._parser
        self._response = None

    # httptools' callbacks: what they raise would be swallowed, so problems are kept ----------------

    def on_message_begin(self) -> None:
        if self.phase is _INTERIM:
            self.phase = _HEAD
        elif self.phase is _OVER:
            self._is_reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if self.phase is _HEAD:
            self._headers.append((name, value))
            if name in _FRAMING:
                self._framing = {**self._framing, name: value}
        elif self.phase is _BODY and self._response is not None:
            self._response.add_trailer(name, value)

    def on_headers_complete(self) -> None:
        response = self._response
        if self.phase is not _HEAD or response is None or self._problem is not None:
            return
        status: int = self._parser.get_status_code()
        headers, self._headers = self._headers, []
        framing, self._framing = self._framing, _NOTHING
        if self._overhead_bytes > self._limits.header_bytes and _size(headers) > self._limits.header_bytes:
            self._problem = self._too_much_head()
        elif status < 200:
            self.phase = _INTERIM
            if status not in {100, 102, 103}:
                self._problem = self._malformed(f"status {status} was not asked for")
        else:
            self._problem = self._frame(response, status, framing)
            if self._problem is None:
                self._overhead_bytes = 0
                self.phase = _OVER if response.request.method == "HEAD" else _BODY
                response.begin(status, headers)

    def on_body(self, data: bytes) -> None:
        if self.phase is _BODY and self._response is not None:
            self._overhead_bytes = 0
            self._response.feed(data)
        else:
            self._is_reusable = False

    def on_message_complete(self) -> None:
        if self.phase is _BODY and self._problem is None:
            self.phase = _OVER

    # Framing ----------------------------------------------------------------

    def _frame(self, response: Response, status: int, framing: dict[bytes, bytes]) -> MooringError | None:
        """Decide where the body ends; the problem, if it cannot be said or is coded as nobody asked."""
        self._is_reusable = self._parser.should_keep_alive()
        has_body = response.request.method != "HEAD" and status not in {204, 304}
        coding = framing.get(b"transfer-encoding")
        length = framing.get(b"content-length")
        self.ends_with_socket = has_body and coding is None and length is None
        if b"keep-alive" in framing:
            self.keep_alive_seconds = min(self._limits.idle_seconds, _keep_alive_seconds(framing[b"keep-alive"]))
        if self._parser.get_http_version() not in {"1.1", "1.0"}:
            return self._malformed("not HTTP/1.1")
        if coding is not None and coding.lower() != b"chunked":
            return self._malformed(f"transfer-encoding {_shown(coding)}")
        if length is not None and has_body:
            response.content_length = int(length)
        content = framing.get(b"content-encoding", b"identity")
        if has_body and content.lower() != b"identity" and not _asks_for_coding(response):
            return self._malformed(f"status {status} with content-encoding {_shown(content)}, which was not asked for")
        return None

    def _malformed(self, what: str) -> UpstreamMalformed:
        return UpstreamMalformed(
            f"{self._origin} answered with something that is not HTTP/1.1 as we asked for it: {what}.",
            is_billable=True,
            hint="Check the address, and that no proxy in between changes the answer.",
        )

    def _too_much_head(self) -> TooLarge:
        return TooLarge(
            f"{self._origin} sent more than {self._limits.header_bytes} bytes of headers.",
            hint="Raise PoolLimits.header_bytes if that is right.",
        )


def _size(headers: list[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers)


def _shown(value: bytes) -> str:
    return ascii(value[:60].decode("latin-1"))


def _asks_for_coding(response: Response) -> bool:
    return any(name.lower() == b"accept-encoding" for name, _ in response.request.headers)


def _keep_alive_seconds(value: bytes) -> float:
    """One second less than `timeout=` says, so that both ends do not close at the same moment."""
    for part in value.lower().split(b","):
        name, _, seconds = part.partition(b"=")
        if name.strip() == b"timeout" and seconds.strip().isdigit():
            return max(0.0, float(seconds[:9]) - 1.0)
    return float("inf")
