"""The gateway's wires: the bytes go to it as they came, and its answer goes out as it is.

Models named `rag/…` are collections of documents: they are answered beside the gateway, which is asked on the way.
"""

from mooring.wiring import Server

from . import answering, gemini
from .exchange import Exchange, Reply, json_reply
from .gateway import inbound_of
from .server import Route, caller_of


def routes(rooms: Server) -> list[Route]:
    async def chat(exchange: Exchange) -> Reply:
        collection = answering.collection_of(await exchange.body())
        if collection is not None:
            return await answering.answer(rooms, exchange, collection)
        return await rooms.gateway.chat(await inbound_of(exchange))

    async def models(exchange: Exchange) -> Reply:
        if exchange.header(b"x-goog-api-key") is not None:
            return await gemini.listed(rooms, exchange)  # the same address on two wires
        caller = caller_of(exchange)
        found: list[object] = [*await rooms.gateway.models(caller)]
        collections = await rooms.rag.collections(caller.project_id)
        found += [{"id": f"rag/{one.name}", "object": "model", "created": 0, "owned_by": "rag"} for one in collections]
        return json_reply({"object": "list", "data": found})

    async def model(exchange: Exchange) -> Reply:
        name = exchange.params["model"]
        if exchange.header(b"x-goog-api-key") is not None:
            return gemini.described(rooms, name)
        return json_reply(await rooms.gateway.model(name))

    async def targets(exchange: Exchange) -> Reply:
        return json_reply({"object": "list", "data": rooms.gateway.targets()})

    return [
        Route("GET", "/v1/targets", "read", targets),
        Route("POST", "/v1/chat/completions", "call", chat),
        Route("GET", "/v1/models", "call", models),
        Route("GET", "/v1/models/{model:path}", "call", model),
    ]
