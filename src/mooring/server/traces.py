"""Traces over HTTP: a list with filters, groups with sums, one trace page by page.

The list is the projection's, joined with the journal; a trace and the groups' sums are read from the journal itself.
"""

from mooring.core import ids
from mooring.core.errors import InvalidRequest
from mooring.tracing import asking, data
from mooring.tracing.foreign import Foreign
from mooring.tracing.tracing import Traces
from mooring.wiring import Server

from .exchange import Exchange, Reply, json_reply
from .server import Route, caller_of

MOST_TRACES = 200
MOST_CALLS = 1_000


def routes(rooms: Server) -> list[Route]:
    async def list_(exchange: Exchange) -> Reply:
        project, query = caller_of(exchange).project_id, exchange.query
        which = asking.filter_of(query, rooms.clock.now_us())
        if "group_by" in query:
            group_by = asking.group_of(query["group_by"])
            groups = await Traces(rooms.journal).bill_by(project, group_by, which)
            return json_reply(
                {"object": "list", "group_by": group_by, "data": [data.group_json(one) for one in groups]}
            )
        before = _hex(query.get("before"), "before")
        page = await rooms.spans.page(project, which, limit=_limit(query.get("limit"), 50, MOST_TRACES), before=before)
        return json_reply(
            {
                "object": "list",
                "data": [data.summary_json(one) for one in page.traces],
                "next": page.next.hex() if page.next else None,
            }
        )

    async def get(exchange: Exchange) -> Reply:
        query = exchange.query
        trace = await Traces(rooms.journal, Foreign(rooms.spans)).named(
            caller_of(exchange).project_id, exchange.params["id"].removesuffix(".json")
        )
        after = query.get("after")
        limit = _limit(query.get("limit"), MOST_CALLS, MOST_CALLS)
        return json_reply(data.to_json(trace, after=ids.read("call", after) if after else None, limit=limit))

    return [
        Route("GET", "/v1/traces", "read", list_),
        Route("GET", "/v1/traces/{id}", "read", get),
    ]


def _limit(text: str | None, default: int, most: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= most):
        raise InvalidRequest(f"'limit' is a number from 1 to {most}.", param="limit")
    return int(text)


def _hex(text: str | None, param: str) -> bytes | None:
    if not text:
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise InvalidRequest(
            f"'{text[:40]}' is no place in a list.", hint="Send the 'next' of the page before.", param=param
        ) from None
