"""The tour's agent: three tools, one of which must not happen twice."""

import json
import os
import time
import urllib.request

from mooring import App, Context

app = App("demo")
handbook = app.collection("demo")


@app.tool(touches="read")
def look_up_order(order: str) -> dict[str, str]:
    """Look up an order in the shop."""
    return {"order": order, "state": "delivered, broken", "paid_usd": "32.50"}


@app.tool(touches="write", repeat="keyed")
def refund(ctx: Context, order: str) -> str:
    """Refund an order. The shop does it once per key, however often it is asked."""
    request = urllib.request.Request(  # noqa: S310  # the simulated shop, on loopback
        f"{os.environ['MOORING_SIM_URL']}/effects/refund",
        data=json.dumps({"order": order}).encode(),
        headers={"Idempotency-Key": ctx.key, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        answer.read()
    time.sleep(0.8)  # a slow shop, so that the tour can kill the worker right here
    return f"{order} is refunded"


agent = app.agent(
    "support",
    model="sim/agent-5ms",
    tools=[handbook.search, look_up_order, refund],
    instructions="You help customers of the shop.",
)
