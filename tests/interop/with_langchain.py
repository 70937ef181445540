"""What LangChain and LangGraph do, through each vendor's own package: chat, stream, tools, output, errors, vectors."""

import asyncio
import sys

import pydantic
from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.tools import tool
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_mistralai import ChatMistralAI
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langgraph.graph import MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

url, key = sys.argv[1:3]
loop = asyncio.Runner()  # clients are shared, and belong to the loop that made them


class Order(pydantic.BaseModel):
    """An order."""

    order: str


@tool
def refund(order: str) -> str:
    """Refund an order."""
    return f"refunded {order}"


def models(provider):
    def openai(name, **more):
        return ChatOpenAI(model=f"{provider}/{name}", base_url=f"{url}/v1", api_key=key, max_retries=0, **more)

    def responses(name):
        return openai(name, use_responses_api=True)

    def stateful(name):
        return openai(name, use_responses_api=True, use_previous_response_id=True)

    def anthropic(name):
        return ChatAnthropic(model=f"{provider}/{name}", base_url=url, api_key=key, max_retries=0, max_tokens=500)

    def gemini(name):
        return ChatGoogleGenerativeAI(model=f"{provider}/{name}", base_url=url, api_key=key, max_retries=1)

    def mistral(name):
        return ChatMistralAI(model=f"{provider}/{name}", endpoint=f"{url}/v1", api_key=key, max_retries=0)

    return [openai, responses, stateful, anthropic, gemini, mistral]


def graph(model):
    """The loop by hand: a node that calls the model, a node that calls the tools."""

    bound = model.bind_tools([refund])
    built = StateGraph(MessagesState)
    built.add_node("model", lambda state: {"messages": [bound.invoke(state["messages"])]})
    built.add_node("tools", ToolNode([refund]))
    built.set_entry_point("model")
    built.add_conditional_edges("model", tools_condition)
    built.add_edge("tools", "model")
    return built.compile()


def one(made):
    said = made("echo").invoke("hello")
    assert said.text == "hello", said
    assert said.usage_metadata["output_tokens"] == 2, said
    assert "".join(chunk.text for chunk in made("echo").stream("one two")) == "one two"
    assert loop.run(made("echo").ainvoke("hello")).text == "hello"
    bound = made("agent").bind_tools([refund])
    (call,) = bound.invoke('order "81"').tool_calls
    assert (call["name"], call["args"]) == ("refund", {"order": "81"}), call
    forced = made("agent").bind_tools([refund], tool_choice="any").invoke('order "81"')
    assert forced.tool_calls, forced
    messages = create_agent(made("agent"), [refund], system_prompt="Be kind.").invoke(
        {"messages": [("user", 'order "81"')]}
    )["messages"]
    assert [message.type for message in messages] == ["human", "ai", "tool", "ai"], messages
    assert messages[2].content == "refunded 81"
    streamed = list(graph(made("agent")).stream({"messages": [("user", 'order "81"')]}, stream_mode="messages"))
    assert any(chunk.type == "tool" for chunk, _ in streamed)
    assert made("json").with_structured_output(Order).invoke("order 81") == Order(order="81")


def failing(made):
    try:
        made("x").invoke("x")
    except Exception as error:
        if "Unknown model" not in str(error) and "404" not in str(error):
            raise
    else:
        raise SystemExit("no error")


for provider in ("sim", "anthropic", "gemini"):
    for made in models(provider):
        try:
            one(made)
        except Exception:
            print(f"at {provider} by {made.__name__}", file=sys.stderr)
            raise
for made in models("nobody"):
    failing(made)
for model in ("sim/embed", "gemini/embed"):
    found = OpenAIEmbeddings(model=model, base_url=f"{url}/v1", api_key=key, check_embedding_ctx_length=False)
    assert len(found.embed_documents(["a", "b"])) == 2
