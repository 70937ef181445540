"""Model servers on this machine are found by what they answer, and nothing else is disturbed."""

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.servers import LLAMACPP, OLLAMA, OTHER_MODELS, STRANGER, VLLM, listening

from mooring.core.registry import Registry
from mooring.gateway import discovery
from mooring.gateway.config import GatewayConfig, ProviderConfig
from mooring.gateway.prices import Prices
from mooring.gateway.provider import registry
from mooring.net import EgressPolicy, HttpClient


def http() -> HttpClient:
    return HttpClient(egress=EgressPolicy(allow=("127.0.0.0/8",)))


def at(*addresses: str, **more: Any) -> GatewayConfig:
    return GatewayConfig(discover_at=addresses, **more)


@pytest.mark.parametrize(
    ("pages", "kind", "model"),
    [(OLLAMA, "ollama", "llama3.2:3b"), (VLLM, "vllm", "Qwen/Qwen3-8B"), (LLAMACPP, "llamacpp", "gemma.gguf")],
)
def test_each_is_known_by_what_it_answers_on_any_port(pages: dict[str, Any], kind: str, model: str) -> None:
    async def scenario() -> None:
        async with http() as client, listening(pages) as server:
            found = await discovery.look(client, at(server.address))
            base_url = f"http://{server.address}/v1"
            assert found == {kind: ProviderConfig(type=kind, base_url=base_url, models=(model,))}

    asyncio.run(scenario())


@pytest.mark.parametrize("pages", [STRANGER, OTHER_MODELS, {"/v1/models": "<html>"}, {"/v1/models": [1]}])
def test_whatever_else_listens_there_is_not_taken_for_one(pages: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with http() as client, listening(pages) as server:
            strangers: dict[str, int] = {}
            assert await discovery.look(client, at(server.address), strangers=strangers) == {}
            asked = list(server.asked)
            assert await discovery.look(client, at(server.address), strangers=strangers) == {}
            assert server.asked == asked  # it is not asked again for a while

    asyncio.run(scenario())


def test_two_of_a_kind_are_told_apart_by_their_port() -> None:
    async def scenario() -> None:
        async with http() as client, listening(VLLM) as one, listening(VLLM) as two:
            found = await discovery.look(client, at(one.address, two.address))
            assert list(found) == ["vllm", f"vllm-{two.address.rpartition(':')[2]}"]

    asyncio.run(scenario())


def test_nobody_there_and_somebody_silent_cost_no_more_than_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "DEADLINES", discovery.DEADLINES._replace(first_byte_seconds=0.05))

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in (silent, closed)]
            async with http() as client:
                assert await discovery.look(client, at(*addresses)) == {}

    asyncio.run(scenario())


def test_it_is_not_looked_for_when_told_so() -> None:
    async def scenario() -> None:
        async with http() as client, listening(VLLM) as server:
            config = at(server.address, discover=False)
            assert await discovery.look(client, config) == {}
            await discovery.watch(client, config, lambda found: pytest.fail("offered"))
            assert server.asked == []

    asyncio.run(scenario())


def test_a_server_that_comes_and_goes_is_offered_and_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "AGAIN_SECONDS", 0.01)

    async def scenario() -> None:
        offers: asyncio.Queue[Mapping[str, ProviderConfig]] = asyncio.Queue()
        async with http() as client, contextlib.AsyncExitStack() as stack:
            server = await stack.enter_async_context(listening(VLLM))
            watching = asyncio.create_task(discovery.watch(client, at(server.address), offers.put_nowait))
            async with asyncio.timeout(120):
                assert list(await offers.get()) == ["vllm"]
                await stack.pop_all().aclose()
                while await offers.get():
                    pass
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    asyncio.run(scenario())


def test_a_vendors_example_has_a_known_price() -> None:
    prices = Prices()
    for name in registry.names():
        kind = registry.get(name)
        if kind.api_key_env is not None and kind.base_url is not None:  # else models are named by their owner
            assert kind.example is not None, name
            account = kind(name, ProviderConfig(type=name, api_key="file:/dev/null"))
            assert prices.find(account, kind.example, 1_795_500_000_000_000) is not None, name


def test_a_plug_in_that_does_not_load_stops_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "broken_vendor-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Name: broken-vendor\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[mooring.providers]\nbroken = not_installed_anywhere:Provider\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    fresh = Registry("provider", "mooring.providers", "mooring.gateway.providers", "Provider")
    assert "broken" in fresh.names()
    monkeypatch.setattr(discovery, "vendors", fresh)
    assert discovery.keyed_vendors({"GROQ_API_KEY": "k"}) == {"groq": "GROQ_API_KEY"}
