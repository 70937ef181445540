"""What OpenAI's Agents SDK does, by chat completions and by responses: stream, tools, output, sessions, errors."""

import asyncio
import sys

import openai
import pydantic

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    SQLiteSession,
    function_tool,
    set_tracing_disabled,
)

client = openai.AsyncOpenAI(base_url=f"{sys.argv[1]}/v1", api_key=sys.argv[2], max_retries=0)
set_tracing_disabled(True)


class Order(pydantic.BaseModel):
    order: str


@function_tool
def refund(order: str) -> str:
    """Refund an order."""
    return f"refunded {order}"


async def one(kind, provider):
    def agent(model, **more):
        return Agent(name="it", instructions="Be kind.", model=kind(f"{provider}/{model}", client), **more)

    said = await Runner.run(agent("echo"), "hello")
    assert said.final_output == "hello", said
    assert said.context_wrapper.usage.output_tokens == 2
    streamed = Runner.run_streamed(agent("echo"), "one two")
    deltas = [
        event.data.delta
        async for event in streamed.stream_events()
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
    ]
    assert "".join(deltas) == "one two"
    called = await Runner.run(agent("agent", tools=[refund]), 'order "81"')
    assert "refunded 81" in called.final_output, called
    settings = ModelSettings(tool_choice="required", parallel_tool_calls=False)
    forced = await Runner.run(agent("agent", tools=[refund], model_settings=settings), 'order "81"')
    assert "refunded 81" in forced.final_output, forced
    parsed = await Runner.run(agent("json", output_type=Order), "order 81")
    assert parsed.final_output == Order(order="81"), parsed
    handing = agent("agent", handoffs=[Agent(name="other", model=kind(f"{provider}/echo", client))])
    assert (await Runner.run(handing, "hello")).last_agent.name == "other"
    session = SQLiteSession("s")
    for text in ("first", "second"):
        assert (await Runner.run(agent("echo"), text, session=session)).final_output == text


async def going_on(provider):
    agent = Agent(name="it", model=OpenAIResponsesModel(f"{provider}/agent", client), tools=[refund])
    first = await Runner.run(agent, 'order "81"')
    assert first.last_response_id
    second = await Runner.run(agent, 'order "82"', previous_response_id=first.last_response_id)
    assert "refunded 82" in second.final_output, second
    itself = await Runner.run(agent, 'order "83"', auto_previous_response_id=True)
    assert "refunded 83" in itself.final_output, itself


async def all_of_it():
    for provider in ("sim", "anthropic", "gemini"):
        for kind in (OpenAIChatCompletionsModel, OpenAIResponsesModel):
            try:
                await one(kind, provider)
            except BaseException:
                print(f"at {provider} by {kind.__name__}", file=sys.stderr)
                raise
        await going_on(provider)
    for kind in (OpenAIChatCompletionsModel, OpenAIResponsesModel):
        try:
            await Runner.run(Agent(name="it", model=kind("nobody/x", client)), "x")
        except openai.NotFoundError:
            continue
        raise SystemExit("no error")


asyncio.run(all_of_it())
