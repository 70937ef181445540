"""A filter on documents' metadata holds in every stage, and what no document could satisfy is an error."""

import asyncio
from collections.abc import Mapping

import numpy as np
import pytest
from tests.rag.conftest import PROJECT, Shelf
from tests.rag.hashing import HashingEmbedder
from tests.rag.test_http import BASE, Serve, place, run

from mooring.core.errors import InvalidRequest
from mooring.rag import Upload
from mooring.rag.dense import Vectors
from mooring.rag.filter import parse_filter

__all__ = ["place"]

LIBRARY: Mapping[str, Mapping[str, object]] = {
    "a.md": {"team": "billing", "year": 2024, "is_public": True, "tags": ["red", "green"]},
    "b.md": {"team": "sales", "year": 2025, "is_public": False, "day": "2026-01-31"},
    "c.md": {"team": "billing", "year": 2026, "nothing": None, "owner": {"name": "Ada"}},
    "d.md": {},
}


def fill(shelf: Shelf) -> None:
    for path, metadata in LIBRARY.items():
        upload = Upload(path, f"# Refunds\n\nRefunds are paid by {path}.\n".encode(), metadata=metadata)
        asyncio.run(shelf.rag.upload(PROJECT, "shelf", upload))


def paths(shelf: Shelf, chosen: Mapping[str, object]) -> list[str]:
    return sorted(hit.path for hit in shelf.search("refunds", filter=chosen))


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ({}, ["a.md", "b.md", "c.md", "d.md"]),
        ({"team": "billing"}, ["a.md", "c.md"]),
        ({"team": {"in": ["sales", "legal"]}}, ["b.md"]),
        ({"team": {"in": []}}, []),
        ({"year": {"gte": 2025}}, ["b.md", "c.md"]),
        ({"year": {"gt": 2024, "lt": 2026}}, ["b.md"]),
        ({"year": 2024.0}, ["a.md"]),
        ({"is_public": True}, ["a.md"]),
        ({"tags": "green"}, ["a.md"]),
        ({"day": {"lte": "2026-02-01"}}, ["b.md"]),
        ({"team": "billing", "year": {"lte": 2024}}, ["a.md"]),
        ({"team": "nobody"}, []),
    ],
)
def test_only_documents_that_satisfy_every_condition_are_found(
    shelf: Shelf, chosen: Mapping[str, object], found: list[str]
) -> None:
    fill(shelf)
    assert paths(shelf, chosen) == found


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"taem": "billing"}, "No document here has the metadata field 'taem'. Known are day (text)"),
        ({"year": "2024"}, "'year' is of type number here, not text. Known are"),
        ({"is_public": 1}, "'is_public' is of type true or false here, not number"),
        ({"team": {"gte": 5}}, "'team' is of type text here, not number"),
        ({"owner": "Ada"}, "'owner' is of type object here, not text"),
        ({"nothing": "x"}, "No document here has the metadata field 'nothing'"),
        ({"team": {"like": "b%"}}, "cannot 'like'"),
        ({"team": None}, "is null"),
        ({"team": ["billing"]}, 'Send a text, number, true or false, {"in": […]}'),
        ({"year": {"gte": 2024, "lt": "2026"}}, "not all numbers"),
        ({"team": {"in": "billing"}}, "is no list"),
    ],
)
def test_a_filter_that_cannot_hold_is_an_error_and_never_dropped(
    shelf: Shelf, chosen: Mapping[str, object], words: str
) -> None:
    fill(shelf)
    with pytest.raises(InvalidRequest) as caught:
        paths(shelf, chosen)
    assert words in str(caught.value)
    assert caught.value.param == f"filter.{next(iter(chosen))}"


def test_few_matching_documents_are_found_behind_many_better_ones(shelf: Shelf) -> None:
    for embed in (None, HashingEmbedder()):
        shelf.rag.close()
        shelf.open(embed=embed)
        for number in range(105):
            asyncio.run(
                shelf.rag.upload(PROJECT, "shelf", Upload(f"{number}.md", b"refunds refunds", metadata={"n": 0}))
            )
        late = Upload("last.md", b"Of other things, and in the end of refunds.", metadata={"n": 1})
        asyncio.run(shelf.rag.upload(PROJECT, "shelf", late))
        assert paths(shelf, {"n": 1}) == ["last.md"]


def test_new_metadata_of_the_same_text_count_at_once(shelf: Shelf) -> None:
    fill(shelf)
    same = Upload("a.md", b"# Refunds\n\nRefunds are paid by a.md.\n", metadata={"team": "sales"})
    asyncio.run(shelf.rag.upload(PROJECT, "shelf", same))
    assert paths(shelf, {"team": "billing"}) == ["c.md"]
    assert paths(shelf, {"team": "sales"}) == ["a.md", "b.md"]


def test_the_ledger_refuses_what_an_index_would_let_through(shelf: Shelf) -> None:
    fill(shelf)
    hits = shelf.search("refunds")
    repository = shelf.rag._repository

    async def read() -> set[str]:
        stored = await repository.find_collection(PROJECT, "shelf")
        assert stored is not None
        _, stands = await repository.current_versions(PROJECT, stored.id)
        chunks = [each for one in stands.values() for each in await repository.chunks_of(PROJECT, one.version_id)]
        chosen = parse_filter({"team": "sales"})
        found = await repository.find_chunks(PROJECT, stored.id, [each.id for each in chunks], chosen=chosen)
        return {each.path for each in found.values()}

    assert len(hits) == len(LIBRARY)
    assert asyncio.run(read()) == {"b.md"}


@pytest.mark.parametrize("exact_up_to", [100, 1])
def test_the_nearest_of_some_documents_are_found_as_if_there_were_no_others(exact_up_to: int) -> None:
    rows = np.eye(8, dtype=np.float16)
    ids, owners = [bytes([each]) for each in range(8)], [bytes([each // 2]) for each in range(8)]
    packed = {chunk: row.tobytes() for chunk, row in zip(ids, rows, strict=True)}
    vectors = Vectors(ids, list(packed.values()), owners=owners, exact_up_to=exact_up_to)
    best, also = vectors.search(
        rows[7].astype(np.float32),
        limit=9,
        also=[ids[0]],
        read=lambda wanted: {each: packed[each] for each in wanted},
        among=[owners[4], b"gone"],
    )
    assert sorted(chunk for chunk, _ in best) == [ids[4], ids[5]]
    assert set(also) == {ids[0]}


def test_over_http_search_and_answer_take_a_filter(place: object) -> None:
    async def story(serve: Serve) -> None:
        for path, metadata in LIBRARY.items():
            body = {"path": path, "text": f"Refunds are paid within 5 days. By {path}.", "metadata": metadata}
            await serve("POST", f"{BASE}/documents", body)
        chosen = {"team": {"in": ["sales"]}}
        for route, field, where in (
            (f"{BASE}/search", "query", {}),
            (f"{BASE}/answer", "question", {}),
            ("/v1/search", "query", {"collection": "help"}),
            ("/v1/ask", "question", {"collection": "help"}),
        ):
            body = {field: "When are refunds paid?", **where}
            status, found = await serve("POST", route, {**body, "filter": chosen})
            assert status == 200, found
            assert {hit["path"] for hit in found.get("data") or found["hits"]} == {"b.md"}
            status, refused = await serve("POST", route, {**body, "filter": {"taem": "sales"}})
            assert (status, refused["error"]["param"]) == (400, "filter.taem")
            assert "team (text)" in str(refused["error"])

    run(place, story)  # type: ignore[arg-type]
