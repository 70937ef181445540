"""A request on any of the gateway's wires: what is handed in, and how its answer goes out."""

from mooring.gateway.inbound import Inbound, Outbound

from .exchange import Exchange, Reply
from .server import caller_of


async def inbound_of(exchange: Exchange, *, model: str | None = None, is_stream: bool = False) -> Inbound:
    """The request as it came; `model` and `is_stream` where the path says them."""
    return Inbound(
        caller=caller_of(exchange),
        body=await exchange.body(),
        headers=exchange.headers,
        method=exchange.method,
        path=exchange.path,
        query=exchange.query_string,
        model=model,
        is_stream=is_stream,
        disconnected=exchange.disconnected,
    )


def reply_of(outbound: Outbound) -> Reply:
    """The answer as it is."""
    return Reply(outbound.status, outbound.body, outbound.content_type, outbound.headers)
