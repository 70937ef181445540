"""Wires that are no conversation: rerank, moderation, images, speech, transcription, each where its vendor has it."""

from collections.abc import Awaitable, Callable

import msgspec

from mooring.gateway import multipart
from mooring.gateway.inbound import Inbound
from mooring.wiring import Server

from .exchange import Exchange, Reply
from .gateway import inbound_of
from .server import Route


def routes(rooms: Server) -> list[Route]:
    def at(wire: str) -> Callable[[Exchange], Awaitable[Reply]]:
        async def ask(exchange: Exchange) -> Reply:
            return await rooms.gateway.ask(formed(await inbound_of(exchange)), wire)

        return ask

    return [
        Route("POST", "/v1/rerank", "call", at("cohere_rerank")),
        Route("POST", "/v2/rerank", "call", at("cohere_rerank")),
        Route("POST", "/v1/moderations", "call", at("openai_moderations")),
        Route("POST", "/v1/images/generations", "call", at("openai_images")),
        Route("POST", "/v1/images/edits", "call", at("openai_image_edits")),
        Route("POST", "/v1/audio/transcriptions", "call", at("openai_transcriptions")),
        Route("POST", "/v1/audio/speech", "call", at("openai_speech")),
    ]


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
