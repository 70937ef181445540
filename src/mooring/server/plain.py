"""Wires that are no conversation: rerank, moderation, images, speech, transcription, each where its vendor has it."""

from collections.abc import Awaitable, Callable

import msgspec

from mooring.gateway import multipart
from mooring.gateway.inbound import Inbound
from mooring.wiring import Server

from .exchange import Exchange, Reply
from .gateway import inbound_of
from .server import Route

# Whose wire is spoken where.
WIRES = {
    "/v1/rerank": "cohere_rerank",
    "/v2/rerank": "cohere_rerank",
    "/v1/moderations": "openai_moderations",
    "/v1/images/generations": "openai_images",
    "/v1/images/edits": "openai_image_edits",
    "/v1/audio/transcriptions": "openai_transcriptions",
    "/v1/audio/speech": "openai_speech",
}


def routes(rooms: Server) -> list[Route]:
    def at(wire: str) -> Callable[[Exchange], Awaitable[Reply]]:
        async def ask(exchange: Exchange) -> Reply:
            return await rooms.gateway.ask(formed(await inbound_of(exchange)), wire)

        return ask

    return [Route("POST", path, "call", at(wire)) for path, wire in WIRES.items()]


def formed(inbound: Inbound) -> Inbound:
    """A form under the boundary that follows from its parts, so that a client's second try is the same request.

    Raises:
        InvalidRequest: it cannot be read.
    """
    if not multipart.is_multipart(inbound.headers):
        return inbound
    parts = multipart.parse(inbound.body, inbound.header(b"content-type") or "")
    body, kind = multipart.encode(parts)
    headers = {**inbound.headers, b"content-type": kind.encode()}
    return msgspec.structs.replace(inbound, body=body, headers=headers)
