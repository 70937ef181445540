"""Who is calling: the key in `Authorization: Bearer`, `x-api-key` or `x-goog-api-key`, on every route.

Also the Host and Origin allow-lists, which keep a web page from talking to a server on the loopback address.
"""

import hmac
from urllib.parse import urlsplit

from mooring.config import ServerSection
from mooring.core import ids
from mooring.core.errors import NotAuthenticated, PermissionDenied, Unavailable
from mooring.core.protocol import HEADER, PROTOCOL
from mooring.gateway.keys import Caller
from mooring.wiring import Server

from .exchange import Exchange

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})


class Authentication:
    """Verifies keys; `call` < `read` < `write` < `admin` are scopes of their own, none implies another."""

    def __init__(self, rooms: Server) -> None:
        self._keys = rooms.keys
        self._service_key = rooms.service_key.encode()

    async def __call__(self, exchange: Exchange, access: str) -> Caller:
        secret = _secret(exchange)
        if secret is None:
            raise NotAuthenticated(
                "No API key was sent.", hint="Send 'Authorization: Bearer mr_…'; `mooring keys create` makes a key."
            )
        if hmac.compare_digest(secret.encode(), self._service_key):
            _require_same_protocol(exchange)
            behalf = exchange.header(b"x-mooring-on-behalf")
            project_id = exchange.header(b"x-mooring-project") or "default"
            return Caller.service(project_id, None if behalf is None else ids.read("key", behalf))
        caller = await self._keys.verify(secret)
        if access not in caller.scopes:
            raise PermissionDenied(
                f"This key has no scope '{access}'.", hint=f"Make one that has: mooring keys create --scope {access}"
            )
        return caller


def _require_same_protocol(exchange: Exchange) -> None:
    """A worker of another version waits, as it does while serve is away; its runs are not lost for it.

    Raises:
        Unavailable: the process speaks another protocol than this one.
    """
    spoken = exchange.header(HEADER)
    if spoken is not None and spoken != str(PROTOCOL):
        raise Unavailable(
            f"A process of this home speaks protocol {spoken[:20]}, serve speaks {PROTOCOL}.",
            hint="Run serve and all workers of a home from the same version.",
        )


def _secret(exchange: Exchange) -> str | None:
    authorization = exchange.header(b"authorization")
    if authorization is not None:
        scheme, _, value = authorization.partition(" ")
        return value.strip() if scheme.lower() == "bearer" and value.strip() else None
    found = exchange.header(b"x-api-key") or exchange.header(b"x-goog-api-key")
    # Google's clients may write it into the address; nowhere else, because addresses end up in logs.
    return found or (exchange.query.get("key") if exchange.path.startswith(("/v1beta/", "/v1/models/")) else None)


def check_origin(exchange: Exchange, section: ServerSection) -> None:
    """Refuses a Host or an Origin that is not on the list.

    Raises:
        PermissionDenied: a DNS-rebinding page, or a browser page of another site.
    """
    host = exchange.header(b"host") or ""
    name = host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host
    if name.lower() not in LOOPBACK_HOSTS and name.lower().strip("[]") not in (section.host, *section.allowed_hosts):
        raise PermissionDenied(f"Host '{host[:100]}' is not allowed here.", hint="Add it to [server] allowed_hosts.")
    origin = exchange.header(b"origin")
    if origin is not None and origin not in section.allowed_origins and not _is_site(origin, host):
        raise PermissionDenied(
            f"Origin '{origin[:100]}' is not allowed here.", hint="Add it to [server] allowed_origins."
        )


def _is_site(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:  # no URL at all
        return False
