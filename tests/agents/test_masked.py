"""An agent whose model sees marks: its tools get what they may have, its user the values, and the run replays."""

import asyncio
import json
import re

import msgspec

from mooring import App
from mooring.agents import AgentRunner, replay
from mooring.client import TextDelta
from mooring.core import ids
from mooring.sim.conversation import Conversation, Reply, ToolCall

from .conftest import Open

MAIL = "ada@example.com"
CHECKS = ({"type": "pii_mask", "allow": [{"tool": "send_mail", "arguments": ["to"], "kinds": ["email"]}]},)


def writes(conversation: Conversation) -> Reply:
    """A model that puts whatever address it was given into both tools, then says it."""
    address = re.findall(r"\[EMAIL-[a-z2-7]+\]|\S+@\S+\w", repr(conversation.messages))[0]
    if any(message.role == "tool" for message in conversation.messages):
        return Reply(f"I wrote to {address} as you asked.")
    calls = [ToolCall(name, json.dumps({"to": address, "text": address})) for name in ("send_mail", "post")]
    return Reply(tool_calls=tuple(calls))


def mailer() -> tuple[App, list[tuple[str, str, str]]]:
    app, sent = App("mail"), []

    @app.tool(touches="egress")
    def send_mail(to: str, text: str) -> str:
        sent.append(("send_mail", to, text))
        return f"sent to {to}"

    @app.tool(touches="egress")
    def post(to: str, text: str) -> str:
        sent.append(("post", to, text))
        return "posted"

    app.agent("a", model="sim/writes", tools=[send_mail, post])
    return app, sent


def test_a_tool_gets_what_it_may_have_and_the_user_the_values(world: Open) -> None:
    async def scenario() -> None:
        async with world({"writes": writes}, checks=CHECKS) as w:
            app, sent = mailer()
            run = await w.run(app, "a", f"Write to {MAIL}")
            assert run.output is not None
            assert msgspec.json.decode(run.output) == f"I wrote to {MAIL} as you asked."
            (_, to, text), (_, posted_to, posted) = sorted(sent, reverse=True)
            assert to == MAIL
            assert text == posted_to == posted
            assert text.startswith("[EMAIL-")
            assert all(MAIL.encode() not in request.body for request in w.sim.requests)
            assert len(w.sim.requests) == 2

    asyncio.run(scenario())


def test_such_a_run_replays_with_identical_events(world: Open) -> None:
    async def scenario() -> None:
        async with world({"writes": writes}, checks=CHECKS) as w:
            app, _ = mailer()
            run = await w.run(app, "a", f"Write to {MAIL}")
            runner = AgentRunner(w.worker.journal, lambda: None, app)  # type: ignore[arg-type,return-value]
            report = await replay(w.worker.journal, "default", run.id, runner, restore=w.worker.gateway.restored)
            assert report.divergence is None
            assert report.is_whole

    asyncio.run(scenario())


def test_who_follows_the_run_reads_the_values(world: Open) -> None:
    async def scenario() -> None:
        async with world({"writes": writes}, checks=CHECKS) as w, w.client() as client:
            app, _ = mailer()
            record = await w.start("a", f"Write to {MAIL}")
            run = await client.runs.get(ids.show("run", record.id))
            working = asyncio.create_task(w.work(app))
            events = [event async for event in run.stream()]
            await working
            said = "".join(event.text for event in events if isinstance(event, TextDelta))
            assert said == f"I wrote to {MAIL} as you asked."

    asyncio.run(scenario())
