"""The responses wire as OpenAI's own SDK uses it, on a real socket."""

import asyncio
from collections.abc import Callable
from typing import Any

import openai
import pydantic
import pytest


class Order(pydantic.BaseModel):
    order: str


TOOL: Any = {"type": "function", "name": "refund", "strict": False, "parameters": {
    "type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}}  # fmt: skip


def sdk(site: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{site.url}/v1", api_key=site.key, max_retries=0)


def test_the_sdk_asks_streams_goes_on_reads_again_and_deletes(run: Callable[..., None]) -> None:
    async def scenario(site: Any) -> None:
        async with sdk(site) as client:
            first = await client.responses.create(model="sim/agent", input='Order "81" came broken', tools=[TOOL])
            (call,) = [item for item in first.output if item.type == "function_call"]
            assert call.arguments == '{"order":"81"}'
            result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "refunded"}
            async with client.responses.stream(
                model="sim/agent", input=[result], tools=[TOOL], previous_response_id=first.id
            ) as stream:
                kinds = [event.type async for event in stream]
                second = await stream.get_final_response()
            assert kinds[0] == "response.created"
            assert kinds[-1] == "response.completed"
            assert second.output_text
            assert second.usage is not None
            assert (await client.responses.retrieve(second.id)).output_text == second.output_text
            items = [item.type async for item in client.responses.input_items.list(second.id, order="asc")]
            assert items == ["message", "function_call", "function_call_output"]
            await client.responses.delete(second.id)
            with pytest.raises(openai.NotFoundError):
                await client.responses.retrieve(second.id)

    run(scenario)


def test_the_sdk_parses_structured_text_and_raises_its_own_errors(run: Callable[..., None]) -> None:
    async def scenario(site: Any) -> None:
        async with sdk(site) as client:
            parsed = await client.responses.parse(model="sim/json", input="order 81", text_format=Order)
            assert parsed.output_parsed == Order(order="81")
            with pytest.raises(openai.BadRequestError) as refused:
                await client.responses.create(model="sim/echo", input="hi", background=True)
            assert refused.value.code == "wire_cannot_carry"
            site.sim.fault("close_mid_stream", model="echo", after_events=2)
            stream = await client.responses.create(model="sim/echo", input="one two three four", stream=True)
            with pytest.raises(openai.APIError):
                async for _ in stream:
                    pass

    run(scenario)


def test_the_sdks_chat_streams_without_usage_and_embeds_in_base64(run: Callable[..., None]) -> None:
    async def scenario(site: Any) -> None:
        async with sdk(site) as client:
            chunks = [
                chunk
                async for chunk in await client.chat.completions.create(
                    model="sim/echo", messages=[{"role": "user", "content": "one two"}], stream=True
                )
            ]
            assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "one two"
            assert all(chunk.usage is None for chunk in chunks)
            found, other = await asyncio.gather(
                client.embeddings.create(model="sim/embed", input=["sea"]),
                client.embeddings.create(model="sim/embed", input=["sea"], encoding_format="float"),
            )
            assert found.data[0].embedding == pytest.approx(other.data[0].embedding, abs=1e-6)

    run(scenario)
