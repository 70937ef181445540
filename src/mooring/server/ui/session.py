"""How a browser signs in: a link with a token that a button spends, then a cookie that holds a key of its own.

Both are API keys (see docs/decisions/0006-ui-login.md). The token's only scope is `login`, which opens no route; it is
spent by revoking it, which one UPDATE in the database grants to one caller, whichever `serve` was asked. The cookie
goes to `/ui` alone, so that no page of another site can make a browser speak to the API.
"""

import hmac
import re
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, parse_qsl, urlsplit

from mooring.core import ids
from mooring.core.errors import MooringError, NotAuthenticated, NotFound, PermissionDenied
from mooring.gateway.keys import LOGIN, Caller
from mooring.wiring import Server

from ..authentication import Authentication
from ..exchange import Exchange

TOKEN_SECONDS = 600
SESSION_SECONDS = 14 * 86_400
_PAGE = re.compile(r"/ui/[a-z]{1,20}(?:/[a-z0-9_]{1,60})?")
SESSION_SCOPES = ("call", "read", "write", "admin")  # whoever can mint a link can make keys as well


class SignedOut(NotAuthenticated):
    """No session, or one that is over."""


async def mint(rooms: Server, project_id: str) -> str:
    """A token for one sign-in within ten minutes."""
    return await rooms.keys.create(project_id, name="sign-in link", scopes=(LOGIN,), lifetime_seconds=TOKEN_SECONDS)


def login_path(token: str, *, to: str | None = None) -> str:
    """Where the token's button is, and the page that follows it."""
    return f"/ui/login?token={token}" + (f"&to={to}" if to else "")


def own_path(path: str | None, *, otherwise: str = "/ui/home") -> str:
    """A page of ours to go on to."""
    return path if path is not None and _PAGE.fullmatch(path) else otherwise


async def spend(rooms: Server, token: str) -> str:
    """The key of a new session.

    Raises:
        NotAuthenticated: the token is malformed, unknown, expired or spent.
    """
    hint = "Make another: mooring keys login"
    try:
        caller = await rooms.keys.verify(token)
        if caller.scopes != (LOGIN,) or caller.api_key_id is None:
            raise NotAuthenticated("This is not a sign-in link.", hint=hint)
        await rooms.keys.revoke(caller.project_id, ids.show("key", caller.api_key_id))
    except (NotAuthenticated, NotFound) as error:
        raise NotAuthenticated("This link was used before, or is older than ten minutes.", hint=hint) from error
    return await rooms.keys.create(
        caller.project_id, name="browser session", scopes=SESSION_SCOPES, lifetime_seconds=SESSION_SECONDS
    )


class Sessions:
    """Finds out who looks at a page."""

    def __init__(self, rooms: Server) -> None:
        self._rooms = rooms
        self._authentication = Authentication(rooms)
        secrets = rooms.home.secrets
        mark = hmac.digest(secrets.get(secrets.versions[0]), b"ui cookie", "sha256").hex()[:8]
        self.cookie = f"mooring_{mark}"  # cookies know no ports: two homes on one host must not share a name

    async def caller(self, exchange: Exchange, access: str) -> Caller:
        """By the cookie; programs that read a page's twin send a key instead.

        Raises:
            SignedOut: neither.
            PermissionDenied: the key has not this scope.
        """
        if exchange.header(b"authorization") is not None:
            return await self._authentication(exchange, access)
        key = self.key(exchange)
        if key is None:
            raise SignedOut("You are not signed in.", hint="Make a link: mooring keys login")
        try:
            caller = await self._rooms.keys.verify(key)
        except MooringError as error:
            raise SignedOut("Your session is over.", hint="Make a link: mooring keys login") from error
        if access not in caller.scopes:
            raise PermissionDenied(f"This session has no scope '{access}'.")
        return caller

    def key(self, exchange: Exchange) -> str | None:
        try:
            found = SimpleCookie(exchange.header(b"cookie") or "").get(self.cookie)
        except CookieError:
            return None
        return found.value if found is not None else None

    def set_cookie(self, exchange: Exchange, key: str) -> tuple[bytes, bytes]:
        return self._cookie(exchange, key, SESSION_SECONDS)

    def clear_cookie(self, exchange: Exchange) -> tuple[bytes, bytes]:
        return self._cookie(exchange, "", 0)

    def _cookie(self, exchange: Exchange, value: str, seconds: int) -> tuple[bytes, bytes]:
        secure = "; Secure" if exchange.scheme == "https" else ""
        text = f"{self.cookie}={value}; Path=/ui; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
        return b"set-cookie", text.encode()


def require_own_origin(exchange: Exchange) -> None:
    """A form's POST must come from a page of this very server; an allowed origin of the API is not enough.

    Raises:
        PermissionDenied: no Origin, or another one.
    """
    origin = exchange.header(b"origin") or ""
    host = (exchange.header(b"host") or "").lower()
    if not host or urlsplit(origin).netloc.lower() != host:
        raise PermissionDenied(
            "This form was not sent from Mooring's own page.", hint="Open the page at this address and try again."
        )


async def form(exchange: Exchange) -> dict[str, str]:
    """The fields of a form."""
    body = await exchange.body()
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=50))


async def form_lists(exchange: Exchange) -> dict[str, list[str]]:
    """The fields of a form in which a name may stand more than once."""
    body = await exchange.body()
    return parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=50)
