"""`/{provider}/…`: any other path of a vendor's own API, with the caller's key here and the account's key there."""

from mooring.wiring import Server

from .exchange import Exchange, Reply
from .gateway import inbound_of
from .plain import formed
from .server import Route


def routes(rooms: Server) -> list[Route]:
    async def passed(exchange: Exchange) -> Reply:
        inbound = formed(await inbound_of(exchange))
        return await rooms.gateway.passthrough(inbound, exchange.params["provider"], f"/{exchange.params['rest']}")

    def is_provider(params: dict[str, str]) -> bool:
        return rooms.gateway.has_provider(params["provider"])

    return [
        Route("GET", "/{provider}/{rest:path}", "call", passed, is_provider),
        Route("POST", "/{provider}/{rest:path}", "call", passed, is_provider),
        Route("PUT", "/{provider}/{rest:path}", "call", passed, is_provider),
        Route("PATCH", "/{provider}/{rest:path}", "call", passed, is_provider),
        Route("DELETE", "/{provider}/{rest:path}", "call", passed, is_provider),
    ]
