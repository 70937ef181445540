"""Questions about documents over HTTP: ingest (by the home's own processes), list, search, answer."""

from typing import Any

import msgspec

from mooring.client import Answer
from mooring.core import ids
from mooring.core.errors import InvalidRequest
from mooring.journal.records import NewRun
from mooring.rag import DocumentRecord, Origin
from mooring.wiring import Server

from .exchange import Exchange, Reply, Word, json_reply
from .runs import show_run
from .server import Route, caller_of

DEFAULT_COLLECTION = "default"


class Ingest(msgspec.Struct, forbid_unknown_fields=True):
    """`POST /v1/documents`: a folder or file on the server's machine."""

    folder: Word
    collection: Word = DEFAULT_COLLECTION


class Ask(msgspec.Struct, forbid_unknown_fields=True):
    """`POST /v1/ask`. `model` answers; without one, [rag] model."""

    question: str
    collection: Word | None = None
    model: Word | None = None
    limit: int | None = None
    user: Word | None = None
    session: Word | None = None
    tags: list[Word] = []


class SearchFor(msgspec.Struct, forbid_unknown_fields=True):
    """`POST /v1/search`."""

    query: str
    collection: Word | None = None
    limit: int = 10


def routes(rooms: Server) -> list[Route]:
    async def ingest(exchange: Exchange) -> Reply:
        caller = caller_of(exchange)
        body = await exchange.parse(Ingest)
        if not caller.is_service:
            raise InvalidRequest("Folders are read for the home's own processes only.", param="folder")
        run = await rooms.journal.create_run(
            NewRun(
                id=rooms.new_id(),
                project_id=caller.project_id,
                handler="ingest",
                name=f"ingest/{body.collection}",
                input=msgspec.json.encode({"collection": body.collection, "folder": body.folder}),
                release_id=rooms.release_id,
            )
        )
        return json_reply(show_run(run), status=202)

    async def documents(exchange: Exchange) -> Reply:
        name = exchange.params["collection"]
        found = await rooms.rag.documents(caller_of(exchange).project_id, name)
        return json_reply({"object": "list", "data": [show_document(document) for document in found]})

    async def search(exchange: Exchange) -> Reply:
        body = await exchange.parse(SearchFor)
        hits = await rooms.rag.search(
            caller_of(exchange).project_id,
            body.collection or DEFAULT_COLLECTION,
            body.query,
            limit=body.limit,
            origin=origin_of(exchange),
        )
        return json_reply({"object": "list", "data": hits})

    async def ask(exchange: Exchange) -> Reply:
        caller = caller_of(exchange)
        body = await exchange.parse(Ask)
        origin = origin_of(exchange, user=body.user, session=body.session, tags=tuple(body.tags))
        answer = await rooms.rag.answer(
            caller.project_id,
            body.collection or DEFAULT_COLLECTION,
            body.question,
            complete=rooms.complete(caller, origin),
            model=body.model,
            limit=body.limit,
            origin=origin,
        )
        return json_reply(show_answer(answer))

    return [
        Route("POST", "/v1/documents", "write", ingest),
        Route("GET", "/v1/collections/{collection}/documents", "read", documents),
        Route("POST", "/v1/search", "read", search),
        Route("POST", "/v1/ask", "call", ask),
    ]


def origin_of(
    exchange: Exchange, *, user: str | None = None, session: str | None = None, tags: tuple[str, ...] = ()
) -> Origin:
    """On whose behalf; one trace id joins the retrieval and the model call."""
    return Origin(
        trace_id=ids.new_id(), api_key_id=caller_of(exchange).api_key_id, user=user, session=session, tags=tags
    )


def show_answer(answer: Answer) -> dict[str, Any]:
    """JSON of an answer; `is_answered` and `citations` are always there."""
    return {**msgspec.to_builtins(answer), "is_answered": answer.is_answered, "citations": answer.citations}


def show_document(document: DocumentRecord) -> dict[str, Any]:
    """JSON of a document; `reason` says why an unreadable one has no text."""
    return {
        "id": ids.show("doc", document.id),
        "path": document.path,
        "source": document.source,
        "state": "unreadable" if document.reason else "ready",
        "reason": document.reason,
        "size_bytes": document.size_bytes,
        "chunks": document.chunk_count,
    }
