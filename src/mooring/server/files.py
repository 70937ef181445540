"""OpenAI's files: upload, list, read, delete. What they are kept in is the journal."""

from typing import Any

from mooring.core.errors import InvalidRequest
from mooring.gateway import multipart
from mooring.wiring import Server

from .exchange import Exchange, Reply, json_reply
from .server import Route, caller_of

PURPOSES = ("assistants", "batch", "evals", "fine-tune", "user_data", "vision")
MOST = 10_000


def routes(rooms: Server) -> list[Route]:
    async def upload(exchange: Exchange) -> Reply:
        if not multipart.is_multipart(exchange.headers):
            raise InvalidRequest("A file comes as a form.", hint="Send multipart/form-data with file and purpose.")
        parts = multipart.parse(await exchange.body(), exchange.header(b"content-type") or "")
        file, purpose = multipart.one(parts, "file"), multipart.one(parts, "purpose")
        if file is None or file.file_name is None:
            raise InvalidRequest("'file' is missing.", hint="Send the file as a field of the form.", param="file")
        if purpose is None or purpose.text not in PURPOSES:
            raise InvalidRequest("'purpose' is missing.", hint=f"One of {', '.join(PURPOSES)}.", param="purpose")
        seconds = multipart.one(parts, "expires_after[seconds]")
        told = await rooms.files.put(
            caller_of(exchange),
            file.data,
            name=file.file_name,
            purpose=purpose.text,
            lifetime_seconds=None if seconds is None else _seconds(seconds.text),
        )
        return json_reply(told)

    async def list_(exchange: Exchange) -> Reply:
        limit, after = page_of(exchange, most=MOST)
        purpose = exchange.query.get("purpose")
        found, has_more = await rooms.files.list_(
            caller_of(exchange).project_id, purpose=purpose, limit=limit, after=after
        )
        return list_reply(list(found), has_more)

    async def get(exchange: Exchange) -> Reply:
        return json_reply(await rooms.files.get(caller_of(exchange).project_id, exchange.params["file_id"]))

    async def content(exchange: Exchange) -> Reply:
        data = await rooms.files.content(caller_of(exchange).project_id, exchange.params["file_id"])
        return Reply(200, data, "application/octet-stream")

    async def delete(exchange: Exchange) -> Reply:
        file_id = exchange.params["file_id"]
        await rooms.files.delete(caller_of(exchange).project_id, file_id)
        return json_reply({"id": file_id, "object": "file", "deleted": True})

    return [
        Route("POST", "/v1/files", "call", upload),
        Route("GET", "/v1/files", "call", list_),
        Route("GET", "/v1/files/{file_id}", "call", get),
        Route("GET", "/v1/files/{file_id}/content", "call", content),
        Route("DELETE", "/v1/files/{file_id}", "call", delete),
    ]


def page_of(exchange: Exchange, *, most: int, usual: int = 100) -> tuple[int, str | None]:
    """`limit` and `after` of a list.

    Raises:
        InvalidRequest: no number, or too large.
    """
    text = exchange.query.get("limit") or str(usual)
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 0 < int(text) <= most):
        raise InvalidRequest(f"'limit' is a number from 1 to {most}.", param="limit")
    return int(text), exchange.query.get("after")


def list_reply(found: list[dict[str, Any]], has_more: bool) -> Reply:
    """A page of a list, as OpenAI's SDK turns it."""
    ends = {"first_id": found[0]["id"], "last_id": found[-1]["id"]} if found else {"first_id": None, "last_id": None}
    return json_reply({"object": "list", "data": found, "has_more": has_more, **ends})


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidRequest("'expires_after' is no number of seconds.", param="expires_after")
    return int(text)
