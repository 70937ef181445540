"""The user's files of these tests: an agent whose tools act on the double, which counts what they did."""

SHOP = '''
"""An agent that looks up, refunds and writes; a tool holds while its mark lies in the folder."""

import json, os, pathlib, threading, urllib.request

from mooring import App, Context

HERE = pathlib.Path(os.environ["MOORING_TEST_FOLDER"])
app = App("shop")


def effect(name, key, order):
    request = urllib.request.Request(
        os.environ["MOORING_SIM_URL"] + "/effects/" + name,
        data=json.dumps({"order": order}).encode(),
        headers={"Idempotency-Key": key},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        answer.read()
    if (HERE / ("hold-" + name)).exists():
        (HERE / ("held-" + name)).touch()
        threading.Event().wait()


@app.tool(touches="read")
def look_up(order: str) -> str:
    """Look up an order."""
    return order + " was delivered broken"


@app.tool(touches="write", repeat="keyed")
def refund(ctx: Context, order: str) -> str:
    """Refund an order."""
    effect("refund", ctx.key, order)
    return order + " refunded"


@app.tool(touches="egress")
def send_mail(ctx: Context, order: str) -> str:
    """Tell the customer; never twice."""
    effect("mail", ctx.key, order)
    return "mail sent"


app.agent("keyed", model="sim/agent", tools=[look_up, refund])
app.agent("never", model="sim/agent-never", tools=[look_up, send_mail])
app.agent("slow", model="sim/agent-slow", tools=[look_up])
'''
