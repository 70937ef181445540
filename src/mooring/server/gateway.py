"""A request on any of the gateway's wires, as it is handed in; the answer is the reply as it is."""

from mooring.gateway.inbound import Inbound

from .exchange import Exchange
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
