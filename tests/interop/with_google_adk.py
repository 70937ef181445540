"""What Google's ADK does, through its own Gemini class: agents, streams, tools, structured output, errors."""

import asyncio
import sys

import pydantic
from google.adk.agents import LlmAgent
from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.models.google_llm import Gemini
from google.adk.runners import InMemoryRunner
from google.genai import Client, types

url, key = sys.argv[1:3]


class Order(pydantic.BaseModel):
    order: str


def refund(order: str) -> dict:
    """Refund an order."""
    return {"refunded": order}


class Routed(Gemini):
    @property
    def api_client(self):
        return Client(api_key=key, http_options=types.HttpOptions(base_url=url))


async def told(name, text, *, streams=False, **more):
    agent = LlmAgent(name="it", model=Routed(model=name), instruction="Be kind.", **more)
    runner = InMemoryRunner(agent=agent, app_name="it")
    session = await runner.session_service.create_session(app_name="it", user_id="u")
    mode = RunConfig(streaming_mode=StreamingMode.SSE if streams else StreamingMode.NONE)
    message = types.Content(role="user", parts=[types.Part(text=text)])
    events = [
        event
        async for event in runner.run_async(user_id="u", session_id=session.id, new_message=message, run_config=mode)
    ]
    for event in events:
        if event.error_code:
            raise RuntimeError(event.error_message)
    return events


def text_of(event):
    return "".join(part.text or "" for part in event.content.parts)


async def one(provider):
    assert text_of((await told(f"{provider}/echo", "hello"))[-1]) == "hello"
    assert text_of((await told(f"{provider}/echo", "one two", streams=True))[-1]) == "one two"
    for streams in (False, True):
        assert "81" in text_of((await told(f"{provider}/agent", 'order "81"', tools=[refund], streams=streams))[-1])
    parsed = (await told(f"{provider}/json", "order 81", output_schema=Order))[-1]
    assert Order.model_validate_json(text_of(parsed)) == Order(order="81")


async def all_of_it():
    for provider in ("gemini", "sim", "anthropic"):
        try:
            await one(provider)
        except BaseException:
            print(f"at {provider}", file=sys.stderr)
            raise
    try:
        await told("nobody/x", "x")
    except Exception as error:
        if "Unknown model" not in str(error):
            raise
    else:
        raise SystemExit("no error")


asyncio.run(all_of_it())
