"""How well keyword search finds: `python benchmarks/retrieval.py FOLDER …`, each with corpus, queries and qrels.

Prints nDCG@10 and recall@10 through the whole straight line: ledger, index, search. Each text of the corpus is one
passage, so that the figures compare with published ones.
"""

import asyncio
import json
import math
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mooring.core.text import digest
from mooring.rag import DocumentIndex, DocumentRepository, Rag
from mooring.rag.contracts import Piece
from mooring.rag.repository import NewVersion
from mooring.storage import Database

PROJECT = "benchmark"


class Corpus(NamedTuple):
    name: str
    documents: list[dict[str, Any]]
    questions: list[dict[str, Any]]
    relevant: dict[str, dict[str, float]]


def load_corpus(folder: Path) -> Corpus:
    relevant: dict[str, dict[str, float]] = {}
    for line in (folder / "qrels.tsv").read_text().splitlines()[1:]:
        question, document, grade = line.split("\t")
        relevant.setdefault(question, {})[document] = float(grade)
    documents = [json.loads(line) for line in (folder / "corpus.jsonl").open()]
    questions = [json.loads(line) for line in (folder / "queries.jsonl").open()]
    return Corpus(folder.name, documents, [each for each in questions if each["_id"] in relevant], relevant)


@asynccontextmanager
async def searcher(corpus: Corpus) -> AsyncIterator[Callable[[str], Awaitable[list[str]]]]:
    """A function from a question to the ids of the ten best texts."""

    async def record(call: object, answer: object) -> None:
        """No journal here: its cost is measured elsewhere."""

    with tempfile.TemporaryDirectory() as home:
        database = Database.open(f"sqlite:///{home}/mooring.db")
        repository = DocumentRepository(database)
        rag = Rag(repository, DocumentIndex(Path(home) / "index.db"), record_call=record)
        try:
            collection = await repository.ensure_collection(PROJECT, corpus.name)
            for document in corpus.documents:
                text = document["text"].replace("\0", " ")
                piece = Piece(0, len(text), document.get("title", ""))
                version = NewVersion(digest(text.encode()), "text", len(text), text, (piece,))
                await repository.put_version(PROJECT, collection.id, "corpus", document["_id"], version)

            async def search(question: str) -> list[str]:
                return [hit.path for hit in await rag.search(PROJECT, corpus.name, question, limit=10)]

            yield search
        finally:
            rag.close()
            database.close()


def gain(ranked: list[str], grades: dict[str, float]) -> float:
    """nDCG@10."""
    found = sum(grades.get(each, 0.0) / math.log2(place + 2) for place, each in enumerate(ranked[:10]))
    ideal = sum(g / math.log2(place + 2) for place, g in enumerate(sorted(grades.values(), reverse=True)[:10]))
    return found / ideal


async def measure(folder: Path) -> None:
    corpus = load_corpus(folder)
    async with searcher(corpus) as search:
        await search(corpus.questions[0]["text"])
        started = time.perf_counter()
        ranked = [(question["_id"], await search(question["text"])) for question in corpus.questions]
        seconds = time.perf_counter() - started
    gains = [gain(found, corpus.relevant[question]) for question, found in ranked]
    recalls = [
        sum(each in corpus.relevant[question] for each in found[:10]) / len(corpus.relevant[question])
        for question, found in ranked
    ]
    print(
        f"{corpus.name}: keyword nDCG@10 {sum(gains) / len(gains):.3f}, recall@10 {sum(recalls) / len(recalls):.3f}"
        f" ({len(corpus.documents):,} passages, {len(gains):,} questions, {1000 * seconds / len(gains):.1f} ms each)"
    )


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for argument in sys.argv[1:]:
        asyncio.run(measure(Path(argument)))
