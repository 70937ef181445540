"""Ask: a question, and the answer with citations that open their source.

Asking is a POST, because it may cost something; the answer's own page is read from the journal by the trace id that
joins the retrieval and the model's call, so that it can be shared and opened again for nothing. `asking.py` tells an
answer while it is made; without JavaScript the form waits for the whole of it.
"""

import re
from typing import Any

import msgspec

from mooring.core import ids
from mooring.core.errors import InvalidRequest, NotFound
from mooring.core.seams import Hit
from mooring.gateway.keys import Caller
from mooring.journal.records import CallRecord
from mooring.rag.answer import REFUSAL, Pointer, find_pointers, is_refusal
from mooring.wiring import Server

from ..exchange import Exchange
from .asking import question, source_href
from .repository import pages as repository
from .said import said

_MARK = re.compile(r"\[\d{1,3}(?:\s*,\s*\d{1,3}){0,9}\]")
_NUMBER = re.compile(r"\d+")


async def view(rooms: Server, exchange: Exchange, caller: Caller) -> dict[str, Any]:
    """The empty form; `?q=`, `?collection=` and `?filter=` fill it, and ask nothing."""
    query = exchange.query
    return {
        **await _frame(rooms, caller),
        "question": query.get("q", ""),
        "chosen": query.get("collection"),
        "filter": query.get("filter", ""),
    }


async def post(rooms: Server, exchange: Exchange, caller: Caller) -> str:
    """Ask, and wait for the whole answer."""
    asked = await question(exchange, caller)
    await rooms.rag.answer(
        caller.project_id,
        asked.collection,
        asked.text,
        complete=rooms.complete(caller, asked.origin),
        filter=asked.filter,
        origin=asked.origin,
    )
    return asked.href


async def view_answer(rooms: Server, exchange: Exchange, caller: Caller) -> dict[str, Any]:
    """An answer as the journal has it. Citations are compared with the documents' text of now."""
    calls = await rooms.journal.trace_calls(caller.project_id, _trace_id(exchange))
    retrieval = next((call for call in calls if call.kind == "retrieval"), None)
    if retrieval is None:
        raise NotFound("Nothing was asked under this address.", hint="Ask again: /ui/ask")
    project = caller.project_id
    asked = msgspec.json.decode((await rooms.journal.get_request(project, retrieval.id))[0])
    hits = msgspec.json.decode(await rooms.journal.get_body(project, retrieval.id), type=list[Hit])
    chat = next((call for call in reversed(calls) if call.kind == "chat"), None)
    reply = await _reply(rooms, project, chat)
    pointers = find_pointers(reply, hits)
    spans = [(ids.read("doc", one.hit.document_id), one.start, one.end) for one in pointers]
    current = await rooms.database.read_async(lambda tx: repository.spans(tx, project, spans))
    citations = [_citation(one, text) for one, text in zip(pointers, current, strict=True)]
    state = _state(chat, reply, citations)
    return {
        **await _frame(rooms, caller),
        "question": asked["query"],
        "chosen": asked["collection"],
        "filter": msgspec.json.encode(asked["filter"]).decode() if asked.get("filter") else "",
        "answer": {
            "state": state,
            "text": reply,
            "pieces": _pieces(reply, citations),
            "is_answered": state == "answered",
            "error": chat.error_code if chat is not None and state == "failed" else None,
            "citations": citations,
            "hits": [_hit(number, hit) for number, hit in enumerate(hits, start=1)],
            "model": chat.name if chat is not None else None,
            "settled_nanos": sum(call.settled_nanos for call in calls),
            "held_nanos": sum(call.held_nanos for call in calls),
            "started_at_us": min(call.started_at_us for call in calls),
            "duration_us": max(call.finished_at_us or 0 for call in calls) - min(call.started_at_us for call in calls),
            "calls": [{"id": ids.show("call", call.id), "kind": call.kind, "name": call.name} for call in calls],
        },
    }


async def _frame(rooms: Server, caller: Caller) -> dict[str, Any]:
    collections = await rooms.rag.collections(caller.project_id)
    return {"collections": [one.name for one in collections], "model": rooms.config.rag.model, "answer": None}


async def _reply(rooms: Server, project: str, chat: CallRecord | None) -> str:
    """What the model said; without a model's call nothing was found to ask it about."""
    if chat is None:
        return REFUSAL
    return said(await rooms.journal.get_body(project, chat.id)) or ""


def _state(chat: CallRecord | None, reply: str, citations: list[dict[str, Any]]) -> str:
    """`unsaid`: the documents do not say. `unproven`: no citation. `changed`: its sources are not what they were."""
    if chat is not None and chat.state != "completed":
        return "running" if chat.state == "running" else "failed"
    if is_refusal(reply):
        return "unsaid"
    if not citations:
        return "unproven"
    return "answered" if any(one["is_verified"] for one in citations) else "changed"


def _citation(pointer: Pointer, current: str | None) -> dict[str, Any]:
    return {
        "number": pointer.number,
        "path": pointer.hit.path,
        "section": pointer.hit.section,
        "page": pointer.hit.page,
        "start": pointer.start,
        "end": pointer.end,
        "text": pointer.text,
        "is_verified": current == pointer.text,
        "href": source_href(pointer.hit.document_id, pointer.start, pointer.end),
    }


def _hit(number: int, hit: Hit) -> dict[str, Any]:
    return {
        "number": number,
        "path": hit.path,
        "section": hit.section,
        "page": hit.page,
        "score": hit.score,
        "scores": dict(hit.scores),
        "text": hit.text,
        "href": source_href(hit.document_id, hit.start, hit.end),
    }


def _pieces(reply: str, citations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The reply cut at the numbers of its marks, so that each can be a link and all else stays text."""
    targets = {one["number"]: one for one in reversed(citations)}
    pieces: list[dict[str, Any]] = []
    end = 0
    for mark in _MARK.finditer(reply):
        for number in _NUMBER.finditer(reply, *mark.span()):
            target = targets.get(int(number.group()))
            if target is None:
                continue
            pieces.append({"text": reply[end : number.start()], "href": None})
            pieces.append({"text": number.group(), "href": target["href"], "is_verified": target["is_verified"]})
            end = number.end()
    return [*pieces, {"text": reply[end:], "href": None}]


def _trace_id(exchange: Exchange) -> bytes:
    text = exchange.params["trace_id"]
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 16:
        raise InvalidRequest(f"'{text[:40]}' is no trace id.", hint="It has 32 hexadecimal digits.")
    return found
