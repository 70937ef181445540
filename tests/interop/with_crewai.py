"""What CrewAI does, by chat completions and by responses: a crew, a stream, tools, structured output, errors."""

import os
import sys

import pydantic
from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool

url, key = sys.argv[1:3]


class Order(pydantic.BaseModel):
    order: str


@tool("refund")
def refund(order: str) -> str:
    """Refund an order."""
    return f"refunded {order}"


def models(provider):
    def openai(name, **more):
        return LLM(
            model=f"{provider}/{name}", provider="openai", base_url=f"{url}/v1", api_key=key, max_retries=0, **more
        )

    def responses(name, **more):
        return openai(name, api="responses", **more)

    return [openai, responses]


def one(made):
    assert made("echo").call("hello") == "hello"
    assert made("echo", stream=True).call("one two") == "one two"
    parsed = made("json", response_format=Order).call("order 81")
    assert (Order.model_validate_json(parsed) if isinstance(parsed, str) else parsed) == Order(order="81"), parsed
    agent = Agent(role="Support", goal="Help.", backstory="Kind.", llm=made("agent"), tools=[refund], max_iter=3)
    task = Task(description='Refund order "81".', expected_output="A sentence.", agent=agent)
    done = Crew(agents=[agent], tasks=[task]).kickoff()
    assert "refunded" in done.raw, done
    assert done.token_usage.completion_tokens > 0


def failing(made):
    try:
        made("x").call("x")
    except Exception as error:
        if "Unknown model" not in str(error):
            raise
    else:
        raise SystemExit("no error")


os.environ["OPENAI_API_KEY"] = key
for provider in ("sim", "anthropic", "gemini"):
    for made in models(provider):
        try:
            one(made)
        except BaseException:
            print(f"at {provider} by {made.__name__}", file=sys.stderr)
            raise
for made in models("nobody"):
    failing(made)
