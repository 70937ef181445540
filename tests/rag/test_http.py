"""Collections over HTTP: upload, list, preview, search, answer, remove; and the model `rag/<collection>`."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.rag.pages import IMAGE, pdf

from mooring.config import Config
from mooring.server.exchange import Exchange
from mooring.server.routes import create_application
from mooring.server.server import Application
from mooring.sim import SimServer
from mooring.sim.conversation import Conversation, Reply
from mooring.storage import Home
from mooring.wiring import build

MARKDOWN = b"# Refunds\n\nRefunds are paid within 5 days.\n"
BASE = "/v1/collections/help"


def reader(conversation: Conversation) -> Reply:
    """Quotes the first passage."""
    assert "passages" in conversation.last_user_text
    return Reply(text="Refunds are paid within 5 days. [1]")


class Serve:
    """One `serve`, asked in process."""

    def __init__(self, application: Application, key: str, sim: SimServer) -> None:
        self._application = application
        self._key = key
        self.sim = sim

    async def __call__(self, method: str, path: str, body: object = None, kind: str = "application/json") -> Any:
        """Status and the JSON, or the text where it is none."""
        raw = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        path, _, query = path.partition("?")
        headers = {"host": "127.0.0.1:1", "authorization": f"Bearer {self._key}", "content-type": kind}
        exchange = Exchange(
            method,
            path,
            {name.encode(): value.encode() for name, value in headers.items()},
            query_string=query.encode(),
            body_limit_bytes=32 * 1024 * 1024,
        )
        exchange.feed(raw)
        exchange.end()
        reply = await self._application(exchange)
        whole = reply.body if isinstance(reply.body, bytes) else b"".join([piece async for piece in reply.body])
        text = whole.decode()
        return reply.status, json.loads(text) if reply.content_type.startswith("application/json") else text


@asynccontextmanager
async def serving(place: Path) -> AsyncIterator[Serve]:
    async with SimServer({"reader": reader}) as sim:
        provider = {
            "type": "sim",
            "base_url": f"{sim.url}/v1",
            "prices": {"*": {"input_usd": "0.25", "output_usd": "2"}},
        }
        config = Config.model_validate(
            {
                "gateway": {"providers": {"sim": provider}},
                "rag": {"model": "sim/reader", "embedding_model": "sim/embed"},
            }
        )
        async with build(config, Home(place), kind="serve") as rooms:
            yield Serve(create_application(rooms), rooms.service_key, sim)


def run(place: Path, story: Callable[[Serve], Awaitable[None]]) -> None:
    async def scenario() -> None:
        async with serving(place) as serve:
            await story(serve)

    asyncio.run(scenario())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_a_document_is_uploaded_previewed_replaced_and_removed(place: Path) -> None:
    async def story(serve: Serve) -> None:
        query = urlencode({"path": "policy/refunds.md", "metadata": '{"team": "billing"}'})
        status, made = await serve("POST", f"{BASE}/documents?{query}", MARKDOWN, "text/markdown")
        assert (status, made["state"], made["chunks"], made["embedded"]) == (201, "ready", 1, 1)
        assert made["metadata"].items() >= {"team": "billing", "file.folder": ["policy"]}.items()
        _, listed = await serve("GET", f"{BASE}/documents")
        assert [one["path"] for one in listed["data"]] == ["policy/refunds.md"]
        _, preview = await serve("GET", f"{BASE}/documents/{made['id']}")
        assert preview["text"] == MARKDOWN.decode()
        (passage,) = preview["passages"]
        assert (passage["section"], passage["is_embedded"]) == ("Refunds", True)
        body = {"path": "policy/refunds.md", "text": "No refunds."}
        assert (await serve("POST", f"{BASE}/documents", body))[1]["id"] == made["id"]
        assert (await serve("DELETE", f"{BASE}/documents/{made['id']}"))[1] == {"id": made["id"], "deleted": True}
        assert (await serve("DELETE", f"{BASE}/documents/{made['id']}"))[0] == 404
        assert (await serve("POST", f"{BASE}/search", {"query": "refunds"}))[1]["data"] == []

    run(place, story)


def test_pdf_and_html_are_taken_by_their_type(place: Path) -> None:
    async def story(serve: Serve) -> None:
        paper = pdf([(20.0, "Paper"), (11.0, "Quinces are ripe.")], IMAGE)
        _, made = await serve("POST", f"{BASE}/documents?path=paper", paper, "application/pdf")
        assert (made["loader"], made["pages"]) == ("pdf", 2)
        assert "OCR" in made["notes"][0]
        body = {"path": "page", "data": base64.b64encode(b"<p>Pears").decode(), "media_type": "text/html"}
        assert (await serve("POST", f"{BASE}/documents", body))[1]["loader"] == "html"
        _, found = await serve("POST", f"{BASE}/search", {"query": "quinces"})
        assert (found["data"][0]["path"], found["data"][0]["page"]) == ("paper", 1)

    run(place, story)


def test_what_cannot_be_taken_says_why(place: Path) -> None:
    async def story(serve: Serve) -> None:
        for path, raw, kind, code in (
            ("a.png", b"x", "image/png", "invalid_request"),
            ("../a.md", b"x", "text/markdown", "invalid_request"),
            ("scan.pdf", pdf(IMAGE), "application/pdf", "unreadable_document"),
            ("a.txt", b"a\0", "text/plain", "unreadable_document"),
        ):
            status, body = await serve("POST", f"{BASE}/documents?{urlencode({'path': path})}", raw, kind)
            assert (status, body["error"]["code"]) == (400, code), path
        assert "'a.txt' cannot be read: character 1 is NUL" in body["error"]["message"]
        assert (await serve("GET", "/v1/collections"))[1]["data"] == []  # what failed has made none
        assert (await serve("POST", f"{BASE}/documents", MARKDOWN, "text/markdown"))[0] == 400
        assert (await serve("POST", "/v1/collections/none/search", {"query": "x"}))[0] == 404

    run(place, story)


def test_a_limit_that_would_be_cut_is_refused(place: Path) -> None:
    async def story(serve: Serve) -> None:
        await filled(serve)
        for limit in (0, -1, 101):
            for route, word in (("search", "query"), ("answer", "question")):
                status, body = await serve("POST", f"{BASE}/{route}", {word: "refunds", "limit": limit})
                assert (status, body["error"]["param"]) == (400, "limit")

    run(place, story)


async def filled(serve: Serve) -> None:
    await serve("POST", f"{BASE}/documents?path=refunds.md", MARKDOWN, "text/markdown")


def test_a_search_shows_its_stages_and_an_answer_its_citations(place: Path) -> None:
    async def story(serve: Serve) -> None:
        await filled(serve)
        _, found = await serve("POST", f"{BASE}/search", {"query": "When are refunds paid?"})
        assert [(stage["name"], stage.get("is_run")) for stage in found["stages"]] == [
            ("keyword", True),
            ("dense", True),
            ("fusion", True),
            ("rerank", True),
        ]
        assert set(found["data"][0]["scores"]) == {"keyword", "dense", "fused", "sentence"}
        _, answer = await serve("POST", f"{BASE}/answer", {"question": "When are refunds paid?"})
        assert [one["text"] for one in answer["citations"]] == ["Refunds are paid within 5 days."]

    run(place, story)


def ask(question: str, **fields: Any) -> dict[str, Any]:
    return {"model": "rag/help", "messages": [{"role": "user", "content": question}], **fields}


def test_a_collection_answers_as_a_model_with_annotations(place: Path) -> None:
    async def story(serve: Serve) -> None:
        await filled(serve)
        status, body = await serve("POST", "/v1/chat/completions", ask("When are refunds paid?"))
        assert (status, body["model"]) == (200, "rag/help")
        message = body["choices"][0]["message"]
        (annotation,) = message["annotations"]
        place = annotation["url_citation"]
        assert message["content"][place["start_index"] : place["end_index"]] == "[1]"
        assert place["title"] == "refunds.md § Refunds"
        assert annotation["citation"]["text"] == "Refunds are paid within 5 days."
        assert body["usage"]["total_tokens"] > 0
        assert "rag/help" in [one["id"] for one in (await serve("GET", "/v1/models"))[1]["data"]]

    run(place, story)


def test_its_stream_ends_with_the_annotations(place: Path) -> None:
    async def story(serve: Serve) -> None:
        await filled(serve)
        status, text = await serve("POST", "/v1/chat/completions", ask("When are refunds paid?", stream=True))
        assert status == 200
        lines = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]
        assert lines[-1] == "[DONE]"
        chunks = [json.loads(line) for line in lines[:-1]]
        assert {chunk["model"] for chunk in chunks} == {"rag/help"}
        deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
        assert "".join(delta.get("content") or "" for delta in deltas) == "Refunds are paid within 5 days. [1]"
        (annotations,) = [delta["annotations"] for delta in deltas if "annotations" in delta]
        assert annotations[0]["citation"]["path"] == "refunds.md"

    run(place, story)


def test_without_a_hit_it_refuses_and_asks_no_model(place: Path) -> None:
    async def story(serve: Serve) -> None:
        made = (await serve("POST", f"{BASE}/documents?path=a.md", b"pears", "text/markdown"))[1]
        await serve("DELETE", f"{BASE}/documents/{made['id']}")
        for is_stream in (False, True):
            _, body = await serve("POST", "/v1/chat/completions", ask("zebras?", stream=is_stream))
            assert "The documents do not say." in json.dumps(body)
        assert not [row for row in serve.sim.meter.rows if "reader" in str(row)]

    run(place, story)


def test_what_a_collection_cannot_do_is_refused(place: Path) -> None:
    async def story(serve: Serve) -> None:
        await filled(serve)
        for fields in ({"tools": [{"type": "function"}]}, {"n": 2}, {"messages": []}):
            status, body = await serve("POST", "/v1/chat/completions", {**ask("x"), **fields})
            assert (status, body["error"]["code"]) == (400, "invalid_request")
        status, _ = await serve("POST", "/v1/chat/completions", {**ask("x"), "model": "rag/none"})
        assert status == 404

    run(place, story)


async def two(serve: Serve) -> None:
    await serve("POST", f"{BASE}/documents?path=public/refunds.md", MARKDOWN, "text/markdown")
    await serve("POST", f"{BASE}/documents?path=hr/refunds.md", b"Refunds are secret.", "text/markdown")


def test_the_model_of_a_collection_takes_a_filter(place: Path) -> None:
    async def story(serve: Serve) -> None:
        await two(serve)
        for is_stream in (False, True):
            body = ask("When are refunds paid?", stream=is_stream, filter={"file.folder": "public"})
            _, answer = await serve("POST", "/v1/chat/completions", body)
            assert "public/refunds.md" in json.dumps(answer)
            assert "secret" not in json.dumps(answer)
        for chosen in ("public", {"taem": "x"}):
            status, refused = await serve("POST", "/v1/chat/completions", ask("refunds", filter=chosen))
            assert (status, refused["error"]["code"]) == (400, "invalid_request")

    run(place, story)


def test_whose_a_search_and_an_answer_are_is_kept_on_all_their_calls(place: Path) -> None:
    whose = {"user": "u_1", "session": "s_1", "tags": ["red"]}
    asked: list[tuple[str, dict[str, Any]]] = [
        (f"{BASE}/search", {"query": "refunds", **whose}),
        ("/v1/search", {"query": "refunds", "collection": "help", **whose}),
        (f"{BASE}/answer", {"question": "refunds", **whose}),
        ("/v1/ask", {"question": "refunds", "collection": "help", **whose}),
        (
            "/v1/chat/completions",
            ask("refunds", user="u_1", metadata={"session_id": "s_1", "tags": "red"}),
        ),
    ]

    async def story(serve: Serve) -> None:
        await two(serve)
        before = len((await serve("GET", "/v1/calls?limit=100"))[1]["data"])
        for path, body in asked:
            status, _ = await serve("POST", path, {**body, "filter": {"file.folder": "public"}})
            assert status == 200, path
        calls = (await serve("GET", "/v1/calls?limit=100"))[1]["data"]
        made = calls[: len(calls) - before]
        assert {call["kind"] for call in made} == {"retrieval", "embedding", "chat"}
        assert {(call["user"], call["session"], tuple(call["tags"])) for call in made} == {("u_1", "s_1", ("red",))}

    run(place, story)
