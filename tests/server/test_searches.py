"""A search and its vectors belong to whoever asked: project, key, user, trace, and the run whose step it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mooring.core import ids
from mooring.sim.conversation import Conversation, Reply

from .conftest import Site
from .test_documents import ingest, write

Run = Callable[..., None]
TRACE = "0af7651916cd43dd8448eb211c80319c"
WHO = {"x-mooring-user": "ada", "x-mooring-tags": "a,b", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
VECTORS = {"embedding_model": "sim/embed"}


def cite(conversation: Conversation) -> Reply:
    return Reply(text="Refunds take five days. [1]")


ASKED: list[tuple[str, dict[str, Any]]] = [
    ("/v1/search", {"query": "refunds days"}),
    ("/v1/collections/default/search", {"query": "refunds days"}),
    ("/v1/collections/default/answer", {"question": "refunds days?", "model": "sim/cite"}),
    ("/v1/chat/completions", {"model": "rag/default", "messages": [{"role": "user", "content": "refunds days?"}]}),
]


@pytest.mark.parametrize(("path", "body"), ASKED)
def test_search_vectors_and_answer_are_in_the_callers_trace_and_on_its_bill(
    run: Run, tmp_path: Path, path: str, body: dict[str, Any]
) -> None:
    async def scenario(site: Site) -> None:
        await ingest(site, write(tmp_path / "docs"))
        before = {one["id"] for one in (await site.get("/v1/calls")).json["data"]}
        assert (await site.post(path, body, headers=WHO)).status == 200
        calls = [one for one in (await site.get("/v1/calls")).json["data"] if one["id"] not in before]
        kinds = {one["kind"] for one in calls}
        assert kinds >= {"retrieval", "embedding"}
        records = [await site.rooms.journal.get_call("default", ids.read("call", one["id"])) for one in calls]
        assert {record.user for record in records} == {"ada"}
        assert {record.tags for record in records} == {("a", "b")}
        assert {record.trace_id.hex() for record in records} == {TRACE}
        assert len({record.api_key_id for record in records}) == 1
        assert records[0].api_key_id is not None
        assert all(record.settled_nanos > 0 for record in records if record.kind == "embedding")

    run(scenario, scripts={"cite": cite}, rag={**VECTORS, "model": "sim/cite"})


def test_a_users_budget_stops_a_search_before_its_vectors_are_bought(run: Run, tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        await ingest(site, write(tmp_path / "docs"))
        await site.rooms.journal.put_budget("default", scope="user", subject="ada", window="day", cap_nanos=1)
        asked = {"query": "refunds days"}
        refused = await site.post("/v1/search", asked, headers=WHO)
        assert (refused.status, refused.error["code"]) == (402, "budget_exceeded")
        assert (await site.post("/v1/search", asked, headers={"x-mooring-user": "bob"})).status == 200

    run(scenario, rag=VECTORS)


def test_nobody_else_may_search_for_a_run(run: Run, tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        await ingest(site, write(tmp_path / "docs"))
        headers = {"x-mooring-run": "run_01m87kbpm3e008avyd9bbvtcx9", "x-mooring-step": "1", "x-mooring-epoch": "1"}
        assert (await site.post("/v1/search", {"query": "refunds"}, headers=headers)).status == 403

    run(scenario, rag=VECTORS)


def test_the_journal_holds_what_a_search_found_and_by_which_stages(run: Run, tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        await ingest(site, write(tmp_path / "docs"))
        found = (await site.post("/v1/collections/default/search", {"query": "refunds days"})).json
        call = await site.rooms.journal.get_call("default", ids.read("call", found["call_id"]))
        assert [hit["chunk"] for hit in call.attributes["hits"]] == [hit["chunk_id"] for hit in found["data"]]
        assert set(call.attributes["hits"][0]["scores"]) == {"keyword", "dense", "fused", "sentence"}
        assert [stage["name"] for stage in call.attributes["stages"]] == ["keyword", "dense", "fusion", "rerank"]
        assert call.attributes["revision"] > 0

    run(scenario, rag=VECTORS)
