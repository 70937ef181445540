"""From a question to passages: words and vectors, fused, read from the ledger, reranked. Each stage tells."""

import asyncio
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from mooring.core.errors import MooringError
from mooring.core.ids import show
from mooring.core.seams import Embed, Hit

from .config import RagConfig
from .embedding import vectors_of
from .filter import Filter
from .fusion import fuse
from .index import DocumentIndex
from .repository import ChunkRecord, DocumentRepository
from .rerank import DEPTH, SentenceReranker, reorder

CANDIDATES = 100  # of each list
SPARE = 20  # passages read beyond the limit, for those that the ledger no longer has

StageName = Literal["keyword", "dense", "fusion", "rerank"]


class Stage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One stage of a search: whether it ran, why not, how many passages it saw, how long it took."""

    name: StageName
    is_run: bool = False
    reason: str | None = None
    candidates: int = 0
    milliseconds: float = 0.0
    model: str | None = None


class Retrieval(msgspec.Struct, frozen=True):
    """Hits, best first, each with every stage's raw score; the stages in their order; the journalled call's id."""

    hits: list[Hit]
    stages: list[Stage]
    call_id: str = ""


class Retriever:
    """The stages over one index."""

    def __init__(self, repository: DocumentRepository, index: DocumentIndex, *, config: RagConfig) -> None:
        self._repository = repository
        self._index = index
        self._model = config.embedding_model
        self._share = config.vector_share
        self._reranker = SentenceReranker(self._model) if config.reranker == "sentence" else None

    async def retrieve(
        self,
        project_id: str,
        collection_id: bytes,
        query: str,
        *,
        limit: int,
        embed: Embed | None,
        chosen: Filter | None = None,
    ) -> Retrieval:
        """The best passages, by words alone without `embed`; a model that fails takes its stages away, and says so.

        With a filter both lists are those of its documents alone, and the ledger is asked again for each passage.

        Raises:
            InvalidRequest: the filter asks for what no document has.
        """
        stages: list[Stage] = []
        among = await self._repository.metadata.matching(project_id, collection_id, chosen) if chosen else None
        started = perf_counter()
        keyword = dict(await asyncio.to_thread(self._index.search, collection_id, query, limit=CANDIDATES, among=among))
        stages.append(Stage("keyword", True, candidates=len(keyword), milliseconds=_since(started)))
        vector, dense, cosines = await self._dense(collection_id, query, keyword, embed, stages, among)
        if vector is None or embed is None:
            order = dict(list(keyword.items())[: limit + SPARE])
            chunks = await self._repository.find_chunks(project_id, collection_id, list(order), chosen=chosen)
            stages.extend((Stage("fusion", reason="there is one list"), Stage("rerank", reason="there is no vector")))
            scores = {key: {"keyword": score} for key, score in keyword.items()}
            return Retrieval(
                [_hit(chunks[key], order[key], scores[key]) for key in order if key in chunks][:limit], stages
            )
        started = perf_counter()
        fused = fuse(keyword, {**cosines, **dense}, share=self._share)
        stages.append(Stage("fusion", True, candidates=len(fused), milliseconds=_since(started)))
        first = list(fused)[: max(limit, DEPTH) + SPARE]
        chunks = await self._repository.find_chunks(project_id, collection_id, first, chosen=chosen)
        order = {key: fused[key] for key in first if key in chunks}
        order, similarities = await self._rerank(vector, order, chunks, cosines, embed, stages)
        raw: Sequence[tuple[str, Mapping[bytes, float]]] = (
            ("keyword", keyword), ("dense", cosines), ("fused", fused), ("sentence", similarities)
        )  # fmt: skip
        hits = [
            _hit(chunks[key], score, {name: values[key] for name, values in raw if key in values})
            for key, score in list(order.items())[:limit]
        ]
        return Retrieval(hits, stages)

    async def _dense(
        self,
        collection_id: bytes,
        query: str,
        keyword: Mapping[bytes, float],
        embed: Embed | None,
        stages: list[Stage],
        among: frozenset[bytes] | None,
    ) -> tuple[NDArray[np.float32] | None, dict[bytes, float], dict[bytes, float]]:
        """The question's vector, the nearest passages, and the cosines of all passages of both lists."""
        reason = None
        if embed is None:
            reason = "no embedding model is set: see [rag] embedding_model"
        elif not await asyncio.to_thread(self._index.has_vectors, collection_id):
            reason = f"no passage here has a vector of '{self._model}' yet"
        if embed is None or reason:
            stages.append(Stage("dense", reason=reason))
            return None, {}, {}
        started = perf_counter()
        try:
            vector = (await vectors_of([query], embed=embed, model=self._model))[0]
        except MooringError as error:
            _unless_refused(error)
            stages.append(Stage("dense", reason=str(error), model=self._model, milliseconds=_since(started)))
            return None, {}, {}
        best, others = await asyncio.to_thread(
            self._index.search_vectors, collection_id, vector, limit=CANDIDATES, also=list(keyword), among=among
        )
        stages.append(Stage("dense", True, candidates=len(best), milliseconds=_since(started), model=self._model))
        return vector, dict(best), {**others, **dict(best)}

    async def _rerank(
        self,
        vector: NDArray[np.float32],
        order: dict[bytes, float],
        chunks: Mapping[bytes, ChunkRecord],
        cosines: Mapping[bytes, float],
        embed: Embed,
        stages: list[Stage],
    ) -> tuple[dict[bytes, float], dict[bytes, float]]:
        """The first passages in their last order, the others behind them; and the sentences' cosines."""
        if self._reranker is None:
            stages.append(Stage("rerank", reason="[rag] reranker is none"))
            return order, {}
        started = perf_counter()
        head = list(order)[:DEPTH]
        try:
            similarities = await self._reranker.similarities(
                vector, {key: chunks[key].text for key in head}, embed=embed
            )
        except MooringError as error:
            _unless_refused(error)
            stages.append(Stage("rerank", reason=str(error), model=self._model, milliseconds=_since(started)))
            return order, {}
        stages.append(Stage("rerank", True, candidates=len(head), milliseconds=_since(started), model=self._model))
        nearest = {key: max(similarity, cosines.get(key, 0.0)) for key, similarity in similarities.items()}
        return reorder(order, nearest), similarities


def _unless_refused(error: MooringError) -> None:
    """A spent budget or a lost run is the caller's to hear of; a model that fails only takes its stage away."""
    if error.code in ("budget_exceeded", "lease_lost", "content_blocked"):
        raise error


def _since(started: float) -> float:
    return round(1000 * (perf_counter() - started), 2)


def _hit(chunk: ChunkRecord, score: float, scores: dict[str, float]) -> Hit:
    return Hit(
        chunk_id=show("chunk", chunk.id),
        document_id=show("doc", chunk.document_id),
        path=chunk.path,
        section=chunk.section,
        start=chunk.start,
        end=chunk.end,
        text=chunk.text,
        score=score,
        scores=scores,
        page=chunk.page,
    )
