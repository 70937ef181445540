"""`POST /v1/embeddings`: the bytes go to the gateway as they came, and its answer goes out as it is."""

from mooring.gateway.inbound import Inbound
from mooring.wiring import Server

from .exchange import Exchange, Reply
from .server import Route, caller_of


def routes(rooms: Server) -> list[Route]:
    async def embed(exchange: Exchange) -> Reply:
        return await rooms.gateway.embed(
            Inbound(
                caller=caller_of(exchange),
                body=await exchange.body(),
                headers=exchange.headers,
                method=exchange.method,
                path=exchange.path,
                query=exchange.query_string,
                disconnected=exchange.disconnected,
            )
        )

    return [Route("POST", "/v1/embeddings", "call", embed)]
