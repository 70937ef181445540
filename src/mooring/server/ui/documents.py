"""Documents: what was read and what was not, and one document's text with the bounds of its chunks."""

from typing import Any

from mooring.core import ids
from mooring.core.errors import NotFound
from mooring.gateway.keys import Caller
from mooring.rag.contracts import estimate_tokens
from mooring.wiring import Server

from ..collections import show_document
from ..exchange import Exchange
from .repository import pages as repository


async def view(rooms: Server, exchange: Exchange, caller: Caller) -> dict[str, Any]:
    project = caller.project_id
    names = [collection.name for collection in await rooms.rag.collections(project)]
    chosen = exchange.query.get("collection")
    state = exchange.query.get("state") or None
    shown = []
    for name in [chosen] if chosen else names:
        documents = [show_document(one) for one in await rooms.rag.documents(project, name)]
        documents.sort(key=lambda one: (one["state"] == "ready", one["path"]))
        shown.append(
            {
                "name": name,
                "documents": [one for one in documents if state in (None, one["state"])],
                "ready": sum(one["state"] == "ready" for one in documents),
                "unreadable": sum(one["state"] == "unreadable" for one in documents),
                "chunks": sum(one["chunks"] for one in documents),
                "size_bytes": sum(one["size_bytes"] for one in documents),
            }
        )
    return {"collections": shown, "names": names, "chosen": chosen, "state": state}


async def view_document(rooms: Server, exchange: Exchange, caller: Caller) -> dict[str, Any]:
    project, document_id = caller.project_id, ids.read("doc", exchange.params["document_id"])
    row = await rooms.database.read_async(lambda tx: repository.document(tx, project, document_id))
    if row is None:
        raise NotFound("This document is not in the ledger (any more).", hint="List them: mooring documents list")
    version = row.version_id
    cuts = await rooms.database.read_async(lambda tx: repository.chunks(tx, project, version)) if version else []
    start, end = _place(exchange.query.get("start")), _place(exchange.query.get("end"))
    mark = (start, end) if start is not None and end is not None and start < end <= len(row.text) else None
    return {
        "document": {
            "id": ids.show("doc", row.id),
            "collection": row.collection,
            "source": row.source,
            "path": row.path,
            "state": "unreadable" if row.reason else "ready",
            "reason": row.reason,
            "loader": row.loader,
            "size_bytes": row.size_bytes,
            "characters": len(row.text),
            "updated_at_us": row.updated_at_us,
        },
        "mark": {"start": mark[0], "end": mark[1], "text": row.text[mark[0] : mark[1]]} if mark else None,
        "is_mark_lost": mark is None and start is not None,
        "chunks": [_chunk(row.text, number, cut, mark) for number, cut in enumerate(cuts, start=1)],
    }


def _chunk(text: str, number: int, cut: tuple[bytes, str, int, int], mark: tuple[int, int] | None) -> dict[str, Any]:
    """`before`, `marked` and `after` are its text; `marked` is what a citation points at."""
    chunk_id, section, start, end = cut
    first, last = (max(start, min(mark[0], end)), max(start, min(mark[1], end))) if mark else (end, end)
    return {
        "id": ids.show("chunk", chunk_id),
        "number": number,
        "section": section,
        "start": start,
        "end": end,
        "tokens": estimate_tokens(text[start:end]),
        "before": text[start:first],
        "marked": text[first:last],
        "after": text[last:end],
    }


def _place(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 12 else None
