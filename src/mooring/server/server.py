"""The server: what answers an exchange. Host and Origin, route, key, scope, then the route's own function.

Every route declares its scope; one without makes the start fail. The hot routes are looked up by exact path.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from starlette.routing import compile_path

from mooring.core.errors import ConfigError, MooringError, NotFound, Unavailable
from mooring.gateway.keys import Caller
from mooring.wiring import Server

from .authentication import Authentication, check_origin
from .counting import EdgeCounts
from .errors import MethodNotAllowed, internal_error, reply_for
from .exchange import Exchange, Reply

log = logging.getLogger("mooring.server")

Access = Literal["public", "call", "read", "write", "admin", "metrics"]
Handle = Callable[[Exchange], Awaitable[Reply]]
ACCESSES = ("public", "call", "read", "write", "admin", "metrics")


@dataclass(frozen=True)
class Route:
    """`access` is the scope that the key needs; `public` needs no key. `fits` looks at the path's own words."""

    method: str
    path: str
    access: Access
    handle: Handle
    fits: Callable[[dict[str, str]], bool] | None = None


class Application:
    """Answers exchanges, whatever happens. `routes` are asked in order; exact paths first."""

    def __init__(self, rooms: Server, routes: Iterable[Route], counts: EdgeCounts | None = None) -> None:
        self._rooms = rooms
        self._authentication = Authentication(rooms)
        self.counts = counts or EdgeCounts(rooms)
        self._exact: dict[tuple[str, str], Route] = {}
        self._patterns: list[tuple[re.Pattern[str], Route]] = []
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        if route.access not in ACCESSES:
            raise ConfigError(f"Route {route.method} {route.path} declares no scope.", hint=f"One of {ACCESSES}.")
        if "{" not in route.path:
            self._exact[(route.method, route.path)] = route
        else:
            self._patterns.append((compile_path(route.path)[0], route))

    async def __call__(self, exchange: Exchange) -> Reply:
        self.counts.running += 1
        try:
            check_origin(exchange, self._rooms.config.server)
            route = self._find(exchange)
            if route.access != "public":
                if self._rooms.is_draining:
                    raise Unavailable("This server is shutting down.", hint="Try again; another one takes over.")
                exchange.caller = await self._authentication(exchange, route.access)
            return await route.handle(exchange)
        except MooringError as error:
            return reply_for(error, exchange, self._rooms.redactor)
        except Exception:  # the edge: nothing that a route raises may leave as a traceback
            log.exception("%s %s failed", exchange.method, exchange.path)
            return reply_for(internal_error(), exchange, self._rooms.redactor)

    def _find(self, exchange: Exchange) -> Route:
        route = self._exact.get((exchange.method, exchange.path))
        if route is None and exchange.method == "HEAD":  # load balancers ask so whether a process lives
            route = self._exact.get(("GET", exchange.path))
            route = route if route is not None and route.access == "public" else None
        if route is not None:
            return route
        allowed = {method for method, path in self._exact if path == exchange.path}
        for pattern, candidate in self._patterns:
            match = pattern.match(exchange.path)
            if match is None or (candidate.fits is not None and not candidate.fits(match.groupdict())):
                continue
            if candidate.method == exchange.method:
                exchange.params = match.groupdict()
                return candidate
            allowed.add(candidate.method)
        if allowed:
            raise MethodNotAllowed(f"{exchange.path} does not take {exchange.method}.", allowed=sorted(allowed))
        raise NotFound(f"There is nothing at {exchange.path[:200]}.", hint="See docs/reference/http.md for the paths.")


def caller_of(exchange: Exchange) -> Caller:
    """The authenticated caller of a route that is not public."""
    assert exchange.caller is not None
    return exchange.caller
