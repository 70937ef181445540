"""local/minilm ranks in Cohere's shape; what needs the weights is skipped without them."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from mooring.local.shelf import Shelf
from mooring.net import EgressPolicy, HttpClient, Request

from .conftest import Serving

DOCUMENTS = [
    "The cat sat on the mat.",
    "Opening hours. We are open from nine to five. Refunds are paid back to you within five days. Parking is free.",
    "Our boats are made of oak.",
]


def ranked(serving: Serving, shelf: Shelf, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    async def run() -> tuple[int, dict[str, Any]]:
        async with serving(shelf) as url, HttpClient(egress=EgressPolicy(allow=("127.0.0.0/8",))) as http:
            response = await http.send(Request("POST", f"{url}/v1/rerank", body=json.dumps(body).encode()))
            return response.status, json.loads(await response.read(1_000_000))

    return asyncio.run(run())


def test_one_sentence_that_answers_is_not_lost_in_its_document(serving: Serving, models: Path) -> None:
    query = "How long does it take until I get my money back?"
    status, told = ranked(serving, Shelf(models), {"model": "minilm", "query": query, "documents": DOCUMENTS})
    assert status == 200
    assert told["results"][0]["index"] == 1
    assert len(told["results"]) == 3
    scores = [one["relevance_score"] for one in told["results"]]
    assert scores == sorted(scores, reverse=True)
    assert told["usage"]["total_tokens"] > 0


def test_the_first_ones_come_with_their_text_where_it_is_asked_for(serving: Serving, models: Path) -> None:
    given = {"documents": [{"text": one} for one in DOCUMENTS], "top_n": 1, "return_documents": True}
    _, told = ranked(serving, Shelf(models), {"model": "minilm", "query": "cat", **given})
    assert told["results"][0]["document"] == {"text": DOCUMENTS[0]}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"model": "minilm", "query": "a", "documents": []}, 400),
        ({"model": "minilm", "query": "a", "documents": [7]}, 400),
        ({"model": "other", "query": "a", "documents": ["b"]}, 404),
    ],
)
def test_what_it_cannot_rank_is_refused_by_name(
    serving: Serving, tmp_path: Path, body: dict[str, Any], status: int
) -> None:
    found, told = ranked(serving, Shelf(tmp_path, str(tmp_path)), body)
    assert found == status
    assert told["error"]["message"]
