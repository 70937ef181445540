"""A gateway whose providers speak different wires, all of them to the one double, which bills whatever they ask."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mooring.gateway.config import GatewayConfig, ModelConfig, ProviderConfig
from mooring.net import SseParser

from .house import Answer, House, house, read, sim_prices

KEY = "a vendor's key"
TOOL_SCHEMA = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}


def config(url: str) -> GatewayConfig:
    """`sim` speaks OpenAI's wire, `anthropic`, `gemini` and `bedrock` their own; none waits between tries."""
    prices = sim_prices()
    prices["*"] = prices["echo"]  # what a test's own scripts cost
    own: dict[str, Any] = {"attempt_header": True, "api_key": "env:TEST_VENDOR_KEY", "prices": prices}
    return GatewayConfig(
        providers={
            "sim": ProviderConfig(type="sim", base_url=f"{url}/v1", prices=prices),
            "anthropic": ProviderConfig(type="anthropic", base_url=f"{url}/v1", **own),
            "gemini": ProviderConfig(type="gemini", base_url=f"{url}/v1beta", **own),
            "bedrock": ProviderConfig(type="bedrock", base_url=url, region="eu-west-1", **own | {"api_key": None}),
        },
        models={"either": ModelConfig(targets=("anthropic/echo", "sim/echo"))},
        retry_wait_seconds=0.0,
    )


@contextlib.asynccontextmanager
async def wires(path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> AsyncIterator[House]:
    monkeypatch.setenv("TEST_VENDOR_KEY", KEY)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "an id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    async with house(path, config=config, **options) as made:
        yield made


async def ask(made: House, wire: str, body: dict[str, Any], **headers: str) -> Answer:
    """A request on a wire. Gemini's model and streaming are fields here, and parts of the path there."""
    fields = dict(body)
    more: dict[str, Any] = {}
    if wire.startswith("gemini"):
        more = {"model": fields.pop("model"), "is_stream": fields.pop("stream", False)}
    inbound = msgspec.structs.replace(made.inbound(fields, **headers), **more)
    return await read(await made.gateway.ask(inbound, wire))


def data_of(body: bytes) -> list[Any]:
    """The JSON of each event; what is none (`[DONE]`) as text."""
    found = []
    for event in SseParser().feed(body):
        found.append(event.data if event.data == "[DONE]" else msgspec.json.decode(event.data))
    return found


def sent(made: House, number: int = -1) -> Any:
    """What the double was asked."""
    return msgspec.json.decode(list(made.sim.requests)[number].body)
