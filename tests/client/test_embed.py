"""Embeddings from a program: what goes on the wire, and what comes back as one answer."""

import asyncio
import base64
import struct
from decimal import Decimal

import pytest

from mooring import AsyncClient, Client
from mooring.core.errors import UpstreamMalformed

from .conftest import Server, json_answer


def vectors(*rows: list[float] | str, tokens: int = 3) -> dict[str, object]:
    data = [{"object": "embedding", "index": place, "embedding": row} for place, row in enumerate(rows)]
    return {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def packed(*values: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


def test_a_text_becomes_a_vector_with_its_cost_and_call(server: Server) -> None:
    answer = json_answer(vectors(packed(0.5, -1.0)), x_mooring_call="call_1", x_mooring_cost_usd="0.000000300")
    server.answers.append(answer)
    with Client(server.url, "k") as client:
        found = client.embed("hello", key="once")
    assert (found.vectors, found.usage.input_tokens, found.model) == (([0.5, -1.0],), 3, "m")
    assert (found.call_ids, found.cost_usd) == (("call_1",), Decimal("0.0000003"))
    request = server.asked[-1]
    assert request.path == "/v1/embeddings"
    assert request.body == {
        "model": "local/minilm",
        "input": ["hello"],
        "encoding_format": "base64",
    }
    assert request.headers["idempotency-key"] == "once"


def test_many_texts_are_several_calls_each_with_a_key_of_its_own(server: Server) -> None:
    for count in (256, 44):
        server.answers.append(json_answer(vectors(*[[1.0]] * count), x_mooring_cost_usd="0.000000001"))
    with Client(server.url, "k") as client:
        found = client.embed(["a"] * 300, model="m", key="many")
    assert len(found.vectors) == 300
    assert (found.cost_nanos, found.usage.input_tokens) == (2, 6)
    assert [request.headers["idempotency-key"] for request in server.asked] == ["many", "many/1"]


@pytest.mark.parametrize("answer", [vectors(), vectors([1.0], [2.0]), {}, {"data": [{}]}, vectors("%")])
def test_an_answer_that_does_not_fit_is_an_error(server: Server, answer: dict[str, object]) -> None:
    server.answers.append(json_answer(answer))
    with Client(server.url, "k") as client, pytest.raises(UpstreamMalformed):
        client.embed("hello")


def test_no_text_is_no_call(server: Server) -> None:
    async def run() -> None:
        async with AsyncClient(server.url, "k") as client:
            assert (await client.embed([])).vectors == ()

    asyncio.run(run())
    assert not server.asked
