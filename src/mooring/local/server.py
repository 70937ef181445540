"""The built-in models behind the OpenAI wire, on loopback: chat completions, embeddings, rerank, the list.

They are free, and never repeat an effect: an answer is a pure function of the request.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from mooring.core.clock import Clock, SystemClock
from mooring.core.errors import MooringError, TooLarge
from mooring.core.ids import NewId, new_id, show
from mooring.core.registry import late

from . import embedding, wire
from .prompt import parse
from .reader import read
from .shelf import Shelf

MOST_BYTES = 8 * 1024 * 1024


def create_app(shelf: Shelf, *, clock: Clock | None = None, new_id: NewId = new_id) -> Starlette:
    """The application; it keeps no state but the model on its shelf."""
    clock = clock or SystemClock()

    async def chat(request: Request) -> Response:
        try:
            body = wire.decode(await _body(request))
            asked = parse(body.turns)
            model = await shelf.at_hand()
            similar = model.similar if model else None
            reading = await asyncio.to_thread(read, asked.question, asked.passages, similar=similar)
        except MooringError as error:
            return Response(wire.error_body(error), status_code=error.status, media_type="application/json")
        identity = "chatcmpl-" + show("call", new_id()).removeprefix("call_")
        created = clock.now_us() // 1_000_000
        headers = {"x-request-id": identity}
        if body.stream:
            events = wire.chunks(body, reading.text, identity=identity, created=created)
            return StreamingResponse(_each(events), media_type="text/event-stream", headers=headers)
        answer = wire.completion(body, reading.text, identity=identity, created=created)
        return Response(answer, media_type="application/json", headers=headers)

    async def embed(request: Request) -> Response:
        try:
            body = embedding.decode(await _body(request))
            model = await shelf.model()
        except MooringError as error:
            return Response(wire.error_body(error), status_code=error.status, media_type="application/json")
        found = await model.embed_all(body.texts)
        headers = {"x-request-id": "embed-" + show("call", new_id()).removeprefix("call_")}
        return Response(embedding.answer(body, found), media_type="application/json", headers=headers)

    async def rank(request: Request) -> Response:
        try:
            raw = await _body(request)
            ranking = late("mooring.local.ranking")  # numpy: only for those who have the weights
            body, texts = ranking.decode(raw)
            model = await shelf.model()
        except MooringError as error:
            return Response(wire.error_body(error), status_code=error.status, media_type="application/json")
        headers = {"x-request-id": "rank-" + show("call", new_id()).removeprefix("call_")}
        return Response(await ranking.answer(body, texts, model), media_type="application/json", headers=headers)

    async def models(request: Request) -> Response:
        names = (*wire.MODELS, *embedding.MODELS)
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "mooring"} for name in names]
        return JSONResponse({"object": "list", "data": data})

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/embeddings", embed, methods=["POST"]),
            Route("/v1/rerank", rank, methods=["POST"]),
            Route("/v1/models", models, methods=["GET"]),
            Route("/healthz", health, methods=["GET"]),
        ]
    )


async def _body(request: Request) -> bytes:
    """The whole body.

    Raises:
        TooLarge: more than `MOST_BYTES`.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > MOST_BYTES:
                raise TooLarge(f"The request is larger than {MOST_BYTES:,} bytes.", hint="Send fewer passages.")
            parts.append(part)
    except ClientDisconnect:
        return b""  # nobody reads the answer
    return b"".join(parts)


async def _each(events: Sequence[bytes]) -> AsyncIterator[bytes]:
    for event in events:
        yield event
