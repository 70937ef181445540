"""The gateway's wires: the bytes go to it as they came, and its answer goes out as it is."""

from mooring.gateway.inbound import Inbound
from mooring.wiring import Server

from .exchange import Exchange, Reply, json_reply
from .server import Route, caller_of


def routes(rooms: Server) -> list[Route]:
    async def chat(exchange: Exchange) -> Reply:
        outbound = await rooms.gateway.chat(
            Inbound(
                caller=caller_of(exchange),
                body=await exchange.body(),
                headers=exchange.headers,
                method=exchange.method,
                path=exchange.path,
                query=exchange.scope["query_string"],
                disconnected=exchange.disconnected,
            )
        )
        return Reply(outbound.status, outbound.body, outbound.content_type, outbound.headers)

    async def models(exchange: Exchange) -> Reply:
        found = await rooms.gateway.models(caller_of(exchange))
        return json_reply({"object": "list", "data": found})

    return [
        Route("POST", "/v1/chat/completions", "call", chat),
        Route("GET", "/v1/models", "call", models),
    ]
