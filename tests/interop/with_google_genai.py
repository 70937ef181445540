"""What the `google-genai` SDK does: content, stream, functions, structured output, errors, counts, embeddings."""

import sys

import pydantic
from google import genai
from google.genai import errors, types

client = genai.Client(api_key=sys.argv[2], http_options=types.HttpOptions(base_url=sys.argv[1]))


class Order(pydantic.BaseModel):
    order: str


def refund(order: str) -> str:
    """Refund an order."""
    return f"refunded {order}"


for provider in ("gemini", "sim", "anthropic"):
    found = client.models.generate_content(model=f"{provider}/echo", contents="hello")
    assert found.text == "hello"
    assert found.usage_metadata.candidates_token_count == 2
    chunks = client.models.generate_content_stream(model=f"{provider}/echo", contents="one two")
    assert "".join(chunk.text or "" for chunk in chunks) == "one two"
    chat = client.chats.create(model=f"{provider}/agent", config=types.GenerateContentConfig(tools=[refund]))
    assert chat.send_message('order "81"').text
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Order)
    parsed = client.models.generate_content(model=f"{provider}/json", contents="order 81", config=config)
    assert parsed.parsed == Order(order="81")
    assert client.models.count_tokens(model=f"{provider}/echo", contents="hello").total_tokens > 0
for model in ("gemini/embed", "sim/embed"):
    assert len(client.models.embed_content(model=model, contents=["a", "b"]).embeddings) == 2
try:
    client.models.generate_content(model="nobody/x", contents="x")
    raise SystemExit("no error")
except errors.ClientError as error:
    if not (error.code == 404):
        raise
