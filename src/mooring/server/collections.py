"""Documents over HTTP: folders (for the home's own processes), uploads, lists and previews, search and answers.

`/v1/collections/{collection}/…` is the whole of it; `/v1/documents`, `/v1/search` and `/v1/ask` are what clients use.
"""

from typing import Any

import msgspec

from mooring.client import Answer
from mooring.core import ids
from mooring.core.errors import InvalidRequest, NotFound
from mooring.journal.records import NewRun
from mooring.rag import DocumentRecord, Upload
from mooring.wiring import Server

from .exchange import Exchange, Reply, Word, json_reply
from .origins import origin_of, without_run
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
    filter: dict[str, Any] | None = None
    user: Word | None = None
    session: Word | None = None
    tags: list[Word] = []


class SearchFor(msgspec.Struct, forbid_unknown_fields=True):
    """`POST /v1/search`."""

    query: str
    collection: Word | None = None
    limit: int = 10
    filter: dict[str, Any] | None = None
    user: Word | None = None
    session: Word | None = None
    tags: list[Word] = []


class Document(msgspec.Struct, forbid_unknown_fields=True):
    """An upload as JSON: `text`, or base64 `data`. Bytes may also be the body, with `path` in the query."""

    path: str
    text: str | None = None
    data: bytes | None = None
    media_type: str | None = None
    metadata: dict[str, Any] = {}


class Query(msgspec.Struct, forbid_unknown_fields=True):
    """`POST …/search`."""

    query: str
    limit: int = 10
    filter: dict[str, Any] | None = None
    user: Word | None = None
    session: Word | None = None
    tags: list[Word] = []


class Question(msgspec.Struct, forbid_unknown_fields=True):
    """`POST …/answer`."""

    question: str
    model: Word | None = None
    limit: int | None = None
    filter: dict[str, Any] | None = None
    user: Word | None = None
    session: Word | None = None
    tags: list[Word] = []


def routes(rooms: Server) -> list[Route]:
    return [*folder_routes(rooms), *collection_routes(rooms)]


def collection_routes(rooms: Server) -> list[Route]:
    """What is at `/v1/collections`."""

    async def collections(exchange: Exchange) -> Reply:
        found = await rooms.rag.collections(caller_of(exchange).project_id)
        return json_reply({"object": "list", "data": [{"name": one.name, "revision": one.revision} for one in found]})

    async def upload(exchange: Exchange) -> Reply:
        project_id, name = caller_of(exchange).project_id, exchange.params["collection"]
        document = await rooms.rag.upload(project_id, name, await upload_of(exchange))
        return json_reply(show_document(document), status=201)

    async def documents(exchange: Exchange) -> Reply:
        found = await rooms.rag.documents(caller_of(exchange).project_id, exchange.params["collection"])
        return json_reply({"object": "list", "data": [show_document(document) for document in found]})

    async def document(exchange: Exchange) -> Reply:
        document_id = ids.read("doc", exchange.params["document"])
        preview = await rooms.rag.preview(caller_of(exchange).project_id, exchange.params["collection"], document_id)
        chunks = [
            {
                "id": ids.show("chunk", chunk.id),
                "section": chunk.section,
                "start": chunk.start,
                "end": chunk.end,
                "page": chunk.page,
                "is_embedded": chunk.vector is not None,
            }
            for chunk in preview.chunks
        ]
        return json_reply({**show_document(preview.document), "text": preview.text, "passages": chunks})

    async def remove(exchange: Exchange) -> Reply:
        name = ids.show("doc", ids.read("doc", exchange.params["document"]))
        collection = exchange.params["collection"]
        if not await rooms.rag.remove(caller_of(exchange).project_id, collection, name):
            raise NotFound(f"There is no document {name} in '{collection}'.")
        return json_reply({"id": name, "deleted": True})

    async def search(exchange: Exchange) -> Reply:
        body = await exchange.parse(Query)
        found = await rooms.rag.retrieve(
            caller_of(exchange).project_id,
            exchange.params["collection"],
            body.query,
            limit=body.limit,
            filter=body.filter,
            origin=origin_of(rooms, exchange, user=body.user, session=body.session, tags=body.tags),
        )
        return json_reply({"object": "list", "data": found.hits, "stages": found.stages, "call_id": found.call_id})

    async def answer(exchange: Exchange) -> Reply:
        caller = caller_of(exchange)
        body = await exchange.parse(Question)
        origin = origin_of(rooms, exchange, user=body.user, session=body.session, tags=tuple(body.tags))
        answer = await rooms.rag.answer(
            caller.project_id,
            exchange.params["collection"],
            body.question,
            complete=rooms.complete(caller, without_run(origin)),
            model=body.model,
            limit=body.limit,
            filter=body.filter,
            origin=origin,
        )
        return json_reply(answer)

    return [
        Route("GET", "/v1/collections", "read", collections),
        Route("POST", "/v1/collections/{collection}/documents", "write", upload),
        Route("GET", "/v1/collections/{collection}/documents", "read", documents),
        Route("GET", "/v1/collections/{collection}/documents/{document}", "read", document),
        Route("DELETE", "/v1/collections/{collection}/documents/{document}", "write", remove),
        Route("POST", "/v1/collections/{collection}/search", "read", search),
        Route("POST", "/v1/collections/{collection}/answer", "call", answer),
    ]


async def upload_of(exchange: Exchange) -> Upload:
    """The document in the body: JSON, or its bytes with `path` and `metadata` (a JSON object) in the query.

    Raises:
        InvalidRequest: neither is whole.
    """
    kind = exchange.header(b"content-type")
    if (kind or "").partition(";")[0].strip().lower() == "application/json":
        body = await exchange.parse(Document)
        if (body.text is None) == (body.data is None):
            raise InvalidRequest("Send either 'text' or base64 'data'.", param="text")
        raw = body.text.encode("utf-8", "replace") if body.text is not None else body.data or b""
        return Upload(body.path, raw, body.media_type, body.metadata)
    query = exchange.query
    if "path" not in query:
        raise InvalidRequest("The document has no name.", hint="Send it in the query: ?path=refunds.md", param="path")
    try:
        metadata = msgspec.json.decode(query.get("metadata", "{}"), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"'metadata' is no JSON object: {error}.", param="metadata") from error
    return Upload(query["path"], await exchange.body(), kind, metadata)


def folder_routes(rooms: Server) -> list[Route]:
    """What is not under one collection."""

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

    async def search(exchange: Exchange) -> Reply:
        body = await exchange.parse(SearchFor)
        hits = await rooms.rag.search(
            caller_of(exchange).project_id,
            body.collection or DEFAULT_COLLECTION,
            body.query,
            limit=body.limit,
            filter=body.filter,
            origin=origin_of(rooms, exchange, user=body.user, session=body.session, tags=body.tags),
        )
        return json_reply({"object": "list", "data": hits})

    async def ask(exchange: Exchange) -> Reply:
        caller = caller_of(exchange)
        body = await exchange.parse(Ask)
        origin = origin_of(rooms, exchange, user=body.user, session=body.session, tags=tuple(body.tags))
        answer = await rooms.rag.answer(
            caller.project_id,
            body.collection or DEFAULT_COLLECTION,
            body.question,
            complete=rooms.complete(caller, without_run(origin)),
            model=body.model,
            limit=body.limit,
            filter=body.filter,
            origin=origin,
        )
        return json_reply(show_answer(answer))

    return [
        Route("POST", "/v1/documents", "write", ingest),
        Route("POST", "/v1/search", "read", search),
        Route("POST", "/v1/ask", "call", ask),
    ]


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
        "embedded": document.embedded_count,
        "loader": document.loader,
        "pages": document.page_count,
        "notes": list(document.notes),
        "metadata": document.metadata,
        "updated_at_us": document.updated_at_us,
    }
