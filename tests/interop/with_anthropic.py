"""What the `anthropic` SDK does: messages, stream, the tool runner, structured output, errors, counts."""

import sys

import anthropic
import pydantic

client = anthropic.Anthropic(base_url=sys.argv[1], api_key=sys.argv[2], max_retries=0)


class Order(pydantic.BaseModel):
    order: str


@anthropic.beta_tool
def refund(order: str) -> str:
    """Refund an order.

    Args:
        order: Its number.
    """
    return f"refunded {order}"


def say(text):
    return [{"role": "user", "content": text}]


for provider in ("anthropic", "sim", "gemini"):
    message = client.messages.create(model=f"{provider}/echo", max_tokens=50, messages=say("hello"), system="Be kind.")
    assert message.content[0].text == "hello"
    assert message.usage.output_tokens == 2
    with client.messages.stream(model=f"{provider}/echo", max_tokens=50, messages=say("one two")) as stream:
        assert "".join(stream.text_stream) == "one two"
        assert stream.get_final_message().stop_reason == "end_turn"
    runner = client.beta.messages.tool_runner(
        model=f"{provider}/agent", max_tokens=500, messages=say('order "81"'), tools=[refund]
    )
    assert runner.until_done().stop_reason == "end_turn"
    parsed = client.messages.parse(
        model=f"{provider}/json", max_tokens=50, messages=say("order 81"), output_format=Order
    )
    assert parsed.parsed_output == Order(order="81")
    assert client.messages.count_tokens(model=f"{provider}/echo", messages=say("hello")).input_tokens > 0
try:
    client.messages.create(model="nobody/x", max_tokens=5, messages=say("x"))
    raise SystemExit("no error")
except anthropic.NotFoundError as error:
    if not ("Unknown model" in error.message or "Unknown model" in str(error)):
        raise
