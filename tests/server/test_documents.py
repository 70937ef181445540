"""Documents over HTTP: ingested by the home's own processes, searched and asked by whoever may."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from mooring.processes.work import handlers
from mooring.processes.worker import Worker
from mooring.sim.conversation import Conversation, Reply

from .conftest import Site

Run = Callable[..., None]


def cite(conversation: Conversation) -> Reply:
    """A model that answers from the first passage."""
    return Reply(text="Refunds take five days. [1]")


def write(folder: Path) -> Path:
    folder.mkdir()
    (folder / "refunds.md").write_text("# Refunds\n\nRefunds take five days. They go to the card that paid.\n")
    (folder / "photo.md").write_bytes(b"\xff\xfe\x00binary")
    return folder


async def ingest(site: Site, folder: Path) -> None:
    answer = await site.post("/v1/documents", {"folder": str(folder)}, key=site.service)
    assert (answer.status, answer.json["state"]) == (202, "queued")
    worker = Worker(site.rooms.journal, handlers(site.rooms))
    working = asyncio.create_task(worker.run())
    events = await site.get(f"/v1/runs/{answer.json['id']}/events", headers={"accept": "text/event-stream"})
    assert b"event: end" in events.body
    worker.stop()
    await working
    run = (await site.get(f"/v1/runs/{answer.json['id']}")).json
    assert (run["state"], run["output"]["added"]) == ("completed", 1)


def test_a_folder_is_read_listed_searched_and_asked(run: Run, tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        await ingest(site, write(tmp_path / "docs"))
        listed = (await site.get("/v1/collections/default/documents")).json["data"]
        assert {(document["path"], document["state"]) for document in listed} == {
            ("refunds.md", "ready"),
            ("photo.md", "unreadable"),
        }
        [hit] = (await site.post("/v1/search", {"query": "refunds days"})).json["data"]
        text = (tmp_path / "docs" / "refunds.md").read_text()
        assert text[hit["start"] : hit["end"]] == hit["text"]
        answer = (await site.post("/v1/ask", {"question": "How long do refunds take?", "model": "sim/cite"})).json
        assert answer["is_answered"] is True
        [citation] = answer["citations"]
        assert "five days" in text[citation["start"] : citation["end"]]

    run(scenario, scripts={"cite": cite})


def test_an_answer_names_its_model_call_and_both_share_a_trace(run: Run, tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        await ingest(site, write(tmp_path / "docs"))
        asked = {"question": "How long do refunds take?", "model": "sim/cite", "user": "u_1", "tags": ["a", "b"]}
        answer = (await site.post("/v1/ask", asked)).json
        call = (await site.get(f"/v1/calls/{answer['call_id']}")).json
        assert (call["kind"], call["user"], call["tags"]) == ("chat", "u_1", ["a", "b"])
        calls = (await site.get("/v1/calls")).json["data"]
        assert {one["kind"] for one in calls if one["trace_id"] == call["trace_id"]} == {"chat", "retrieval"}

    run(scenario, scripts={"cite": cite})


def test_what_the_model_fails_at_comes_back_as_its_error(run: Run, tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        await ingest(site, write(tmp_path / "docs"))
        answer = await site.post("/v1/ask", {"question": "How long do refunds take?", "model": "sim/down"})
        assert answer.status >= 500
        assert answer.error["code"] not in ("internal_error", None)
        answer = await site.post("/v1/ask", {"question": "How long do refunds take?", "model": "no/such"})
        assert (answer.status, answer.error["code"]) == (404, "not_found")

    run(scenario)


def test_an_empty_question_is_refused(run: Run, tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        await ingest(site, write(tmp_path / "docs"))
        for path, body in (("/v1/ask", {"question": " "}), ("/v1/search", {"query": ""})):
            answer = await site.post(path, body)
            assert (answer.status, answer.error["param"]) == (400, "question")

    run(scenario)
