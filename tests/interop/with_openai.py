"""What the `openai` SDK does: chat, stream, tools, structured output, errors, embeddings, responses."""

import sys

import openai
import pydantic

client = openai.OpenAI(base_url=f"{sys.argv[1]}/v1", api_key=sys.argv[2], max_retries=0)
PARAMETERS = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}
TOOL = {"type": "function", "function": {"name": "refund", "parameters": PARAMETERS}}


class Order(pydantic.BaseModel):
    order: str


def say(text):
    return [{"role": "user", "content": text}]


for provider in ("sim", "anthropic", "gemini"):
    chat = client.chat.completions.create(model=f"{provider}/echo", messages=say("hello"))
    assert chat.choices[0].message.content == "hello"
    assert chat.usage.completion_tokens == 2
    stream = client.chat.completions.create(model=f"{provider}/echo", messages=say("one two"), stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == "one two"
    called = client.chat.completions.create(model=f"{provider}/agent", messages=say('order "81"'), tools=[TOOL])
    (call,) = called.choices[0].message.tool_calls
    messages = [
        *say('order "81"'),
        called.choices[0].message,
        {"role": "tool", "tool_call_id": call.id, "content": "ok"},
    ]
    assert (
        client.chat.completions.create(model=f"{provider}/agent", messages=messages, tools=[TOOL])
        .choices[0]
        .message.content
    )
    parsed = client.chat.completions.parse(model=f"{provider}/json", messages=say("order 81"), response_format=Order)
    assert parsed.choices[0].message.parsed == Order(order="81")
    with client.responses.stream(model=f"{provider}/echo", input="one two") as events:
        list(events)
        assert events.get_final_response().output_text == "one two"
    found = client.responses.parse(model=f"{provider}/json", input="order 81", text_format=Order)
    assert found.output_parsed == Order(order="81")
for model in ("sim/embed", "gemini/embed"):
    assert len(client.embeddings.create(model=model, input=["a", "b"]).data) == 2
try:
    client.chat.completions.create(model="nobody/x", messages=say("x"))
    raise SystemExit("no error")
except openai.NotFoundError as error:
    if not (error.code == "not_found"):
        raise

# What is no conversation, files and batches, and a vendor's own paths.
assert [one.flagged for one in client.moderations.create(model="sim/moderation", input=["a", "violence"]).results] == [
    False,
    True,
]
drawn = client.images.generate(model="sim/image", prompt="a boat", n=2)
assert [image.b64_json is not None for image in drawn.data] == [True, True]
assert client.images.edit(model="sim/image", prompt="a boat", image=("a.png", b"\x89PNG")).data
heard = client.audio.transcriptions.create(model="sim/whisper", file=("a.wav", b"RIFF" * 500))
assert heard.text == "It lasts 2 seconds."
words = client.audio.transcriptions.create(model="sim/whisper", file=("a.wav", b"RIFF" * 500), stream=True)
assert [event.type for event in words][-1] == "transcript.text.done"
subtitles = client.audio.transcriptions.create(
    model="sim/whisper", file=("a.wav", b"RIFF" * 500), response_format="text"
)
assert subtitles == "It lasts 2 seconds.\n"
with client.audio.speech.with_streaming_response.create(model="sim/tts", voice="alloy", input="Ahoy") as spoken:
    assert b"".join(spoken.iter_bytes()).startswith(b"ID3")
file = client.files.create(file=("a.jsonl", b'{"custom_id":"a"}'), purpose="batch")
assert client.files.retrieve(file.id).bytes == 17
assert client.files.content(file.id).read() == b'{"custom_id":"a"}'
assert file.id in [one.id for one in client.files.list(purpose="batch")]
batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
assert client.batches.retrieve(batch.id).status in ("validating", "in_progress", "failed")
assert batch.id in [one.id for one in client.batches.list()]
assert client.batches.cancel(batch.id).status in ("cancelled", "failed")
assert client.files.delete(file.id).deleted
assert client.models.retrieve("sim/echo").id == "sim/echo"
own = openai.OpenAI(base_url=f"{sys.argv[1]}/sim/v1", api_key=sys.argv[2], max_retries=0)
assert own.chat.completions.create(model="echo", messages=say("hello")).choices[0].message.content == "hello"
assert own.get("/things/x", cast_to=object)["id"] == "x"
