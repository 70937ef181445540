"""`POST /v1/embeddings`: the bytes go to the gateway as they came, and its answer goes out as it is."""

from mooring.wiring import Server

from .exchange import Exchange, Reply
from .gateway import inbound_of
from .server import Route


def routes(rooms: Server) -> list[Route]:
    async def embed(exchange: Exchange) -> Reply:
        return await rooms.gateway.embed(await inbound_of(exchange))

    return [Route("POST", "/v1/embeddings", "call", embed)]
