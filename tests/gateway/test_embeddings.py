"""Embeddings take the straight line of chat: the same journal, budgets, keys, guards, retries and targets."""

import asyncio
import base64
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mooring.core.errors import UpstreamMalformed
from mooring.core.vectors import decode_vector, encode_vector, normalised
from mooring.gateway import embeddings
from mooring.gateway.codecs.openai_embeddings import Codec
from mooring.gateway.config import GatewayConfig, ModelConfig, ProviderConfig
from mooring.gateway.inbound import Inbound
from mooring.gateway.prices import Prices
from mooring.gateway.providers.openai import Provider as OpenAI

from .house import Answer, House, default_config, house, read


async def embed(home: House, given: Any, *, model: str = "sim/embed", more: Any = None, **headers: str) -> Answer:
    body = msgspec.json.encode({"model": model, "input": given, **(more or {})})
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return await read(await home.gateway.embed(Inbound(home.caller, body, headers=named, path="/v1/embeddings")))


def scene(path: Path, play: Any, **settings: Any) -> None:
    async def run() -> None:
        async with house(path, **settings) as home:
            await play(home)

    asyncio.run(run())


def test_vectors_come_in_the_order_of_the_texts_with_usage_and_cost(tmp_path: Path) -> None:
    async def play(home: House) -> None:
        answer = await embed(home, ["red apple", "green pear"])
        assert answer.status == 200
        assert [each["index"] for each in answer.json["data"]] == [0, 1]
        assert answer.json["usage"]["prompt_tokens"] > 0
        assert answer.headers["x-mooring-cost-usd"] == f"{await home.meter() / 1e9:.9f}"
        assert await home.bill() == (await home.meter(), 0)

    scene(tmp_path, play)


def test_the_call_is_journalled_as_an_embedding_with_its_attempt(tmp_path: Path) -> None:
    async def play(home: House) -> None:
        await embed(home, "red apple")
        (call,) = await home.journal.list_calls("default")
        assert (call.kind, call.name, call.state) == ("embedding", "sim/embed", "completed")
        (attempt,) = await home.journal.attempts("default", call.id)
        assert (attempt.outcome, attempt.settlement, attempt.target) == ("completed", "settled", "sim/embed")
        assert attempt.usage is not None
        assert attempt.usage.output_tokens == 0

    scene(tmp_path, play)


def test_base64_passes_through_and_is_the_same_vector(tmp_path: Path) -> None:
    async def play(home: House) -> None:
        plain = (await embed(home, "red apple")).json["data"][0]["embedding"]
        packed = (await embed(home, "red apple", more={"encoding_format": "base64"})).json["data"][0]["embedding"]
        assert list(struct.unpack(f"<{len(plain)}f", base64.b64decode(packed))) == pytest.approx(plain, abs=1e-6)

    scene(tmp_path, play)


def test_fields_that_the_gateway_does_not_know_reach_the_provider(tmp_path: Path) -> None:
    async def play(home: House) -> None:
        answer = await embed(home, "red apple", more={"dimensions": 8, "novel": {"a": 1}})
        assert len(answer.json["data"][0]["embedding"]) == 8
        assert msgspec.json.decode(home.sim.requests[-1].body)["novel"] == {"a": 1}

    scene(tmp_path, play)


def test_a_key_is_paid_once_and_answers_with_the_same_bytes(tmp_path: Path) -> None:
    async def play(home: House) -> None:
        first = await embed(home, "red apple", idempotency_key="k")
        again = await embed(home, "red apple", idempotency_key="k")
        assert again.body == first.body
        assert again.headers["x-mooring-replayed"] == "true"
        assert len(home.sim.requests) == 1
        other = await embed(home, "green pear", idempotency_key="k")
        assert (other.status, other.json["error"]["code"]) == (409, "key_reused")

    scene(tmp_path, play)


def test_a_budget_that_could_be_passed_refuses_before_anything_is_sent(tmp_path: Path) -> None:
    async def play(home: House) -> None:
        await home.journal.put_budget("default", scope="project", subject="", window="total", cap_nanos=1)
        answer = await embed(home, "red apple " * 1000)
        assert (answer.status, answer.json["error"]["code"]) == (402, "budget_exceeded")
        assert not home.sim.requests

    scene(tmp_path, play)


def test_a_budget_is_not_asked_for_output_that_no_embedding_has(tmp_path: Path) -> None:
    async def play(home: House) -> None:
        await home.journal.put_budget("default", scope="project", subject="", window="total", cap_nanos=1_000_000)
        assert (await embed(home, "red apple")).status == 200
        fields = msgspec.json.decode(home.sim.requests[-1].body)
        assert set(fields) == {"model", "input"}

    scene(tmp_path, play)


def test_the_next_target_answers_when_the_first_cannot(tmp_path: Path) -> None:
    def config(url: str) -> GatewayConfig:
        away = ProviderConfig(type="openai_compatible", base_url="http://127.0.0.1:9/v1", prices={"*": {}})
        providers = {**default_config(url).providers, "away": away}
        return default_config(
            url, models={"vectors": ModelConfig(targets=("away/embed", "sim/embed"))}, providers=providers
        )

    async def play(home: House) -> None:
        answer = await embed(home, "red apple", model="vectors")
        assert answer.status == 200
        (call,) = await home.journal.list_calls("default")
        reasons = [attempt.reason for attempt in await home.journal.attempts("default", call.id)]
        assert reasons == ["first", "retry", "fallback"]

    scene(tmp_path, play, config=config)


def test_a_secret_in_an_input_is_masked_before_it_is_sent_or_kept(tmp_path: Path) -> None:
    secret = "sk-" + "a" * 20 + "T3BlbkFJ" + "b" * 20

    async def play(home: House) -> None:
        answer = await embed(home, ["harmless", f"my key is {secret}"])
        assert answer.status == 200
        sent = msgspec.json.decode(home.sim.requests[-1].body)["input"]
        assert sent[0] == "harmless"
        assert secret not in sent[1]
        (call,) = await home.journal.list_calls("default")
        body, _ = await home.journal.get_request("default", call.id)
        assert secret.encode() not in body

    scene(tmp_path, play, checks=({"type": "secrets_mask"},))


def test_token_ids_reach_a_provider_that_takes_them(tmp_path: Path) -> None:
    async def play(home: House) -> None:
        assert len((await embed(home, [1, 2, 3])).json["data"]) == 1
        assert len((await embed(home, [[1, 2], [3]])).json["data"]) == 2

    scene(tmp_path, play)


@pytest.mark.parametrize(
    "given", [None, 7, [], {}, [None], [["a"]], ["a", 1], [1.5], ["x"] * 2049, {"text": "a"}, [[]], [True]]
)
def test_an_input_that_is_no_input_is_refused_by_name(tmp_path: Path, given: Any) -> None:
    async def play(home: House) -> None:
        answer = await embed(home, given)
        assert answer.status == 400
        assert answer.json["error"]["param"] == "input"
        assert not home.sim.requests

    scene(tmp_path, play)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"<html>",
        b'{"data":[]}',
        b'{"data":[{"embedding":[1.0],"index":1}]}',
        b'{"data":[{"index":0}]}',
    ],
)
def test_an_answer_without_vectors_is_malformed(body: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        Codec().decode_response(body)


def test_fewer_vectors_than_inputs_are_never_passed_on_as_an_answer() -> None:
    codec = Codec()
    request = codec.decode_request(b'{"model":"m","input":["a","b"]}').request
    answer = codec.decode_response(b'{"data":[{"embedding":[1.0],"index":0}],"usage":{"prompt_tokens":2}}')
    with pytest.raises(UpstreamMalformed, match="1 embeddings for 2 inputs"):
        codec.check_answer(request, answer)


def test_an_embedding_model_has_a_price_though_nobody_publishes_one_for_its_output() -> None:
    vendor = OpenAI("openai", ProviderConfig(type="openai", base_url="http://127.0.0.1:1/v1", api_key="file:/dev/null"))
    at_us = 1_790_000_000_000_000
    sheet = Prices().find(vendor, "text-embedding-3-small", at_us, kind="embedding")
    assert sheet is not None
    assert sheet.base.input_picos == 20_000
    assert sheet.base.output_picos == 0


def test_texts_are_sent_in_batches_of_many_and_of_long_ones() -> None:
    assert [len(batch) for batch in embeddings.batches(["a"] * 130)] == [64, 64, 2]
    assert [len(batch) for batch in embeddings.batches(["a" * 200_000] * 3)] == [1, 1, 1]
    assert list(embeddings.batches([])) == []


def test_vectors_for_our_own_rooms_have_length_one_in_both_forms() -> None:
    packed = encode_vector(struct.pack("<2f", 3.0, 4.0))
    body = msgspec.json.encode({"data": [{"embedding": [3.0, 4.0]}, {"embedding": packed}]})
    first, second = embeddings.vectors(body)
    assert list(first) == list(second) == pytest.approx([0.6, 0.8])


@pytest.mark.parametrize("wire", [[], "", "!", "AAA=", None, 3, ["a"], [float("nan")], {"a": 1}])
def test_what_is_no_vector_is_refused(wire: object) -> None:
    with pytest.raises(UpstreamMalformed):
        decode_vector(wire)


def test_a_zero_vector_stays_as_it_is() -> None:
    assert list(normalised(decode_vector([0.0, 0.0]))) == [0.0, 0.0]
