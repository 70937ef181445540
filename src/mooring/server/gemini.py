"""Gemini's wire, on `/v1` and `/v1beta`: model and operation are parts of the path."""

from mooring.core.errors import InvalidRequest, NotFound
from mooring.wiring import Server

from .exchange import Exchange, Reply, json_reply
from .gateway import inbound_of
from .server import Route, caller_of

# The wire of each operation, and whether it streams.
OPERATIONS = {
    "generateContent": ("gemini_generate", False),
    "streamGenerateContent": ("gemini_generate", True),
    "embedContent": ("gemini_embed", False),
    "batchEmbedContents": ("gemini_batch_embed", False),
}
METHODS = ["generateContent", "countTokens", "embedContent", "batchEmbedContents"]


def routes(rooms: Server) -> list[Route]:
    async def call(exchange: Exchange) -> Reply:
        model, _, operation = exchange.params["call"].rpartition(":")
        if operation == "countTokens":
            inbound = await inbound_of(exchange, model=model)
            return await rooms.gateway.count(inbound, "gemini_count_tokens")
        if operation not in OPERATIONS:
            raise NotFound(
                f"There is no operation '{operation[:60]}'.", hint=f"There is countTokens, {', '.join(OPERATIONS)}."
            )
        wire, is_stream = OPERATIONS[operation]
        if is_stream and exchange.query.get("alt") != "sse":
            raise InvalidRequest("Streams are sent as events alone.", hint="Add ?alt=sse to the address.", param="alt")
        return await rooms.gateway.ask(await inbound_of(exchange, model=model, is_stream=is_stream), wire)

    async def models(exchange: Exchange) -> Reply:
        return await listed(rooms, exchange)

    async def one(exchange: Exchange) -> Reply:
        return described(rooms, exchange.params["model"])

    return [
        Route("POST", "/v1/models/{call:path}", "call", call),
        Route("POST", "/v1beta/models/{call:path}", "call", call),
        Route("GET", "/v1beta/models", "call", models),
        Route("GET", "/v1beta/models/{model:path}", "call", one),
    ]


async def listed(rooms: Server, exchange: Exchange) -> Reply:
    """The models, as Gemini's clients read them."""
    found = await rooms.gateway.models(caller_of(exchange))
    return json_reply(
        {"models": [{"name": f"models/{one['id']}", "supportedGenerationMethods": METHODS} for one in found]}
    )


def described(rooms: Server, name: str) -> Reply:
    """One model, as Gemini's clients read it; some ask before they call it.

    Raises:
        NotFound: nobody serves this name.
    """
    context = rooms.gateway.context_of(name)
    fields = {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": METHODS}
    return json_reply(fields if context is None else {**fields, "inputTokenLimit": context})
