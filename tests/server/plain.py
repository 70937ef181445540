"""Forms, and a site whose prices are the double's own."""

from collections.abc import Awaitable, Callable
from typing import Any

from tests.gateway.house import sim_prices

from .conftest import Site

SOUND = bytes(range(256)) * 10  # 2,560 bytes: three seconds of the double's
Scenario = Callable[[Site], Awaitable[None]]


def priced(url: str, **more: Any) -> dict[str, Any]:
    """One provider over the double, which costs what the double bills."""
    prices = {name: price.model_dump() for name, price in sim_prices().items()}
    prices["/things"] = {"request_usd": "0.000007001"}
    return {"sim": {"type": "sim", "base_url": f"{url}/v1", "prices": prices, **more}}


def form(fields: dict[str, str | bytes], boundary: str = "x1y2") -> tuple[bytes, dict[str, str]]:
    """A form whose bytes are files."""
    pieces = []
    for name, value in fields.items():
        is_file = isinstance(value, bytes)
        file = f'; filename="{name}.bin"\r\nContent-Type: application/octet-stream' if is_file else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        pieces.append(head.encode() + (value if isinstance(value, bytes) else value.encode()) + b"\r\n")
    body = b"".join(pieces) + f"--{boundary}--\r\n".encode()
    return body, {"content-type": f"multipart/form-data; boundary={boundary}"}


async def bill(site: Site) -> tuple[int, int]:
    """Settled and held."""
    found = await site.rooms.journal.bill("default")
    return found.settled_nanos, found.held_nanos


def metered(site: Site) -> int:
    """What the double has billed."""
    return sum(row.cost_nanos for row in site.sim.meter.rows)
