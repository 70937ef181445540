"""The agent of the crash battery: three tools, two of which must not happen twice."""

import json
import os
import urllib.request

from mooring import App, Context

app = App("crash")


def effect(name: str, key: str, body: dict[str, str]) -> str:
    """Does something in the world that the double counts."""
    request = urllib.request.Request(  # noqa: S310  # the double, on loopback
        f"{os.environ['MOORING_SIM_URL']}/effects/{name}",
        data=json.dumps(body).encode(),
        headers={"Idempotency-Key": key, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return str(json.load(answer))


@app.tool(touches="read")
def look_up(order: str) -> str:
    """Look up an order."""
    return f"{order} was delivered broken; price 12.50"


@app.tool(touches="write", repeat="keyed")
def refund(ctx: Context, order: str) -> str:
    """Refund an order."""
    effect("refund", ctx.key, {"order": order})
    return f"{order} refunded"


@app.tool(touches="egress", repeat="keyed")
def send_mail(ctx: Context, order: str) -> str:
    """Tell the customer."""
    effect("mail", ctx.key, {"order": order})
    return f"mail about {order} sent"


agent = app.agent("crash", model="sim/agent-15ms", tools=[look_up, refund, send_mail])
