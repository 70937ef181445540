"""Anthropic's wire: `POST /v1/messages` and its token counting. Bodies go to the gateway as they came."""

from mooring.wiring import Server

from .exchange import Exchange, Reply
from .gateway import inbound_of
from .server import Route

WIRE = "anthropic_messages"


def routes(rooms: Server) -> list[Route]:
    async def messages(exchange: Exchange) -> Reply:
        return await rooms.gateway.ask(await inbound_of(exchange), WIRE)

    async def count(exchange: Exchange) -> Reply:
        return await rooms.gateway.count(await inbound_of(exchange), "anthropic_count_tokens")

    return [
        Route("POST", "/v1/messages", "call", messages),
        Route("POST", "/v1/messages/count_tokens", "call", count),
    ]
