"""What AutoGen does, through its OpenAI and Anthropic clients: chat, stream, tools, output, teams, errors."""

import asyncio
import sys

import pydantic
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import UserMessage
from autogen_ext.models.anthropic import AnthropicChatCompletionClient
from autogen_ext.models.openai import OpenAIChatCompletionClient

url, key = sys.argv[1:3]
INFO = {
    "vision": False,
    "function_calling": True,
    "json_output": True,
    "structured_output": True,
    "family": "unknown",
    "multiple_system_messages": False,
}


class Order(pydantic.BaseModel):
    order: str


async def refund(order: str) -> str:
    """Refund an order."""
    return f"refunded {order}"


def clients(provider):
    def openai(name, **more):
        base = f"{url}/v1"
        return OpenAIChatCompletionClient(
            model=f"{provider}/{name}", base_url=base, api_key=key, model_info=INFO, max_retries=0, **more
        )

    def anthropic(name, **more):
        return AnthropicChatCompletionClient(
            model=f"{provider}/{name}", base_url=url, api_key=key, model_info=INFO, max_retries=0, max_tokens=500
        )

    return [openai, anthropic]


def say(text):
    return [UserMessage(content=text, source="user")]


async def one(made):
    said = await made("echo").create(say("hello"))
    assert said.content == "hello", said
    assert said.usage.completion_tokens == 2, said
    pieces = [piece async for piece in made("echo").create_stream(say("one two"))]
    assert "".join(piece for piece in pieces if isinstance(piece, str)) == "one two"
    agent = AssistantAgent("it", model_client=made("agent"), tools=[refund], reflect_on_tool_use=True)
    done = await agent.run(task='order "81"')
    assert "refunded 81" in done.messages[-1].content, done
    streaming = AssistantAgent("it", model_client=made("agent"), tools=[refund], model_client_stream=True)
    assert "refunded 81" in (await streaming.run(task='order "81"')).messages[-1].content
    if made.__name__ == "openai":  # the other has no structured output of its own
        parsed = await made("json").create(say("order 81"), json_output=Order)
        assert Order.model_validate_json(parsed.content) == Order(order="81"), parsed
    pair = [AssistantAgent(name, model_client=made("echo")) for name in ("one", "two")]
    team = RoundRobinGroupChat(pair, termination_condition=MaxMessageTermination(3))
    assert len((await team.run(task="hello")).messages) == 3


async def all_of_it():
    for provider in ("sim", "anthropic", "gemini"):
        for made in clients(provider):
            try:
                await one(made)
            except BaseException:
                print(f"at {provider} by {made.__name__}", file=sys.stderr)
                raise
    for made in clients("nobody"):
        try:
            await made("x").create(say("x"))
        except Exception as error:
            if "Unknown model" not in str(error):
                raise
        else:
            raise SystemExit("no error")


asyncio.run(all_of_it())
