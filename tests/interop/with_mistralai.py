"""What the `mistralai` SDK does: chat, stream, tools, structured output, errors, embeddings."""

import sys

import pydantic
from mistralai.client import Mistral, errors

client = Mistral(api_key=sys.argv[2], server_url=sys.argv[1])
PARAMETERS = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}
TOOL = {"type": "function", "function": {"name": "refund", "parameters": PARAMETERS}}


class Order(pydantic.BaseModel):
    order: str


def say(text):
    return [{"role": "user", "content": text}]


for provider in ("sim", "anthropic", "gemini"):
    assert client.chat.complete(model=f"{provider}/echo", messages=say("hello")).choices[0].message.content == "hello"
    events = client.chat.stream(model=f"{provider}/echo", messages=say("one two"))
    assert "".join(event.data.choices[0].delta.content or "" for event in events if event.data.choices) == "one two"
    called = client.chat.complete(
        model=f"{provider}/agent", messages=say('order "81"'), tools=[TOOL], tool_choice="any"
    )
    assert called.choices[0].message.tool_calls[0].function.name == "refund"
    parsed = client.chat.parse(model=f"{provider}/json", messages=say("order 81"), response_format=Order)
    assert parsed.choices[0].message.parsed == Order(order="81")
assert len(client.embeddings.create(model="gemini/embed", inputs=["a", "b"]).data) == 2
try:
    client.chat.complete(model="nobody/x", messages=say("x"))
    raise SystemExit("no error")
except errors.MistralError as error:
    if not (error.status_code == 404):
        raise
