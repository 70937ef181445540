"""OpenAI's batches, by our own queue: create, list, read, cancel."""

import msgspec

from mooring.core import ids
from mooring.core.errors import InvalidRequest
from mooring.gateway.asked import check_key
from mooring.gateway.batches import BatchInput
from mooring.wiring import Server

from .exchange import Exchange, Reply, Word, json_reply
from .files import list_reply, page_of
from .server import Route, caller_of

MOST_METADATA = 16


class Expires(msgspec.Struct):
    """When the output goes."""

    seconds: int
    anchor: str = "created_at"


class Create(msgspec.Struct):
    """`POST /v1/batches`."""

    input_file_id: Word
    endpoint: Word
    completion_window: str = "24h"
    metadata: dict[str, str] | None = None
    output_expires_after: Expires | None = None


def routes(rooms: Server) -> list[Route]:
    batches = rooms.batches

    async def create(exchange: Exchange) -> Reply:
        caller, asked = caller_of(exchange), await exchange.parse(Create)
        if asked.completion_window != "24h":
            raise InvalidRequest("'completion_window' is '24h'.", param="completion_window")
        if asked.metadata is not None and len(asked.metadata) > MOST_METADATA:
            raise InvalidRequest(f"'metadata' holds at most {MOST_METADATA} pairs.", param="metadata")
        key = exchange.header(b"idempotency-key")
        if key is not None:
            check_key(key)
        wanted = BatchInput(
            asked.input_file_id,
            asked.endpoint,
            key=ids.show("key", caller.api_key_id) if caller.api_key_id else None,
            metadata=asked.metadata or {},
            output_seconds=asked.output_expires_after.seconds if asked.output_expires_after else None,
        )
        return json_reply(await batches.create(caller, wanted, release_id=rooms.release_id, key=key))

    async def list_(exchange: Exchange) -> Reply:
        limit, after = page_of(exchange, most=100, usual=20)
        return list_reply(*await batches.list_(caller_of(exchange).project_id, limit=limit, after=after))

    async def get(exchange: Exchange) -> Reply:
        return json_reply(await batches.get(caller_of(exchange).project_id, exchange.params["batch_id"]))

    async def cancel(exchange: Exchange) -> Reply:
        return json_reply(await batches.cancel(caller_of(exchange).project_id, exchange.params["batch_id"]))

    return [
        Route("POST", "/v1/batches", "call", create),
        Route("GET", "/v1/batches", "call", list_),
        Route("GET", "/v1/batches/{batch_id}", "call", get),
        Route("POST", "/v1/batches/{batch_id}/cancel", "call", cancel),
    ]
