"""What LlamaIndex does, through each vendor's own package: chat, stream, tools, structured output, errors, vectors."""

import asyncio
import sys

import pydantic
from google.genai import types
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage, LLMMetadata
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.anthropic import Anthropic
from llama_index.llms.google_genai import GoogleGenAI
from llama_index.llms.openai_like import OpenAILike

url, key = sys.argv[1:3]
loop = asyncio.Runner()  # clients are shared, and belong to the loop that made them


class Order(pydantic.BaseModel):
    """An order."""

    order: str


def refund(order: str) -> str:
    """Refund an order."""
    return f"refunded {order}"


TOOL = FunctionTool.from_defaults(refund)


def models(provider):
    def openai(name):
        return OpenAILike(
            model=f"{provider}/{name}",
            api_base=f"{url}/v1",
            api_key=key,
            max_retries=0,
            is_chat_model=True,
            is_function_calling_model=True,
            should_use_structured_outputs=True,
        )

    def anthropic(name):
        return Named(model=f"{provider}/{name}", base_url=url, api_key=key, max_retries=0, max_tokens=500)

    def gemini(name):
        return GoogleGenAI(
            model=f"{provider}/{name}",
            api_key=key,
            max_retries=1,
            context_window=8000,
            http_options=types.HttpOptions(base_url=url),
        )

    return [openai, anthropic, gemini]


class Named(Anthropic):
    """The package knows its own models alone; this is how its users name another one."""

    @property
    def metadata(self):
        return LLMMetadata(context_window=8000, num_output=500, is_chat_model=True, is_function_calling_model=True)


def say(text):
    return [ChatMessage(role="user", content=text)]


async def agent(model):
    return await FunctionAgent(tools=[refund], llm=model, system_prompt="Be kind.").run('order "81"')


def one(made):
    assert made("echo").chat(say("hello")).message.content == "hello"
    assert "".join(part.delta or "" for part in made("echo").stream_chat(say("one two"))) == "one two"
    answer = made("agent").chat_with_tools([TOOL], user_msg='order "81"')
    (call,) = made("agent").get_tool_calls_from_response(answer)
    assert (call.tool_name, call.tool_kwargs) == ("refund", {"order": "81"}), call
    forced = made("agent").chat_with_tools([TOOL], user_msg='order "81"', tool_required=True)
    assert made("agent").get_tool_calls_from_response(forced)
    assert "refunded 81" in str(loop.run(agent(made("agent"))))


def parsed(made):
    found = made("agent").as_structured_llm(Order).chat(say('order "81"'))
    assert found.raw == Order(order="81"), found


def failing(made):
    try:
        made("x").chat(say("x"))
    except Exception as error:
        if "Unknown model" not in str(error) and "404" not in str(error):
            raise
    else:
        raise SystemExit("no error")


for provider in ("sim", "anthropic", "gemini"):
    for made in models(provider):
        try:
            one(made)
            parsed(made)
        except Exception:
            print(f"at {provider} by {made.__name__}", file=sys.stderr)
            raise
for made in models("nobody"):
    failing(made)
for model in ("sim/embed", "gemini/embed"):
    found = OpenAIEmbedding(model_name=model, api_base=f"{url}/v1", api_key=key, max_retries=0)
    assert len(found.get_text_embedding_batch(["a", "b"])) == 2
