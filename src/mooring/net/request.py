"""A request, the origin its URL names, and its bytes on the wire."""

import functools
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from mooring.core.errors import InvalidRequest

# Methods that RFC 9110 (9.2.2) lets a client repeat without asking.
IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})

_BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS", "TRACE"})
_OURS = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"te", b"expect"})
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_METHOD = re.compile(r"[A-Z]+")
_UNSAFE_IN_URL = re.compile(r"[^\x21-\x7e]")


class Request(NamedTuple):
    """What to send. `body` goes out whole; host, length and connection headers are written by the client.

    `is_repeatable` says that sending it twice does no harm (it carries an idempotency key that the server honours);
    GET, HEAD, PUT and DELETE are by definition. `redirects` is how many redirects to follow.
    """

    method: str
    url: str
    headers: Sequence[tuple[bytes, bytes]] = ()
    body: bytes = b""
    is_repeatable: bool = False
    redirects: int = 0


class Origin(NamedTuple):
    """Where connections go; the key of the pool."""

    scheme: Literal["http", "https"]
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class Target(NamedTuple):
    """A parsed URL: its origin, the `host` header and the request target."""

    origin: Origin
    host_header: bytes
    path: bytes


@functools.lru_cache(maxsize=1024)
def parse_url(url: str) -> Target:
    """The target of an absolute http or https URL; its fragment is dropped.

    Raises:
        InvalidRequest: another scheme, no host, user information, or characters that must be percent-encoded.
    """
    if _UNSAFE_IN_URL.search(url):
        raise InvalidRequest(
            "The URL holds spaces, control or non-ASCII characters.", hint="Percent-encode them first.", param="url"
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidRequest(
            f"The URL cannot be parsed: {error}.", hint="Write https://host/path.", param="url"
        ) from error
    scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
    if parts.scheme not in {"http", "https"} or not host:
        raise InvalidRequest("The URL is not absolute http or https.", hint="Write https://host/path.", param="url")
    if parts.username is not None or parts.password is not None:
        raise InvalidRequest(
            "The URL holds a user name or password.", hint="Send them in an authorization header.", param="url"
        )
    default = 443 if scheme == "https" else 80
    origin = Origin(scheme, host.rstrip("."), port or default)
    shown = f"[{host}]" if ":" in host else host
    host_header = shown if port in (None, default) else f"{shown}:{port}"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(origin, host_header.encode(), path.encode())


@functools.lru_cache(maxsize=1024)
def _start_of_line(name: bytes) -> bytes:
    if not _TOKEN.fullmatch(name):
        raise InvalidRequest(
            f"{name[:60]!r} is not a header name.", hint="Use letters, digits and hyphens.", param="headers"
        )
    if name.lower() in _OURS:
        raise InvalidRequest(
            f"The header {name.decode()!r} is written by the HTTP client.", hint="Leave it out.", param="headers"
        )
    return name.lower() + b": "


@functools.lru_cache(maxsize=1024)
def _start_of_head(method: str, url: str) -> bytes:
    target = parse_url(url)
    if not _METHOD.fullmatch(method) or method == "CONNECT":
        raise InvalidRequest(
            f"{method[:20]!r} is not a method this client sends.", hint="Use GET or POST.", param="method"
        )
    return b"%b %b HTTP/1.1\r\nhost: %b" % (method.encode(), target.path, target.host_header)


def encode_head(request: Request) -> bytes:
    """The head's bytes; asks for no compression unless the caller did.

    Raises:
        InvalidRequest: a header that would break the framing, or one that is the client's own.
    """
    parts = [_start_of_head(request.method, request.url)]
    for name, value in request.headers:
        parts.append(_start_of_line(name) + value)
    if request.body or request.method not in _BODILESS:
        parts.append(b"content-length: %d" % len(request.body))
    lines = len(parts)
    head = b"\r\n".join(parts)
    # Each part is a line, and the first one two: whatever more there is was smuggled into a value.
    if head.count(b"\n") != lines or head.count(b"\r") != lines or b"\0" in head:
        raise InvalidRequest("A header value holds a line break or NUL.", hint="Remove it.", param="headers")
    if b"\naccept-encoding: " not in head:
        return head + b"\r\naccept-encoding: identity\r\n\r\n"
    return head + b"\r\n\r\n"
