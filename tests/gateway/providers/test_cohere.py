"""Cohere over real sockets: chat by its compatible address, vectors by its own, billed as the double bills them."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.gateway.house import House, house, read, say, sim_prices
from tests.gateway.wires import ask, sent

from mooring.gateway.config import GatewayConfig, ProviderConfig
from mooring.gateway.embeddings import vectors

KEY = "a vendor's key"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    monkeypatch.setenv("COHERE_API_KEY", KEY)

    def config(url: str) -> GatewayConfig:
        account = ProviderConfig(type="cohere", base_url=url, prices=sim_prices())
        return GatewayConfig(providers={"cohere": account}, discover=False, retry_wait_seconds=0)

    def running(scenario: Callable[[House], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with house(tmp_path, config=config) as made:
                await scenario(made)
                assert await made.bill() == (await made.meter(), 0)

        asyncio.run(whole())

    return running


@pytest.mark.parametrize("is_stream", [False, True])
def test_chat_goes_to_the_compatible_address_without_what_it_refuses(run: Callable[..., None], is_stream: bool) -> None:
    async def scenario(made: House) -> None:
        more = {"max_completion_tokens": 9, "store": True, "user": "u", "stream": is_stream}
        answer = await made.ask(say("hi", model="cohere/echo", **more))
        assert (answer.stream_text if is_stream else answer.text) == "hi"
        asked = made.sim.requests[-1]
        assert asked.path == "/compatibility/v1/chat/completions"
        assert asked.headers["authorization"] == f"Bearer {KEY}"
        assert sent(made)["max_tokens"] == 9
        assert not sent(made).keys() & {"store", "user", "stream_options", "max_completion_tokens"}
        if is_stream:  # it sends no usage to who may not ask for it: the maximum is held until the export is there
            settled, held = await made.bill()
            assert settled <= await made.meter() <= settled + held
            await made.reconcile()

    run(scenario)


def test_vectors_are_asked_for_by_its_own_wire_and_told_in_the_callers(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        body = {"model": "cohere/embed", "input": ["a cat", "a dog"], "dimensions": 32, "encoding_format": "base64"}
        answer = await read(await made.gateway.embed(made.inbound(body)))
        assert answer.status == 200, answer.body
        assert [len(vector) for vector in vectors(answer.body)] == [32, 32]
        assert answer.json["usage"]["prompt_tokens"] > 0
        assert made.sim.requests[-1].path == "/v2/embed"
        assert sent(made) == {
            "model": "embed", "texts": ["a cat", "a dog"], "input_type": "search_document",
            "embedding_types": ["float"], "output_dimension": 32,
        }  # fmt: skip
        await read(await made.gateway.embed(made.inbound(body | {"input_type": "search_query"})))
        assert sent(made)["input_type"] == "search_query"

    run(scenario)


def test_its_own_wire_passes_and_ids_of_tokens_are_refused(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        own = {"model": "cohere/embed", "texts": ["a cat"], "input_type": "clustering", "embedding_types": ["float"]}
        answer = await ask(made, "cohere_embed", own)
        assert len(answer.json["embeddings"]["float"][0]) == 64
        assert sent(made) == own | {"model": "embed"}
        refused = await read(await made.gateway.embed(made.inbound({"model": "cohere/embed", "input": [1, 2]})))
        assert refused.status == 400
        assert "takes texts" in refused.json["error"]["message"]
        many = await read(await made.gateway.embed(made.inbound({"model": "cohere/embed", "input": ["x"] * 97})))
        assert "more than the 96" in many.json["error"]["message"]

    run(scenario)


def test_rerank_goes_to_its_own_address(run: Callable[..., None]) -> None:
    async def scenario(made: House) -> None:
        body = {"model": "cohere/rerank", "query": "a cat", "documents": ["a dog", "a cat"], "top_n": 1}
        answer = await ask(made, "cohere_rerank", body)
        assert answer.status == 200, answer.body
        assert [found["index"] for found in answer.json["results"]] == [1]
        assert made.sim.requests[-1].path == "/v2/rerank"

    run(scenario)
