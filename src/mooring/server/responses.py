"""OpenAI's responses wire: ask, and ask again for what was answered. Bodies go to the gateway as they came."""

import msgspec

from mooring.wiring import Server

from .exchange import Exchange, Reply, json_reply
from .gateway import inbound_of
from .server import Route, caller_of


def routes(rooms: Server) -> list[Route]:
    async def respond(exchange: Exchange) -> Reply:
        return await rooms.gateway.respond(await inbound_of(exchange))

    async def get(exchange: Exchange) -> Reply:
        kept = rooms.gateway.responses
        return Reply(200, await kept.get(caller_of(exchange).project_id, exchange.params["response_id"]))

    async def items(exchange: Exchange) -> Reply:
        kept = rooms.gateway.responses
        found = await kept.input_items(caller_of(exchange).project_id, exchange.params["response_id"])
        named = [
            {"id": f"item_{place}", **msgspec.json.decode(item, type=dict[str, object])}
            for place, item in enumerate(found)
        ]
        if exchange.query.get("order", "desc") == "desc":
            named.reverse()
        ends = {"first_id": named[0]["id"], "last_id": named[-1]["id"]} if named else {}
        return json_reply({"object": "list", "data": named, "has_more": False, **ends})

    async def delete(exchange: Exchange) -> Reply:
        response_id = exchange.params["response_id"]
        await rooms.gateway.responses.delete(caller_of(exchange).project_id, response_id)
        return json_reply({"id": response_id, "object": "response", "deleted": True})

    return [
        Route("POST", "/v1/responses", "call", respond),
        Route("GET", "/v1/responses/{response_id}", "call", get),
        Route("GET", "/v1/responses/{response_id}/input_items", "call", items),
        Route("DELETE", "/v1/responses/{response_id}", "call", delete),
    ]
