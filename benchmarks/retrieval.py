"""How well search finds: `python benchmarks/retrieval.py FOLDER …`, each with corpus, queries and qrels.

Prints nDCG@10 and recall@10 of words alone, vectors alone, both fused, and reranked by sentences, each by the whole
straight line: ledger, index, search. Each text of the corpus is one passage, so that the figures compare with published
ones. `--keyword` leaves out what needs vectors; those come from the built-in model, kept in FILE with `--vectors FILE`.
"""

import argparse
import asyncio
import json
import math
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mooring.core.seams import Embed
from mooring.core.text import digest
from mooring.rag import DocumentIndex, DocumentRepository, Rag, RagConfig
from mooring.rag.contracts import Piece
from mooring.rag.embedding import embed_pending
from mooring.rag.repository import NewVersion
from mooring.storage import Database

PROJECT, MODEL = "benchmark", "local/minilm"
SETTINGS = {
    "keyword": {"embedding_model": ""},
    "dense": {"vector_share": 1.0, "reranker": "none"},
    "hybrid": {"reranker": "none"},
    "reranked": {},
}
Search = Callable[[str], Awaitable[list[str]]]


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
async def searchers(corpus: Corpus, embed: Embed | None) -> AsyncIterator[dict[str, Search]]:
    """For each setting, a function from a question to the ids of the ten best texts."""

    async def record(call: object, answer: object) -> None:
        """No journal here: its cost is measured elsewhere."""

    def search_with(rag: Rag) -> Search:
        async def search(question: str) -> list[str]:
            return [hit.path for hit in await rag.search(PROJECT, corpus.name, question, limit=10)]

        return search

    embed_for = (lambda project_id, origin: embed) if embed else None
    with tempfile.TemporaryDirectory() as home:
        database = Database.open(f"sqlite:///{home}/mooring.db")
        repository = DocumentRepository(database)
        rags: dict[str, Rag] = {}
        try:
            collection = await repository.ensure_collection(PROJECT, corpus.name)
            for document in corpus.documents:
                text = document["text"].replace("\0", " ")
                piece = Piece(0, len(text), document.get("title", ""))
                version = NewVersion(digest(text.encode()), "text", len(text), text, (piece,))
                await repository.put_version(PROJECT, collection.id, "corpus", document["_id"], version)
            if embed is not None:
                store = repository.embeddings
                made = await embed_pending(store, PROJECT, collection.id, embed=embed, model=MODEL)
                assert made.reason is None, made.reason
            for name, settings in SETTINGS.items():
                if embed is None and name != "keyword":
                    continue
                index = DocumentIndex(Path(home) / f"{name}.db")
                config = RagConfig(**settings)
                rags[name] = Rag(repository, index, record_call=record, embed_for=embed_for, config=config)
            yield {name: search_with(rag) for name, rag in rags.items()}
        finally:
            for rag in rags.values():
                rag.close()
            database.close()


@asynccontextmanager
async def searcher(corpus: Corpus) -> AsyncIterator[Search]:
    """By words alone."""
    async with searchers(corpus, None) as found:
        yield found["keyword"]


class Remembering:
    """An `Embed` that keeps each text's vector in a file."""

    def __init__(self, model: Any, file: str) -> None:
        self._model = model
        self._file = sqlite3.connect(file, isolation_level=None)
        self._file.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB)")

    async def __call__(self, texts: Sequence[str], /, *, model: str) -> Sequence[Sequence[float]]:
        found: list[Any] = [self._find(text) for text in texts]
        missing = [place for place, vector in enumerate(found) if vector is None]
        if missing:
            made = await self._model([texts[place] for place in missing], model=model)
            for place, vector in zip(missing, made, strict=True):
                found[place] = vector
                row = (digest(texts[place].encode()), np.asarray(vector, np.float32).tobytes())
                self._file.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?)", row)
        return found

    def _find(self, text: str) -> Any:
        row = self._file.execute("SELECT vector FROM vectors WHERE key = ?", (digest(text.encode()),)).fetchone()
        return np.frombuffer(row[0], np.float32) if row else None

    def close(self) -> None:
        self._model.close()
        self._file.close()


def gain(ranked: list[str], grades: dict[str, float]) -> float:
    """nDCG@10."""
    found = sum(grades.get(each, 0.0) / math.log2(place + 2) for place, each in enumerate(ranked[:10]))
    ideal = sum(g / math.log2(place + 2) for place, g in enumerate(sorted(grades.values(), reverse=True)[:10]))
    return found / ideal


async def measure(folder: Path, embed: Embed | None) -> None:
    corpus = load_corpus(folder)
    print(f"{corpus.name}: {len(corpus.documents):,} passages, {len(corpus.questions):,} questions")
    async with searchers(corpus, embed) as settings:
        for name, search in settings.items():
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
                f"  {name:9} nDCG@10 {sum(gains) / len(gains):.3f}  recall@10 {sum(recalls) / len(recalls):.3f}"
                f"  {1000 * seconds / len(gains):.1f} ms each",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--keyword", action="store_true")
    parser.add_argument("--vectors", default=":memory:")
    parser.add_argument("--weights", type=Path, default=None, help="The folder of model.safetensors.")
    given = parser.parse_args()
    embed = None
    if not given.keyword:
        from minilm import Model

        embed = Remembering(Model(given.weights), given.vectors)
    try:
        for folder in given.folders:
            asyncio.run(measure(folder, embed))
    finally:
        if embed is not None:
            embed.close()


if __name__ == "__main__":
    main()
