"""What Pydantic AI does, through each vendor's own model class: chat, stream, tools, structured output, errors."""

import asyncio
import sys

import pydantic
from pydantic_ai import Agent, Embedder, exceptions
from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.mistral import MistralModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.output import NativeOutput
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.mistral import MistralProvider
from pydantic_ai.providers.openai import OpenAIProvider

url, key = sys.argv[1:3]


class Order(pydantic.BaseModel):
    """An order."""

    order: str


def refund(order: str) -> str:
    """Refund an order."""
    return f"refunded {order}"


def models(provider):
    def chat(name):
        return OpenAIChatModel(f"{provider}/{name}", provider=OpenAIProvider(base_url=f"{url}/v1", api_key=key))

    def responses(name):
        return OpenAIResponsesModel(f"{provider}/{name}", provider=OpenAIProvider(base_url=f"{url}/v1", api_key=key))

    def anthropic(name):
        return AnthropicModel(f"{provider}/{name}", provider=AnthropicProvider(base_url=url, api_key=key))

    def gemini(name):
        return GoogleModel(f"{provider}/{name}", provider=GoogleProvider(base_url=url, api_key=key))

    def mistral(name):
        return MistralModel(f"{provider}/{name}", provider=MistralProvider(base_url=url, api_key=key))

    return [chat, responses, anthropic, gemini, mistral]


async def one(made):
    said = await Agent(made("echo"), instructions="Be kind.").run("hello")
    assert said.output == "hello", said
    assert said.usage.output_tokens == 2, said.usage
    async with Agent(made("echo")).run_stream("one two") as stream:
        assert await stream.get_output() == "one two"
    called = await Agent(made("agent"), tools=[refund]).run('order "81"')
    assert "refunded 81" in called.output, called
    parsed = await Agent(made("agent"), output_type=Order).run('order "81"')
    assert parsed.output == Order(order="81"), parsed
    if made.__name__ not in ("anthropic", "mistral"):  # which know by name which models can
        native = await Agent(made("json"), output_type=NativeOutput(Order)).run("order 81")
        assert native.output == Order(order="81"), native


async def failing(made):
    try:
        await Agent(made("x")).run("x")
    except exceptions.ModelHTTPError as error:
        if error.status_code != 404:
            raise
    else:
        raise SystemExit("no error")


async def all_of_it():
    for provider in ("sim", "anthropic", "gemini"):
        for made in models(provider):
            try:
                await one(made)
            except BaseException:
                print(f"at {provider} by {made.__name__}", file=sys.stderr)
                raise
    for made in models("nobody"):
        await failing(made)
    for name in ("sim/embed", "gemini/embed"):
        model = OpenAIEmbeddingModel(name, provider=OpenAIProvider(base_url=f"{url}/v1", api_key=key))
        assert len((await Embedder(model).embed_documents(["a", "b"])).embeddings) == 2


asyncio.run(all_of_it())
