"""The sample handbook can be asked: search, reader and citations together."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.core.messages import ChatRequest, ChatResponse, Choice, Message, TextPart
from mooring.core.seams import Complete
from mooring.local.prompt import parse
from mooring.local.reader import Similar, read
from mooring.local.shelf import Shelf
from mooring.rag import DocumentIndex, DocumentRepository, Rag
from mooring.storage import Database

HANDBOOK = Path(__file__).parents[2] / "src/mooring/demo/handbook"

QUESTIONS = [
    ("How long does a customer have to return an item?", "30 days", "refunds.md", "Refunds > Time limits"),
    ("How long is the warranty on furniture?", "5 years", "warranty.md", "Warranty"),
    ("When does a parcel count as lost?", "7 days", "shipping.md", "Shipping > Lost parcels"),
    ("Who is the privacy officer?", "Ines Aurell", "security.md", "Security > Data requests"),
    ("How long is a sign-in code valid?", "10 minutes", "accounts.md", "Accounts > Signing in"),
    ("What happens if an item arrives broken?", "80 dollars", "refunds.md", "Refunds > Broken on arrival"),
]


def reading(similar: Similar | None) -> Complete:
    """The reader without its server."""

    async def complete(request: ChatRequest, /) -> ChatResponse:
        asked = parse([(message.role, message.text) for message in request.messages])
        text = read(asked.question, asked.passages, similar=similar).text
        message = Message(role="assistant", parts=(TextPart(text),))
        return ChatResponse(id="r", model=request.model, choices=(Choice(0, message, "stop"),))

    return complete


async def record(call: object, answer: object, /) -> None:
    """The journal has tests of its own."""


@pytest.fixture(params=["by words alone", "with the embedding model"])
def rag(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Rag]:
    shelf = None if request.param == "by words alone" else Shelf(request.getfixturevalue("models"))
    similar = asyncio.run(shelf.model()).similar if shelf else None
    database = Database.open(f"sqlite:///{tmp_path / 'mooring.db'}")
    opened = Rag(
        DocumentRepository(database),
        DocumentIndex(tmp_path / "index.db"),
        record_call=record,
        complete=reading(similar),
    )
    asyncio.run(opened.ingest("default", "handbook", HANDBOOK))
    yield opened
    if shelf:
        shelf.close()
    opened.close()
    database.close()


def test_its_questions_are_answered_with_citations_that_resolve(rag: Rag) -> None:
    for question, expected, path, section in QUESTIONS:
        answer = asyncio.run(rag.answer("default", "handbook", question))
        assert answer.is_answered
        assert expected in answer.text
        first = answer.citations[0]
        assert (first.path, first.section) == (path, section)
        assert (HANDBOOK / path).read_text()[first.start : first.end] == first.text


def test_what_it_does_not_hold_is_said_to_be_missing(rag: Rag) -> None:
    for question in ("Who won the football world cup in 1998?", "How old is the founder of the company?"):
        answer = asyncio.run(rag.answer("default", "handbook", question))
        assert (answer.text, answer.is_answered, answer.citations) == ("The documents do not say.", False, ())
