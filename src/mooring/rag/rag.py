"""The straight line of documents: ingest a source, search a collection, answer a question from it.

The ledger is the truth. Before each search the index is brought up to the ledger's revision, and each thing it finds
is read from the ledger, so an index that is behind or lost can miss, never resurrect.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from mooring.client import Answer, Citation
from mooring.core.errors import ConfigError, InvalidRequest, NotFound, StorageError
from mooring.core.ids import NewId, new_id, read, show
from mooring.core.seams import Complete, Hit
from mooring.journal.records import CallAnswer, NewCall, RunRef

from .answer import REFUSAL, build_request, find_pointers
from .config import RagConfig
from .index import KeywordIndex
from .ingest import IngestReport, Progress, ingest_source
from .repository import ChunkRecord, Collection, DocumentRecord, DocumentRepository, Span

LONGEST_QUESTION = 8_000  # characters
MOST_HITS = 100
_BATCH = 32  # documents that go into the index in one transaction
_SPARE = 20  # candidates beyond the limit, for those that the ledger no longer has


class RecordCall(Protocol):
    """The journal's way in for a call that needs no attempt."""

    async def __call__(self, call: NewCall, answer: CallAnswer, /) -> None: ...


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """On whose behalf a search is made; it goes into the journal."""

    trace_id: bytes | None = None
    parent_span_id: bytes | None = None
    api_key_id: bytes | None = None
    run: RunRef | None = None
    user: str | None = None
    session: str | None = None
    tags: tuple[str, ...] = ()
    release_id: bytes | None = None


class Rag:
    """Documents of all projects. `complete` asks the model that answers; without it only search works."""

    def __init__(
        self,
        repository: DocumentRepository,
        index: KeywordIndex,
        *,
        record_call: RecordCall,
        complete: Complete | None = None,
        config: RagConfig | None = None,
        new_id: NewId = new_id,
    ) -> None:
        self._repository = repository
        self._index = index
        self._record_call = record_call
        self._complete = complete
        self._config = config or RagConfig()
        self._new_id = new_id

    async def ingest(
        self, project_id: str, collection: str, folder: Path, *, progress: Progress | None = None
    ) -> IngestReport:
        """Take in a folder or file; what is there already costs nothing, what is gone disappears."""
        report = await ingest_source(
            self._repository,
            project_id,
            _checked_name(collection),
            folder.absolute(),
            config=self._config,
            progress=progress,
        )
        await self._refresh(project_id, await self._collection(project_id, collection))
        return report

    async def search(
        self, project_id: str, collection: str, query: str, /, *, limit: int = 8, origin: Origin | None = None
    ) -> list[Hit]:
        """Passages of the collection, best first; the search is in the journal before they are returned.

        Raises:
            NotFound: no such collection.
            InvalidRequest: the query is empty or too long.
        """
        hits, _ = await self._retrieve(project_id, collection, query, limit=limit, origin=origin or Origin())
        return hits

    async def answer(
        self,
        project_id: str,
        collection: str,
        question: str,
        *,
        complete: Complete | None = None,
        model: str | None = None,
        limit: int | None = None,
        origin: Origin | None = None,
    ) -> Answer:
        """Search, ask the model, and keep those of its citations that the stored text bears out.

        An answer that has none counts as no answer. Where nothing was found no model is asked.

        Raises:
            NotFound: no such collection.
            InvalidRequest: the question is empty or too long.
        """
        ask = complete or self._complete
        if ask is None:
            raise ConfigError("No model answers questions here.", hint="Set [rag] model.", param="rag.model")
        model = model or self._config.model
        hits, call_id = await self._retrieve(
            project_id, collection, question, limit=limit or self._config.passages, origin=origin or Origin()
        )
        if not hits:
            return Answer(text=REFUSAL, is_answered=False, call_id=call_id, model=model)
        response = await ask(build_request(model, question, hits))
        citations = await self._verified(project_id, response.text, hits)
        return Answer(
            text=response.text,
            is_answered=bool(citations) and not response.text.strip().startswith(REFUSAL.rstrip(".")),
            citations=citations,
            hits=tuple(hits),
            call_id=str(response.extra.get("call_id") or call_id),
            model=response.model or model,
        )

    async def remove(self, project_id: str, collection: str, name: str) -> int:
        """Forget the documents of this path, or all of this source; how many there were."""
        stored = await self._collection(project_id, collection)
        listed = await self._repository.list_documents(project_id, stored.id)
        doomed = [document.id for document in listed if name in (document.path, document.source)]
        if doomed:
            await self._repository.remove(project_id, stored.id, doomed)
        return len(doomed)

    async def documents(self, project_id: str, collection: str) -> list[DocumentRecord]:
        """Every path that was met, the unreadable ones with their reasons."""
        stored = await self._collection(project_id, collection)
        return await self._repository.list_documents(project_id, stored.id)

    async def collections(self, project_id: str) -> list[Collection]:
        """The project's collections, by name."""
        return await self._repository.list_collections(project_id)

    def close(self) -> None:
        """Close the index's file."""
        self._index.close()

    async def _retrieve(
        self, project_id: str, collection: str, query: str, *, limit: int, origin: Origin
    ) -> tuple[list[Hit], str]:
        """Hits, and the id of the journalled retrieval."""
        if not query.strip():
            raise InvalidRequest("The question is empty.", param="question")
        if len(query) > LONGEST_QUESTION:
            raise InvalidRequest(f"The question is longer than {LONGEST_QUESTION:,} characters.", param="question")
        limit = max(1, min(limit, MOST_HITS))
        stored = await self._collection(project_id, collection)
        await self._refresh(project_id, stored)
        found = await asyncio.to_thread(self._index.search, stored.id, query, limit=limit + _SPARE)
        chunks = await self._repository.find_chunks(project_id, stored.id, [chunk_id for chunk_id, _ in found])
        hits = [_hit(chunks[chunk_id], score) for chunk_id, score in found if chunk_id in chunks][:limit]
        call_id = self._new_id()
        await self._record_call(
            NewCall(
                id=call_id,
                project_id=project_id,
                kind="retrieval",
                name=f"rag/{collection}",
                trace_id=origin.trace_id or call_id,
                request_body=msgspec.json.encode({"collection": collection, "query": query, "limit": limit}),
                parent_span_id=origin.parent_span_id,
                api_key_id=origin.api_key_id,
                run=origin.run,
                user=origin.user,
                session=origin.session,
                tags=origin.tags,
                release_id=origin.release_id,
            ),
            CallAnswer(
                state="completed",
                body=msgspec.json.encode(hits),
                attributes={"revision": stored.revision, "hits": [_summary(hit) for hit in hits]},
            ),
        )
        return hits, show("call", call_id)

    async def _refresh(self, project_id: str, collection: Collection) -> None:
        """Bring the index up to the ledger, a few documents at a time; another process may be doing the same."""
        if await asyncio.to_thread(self._index.revision, collection.id) == collection.revision:
            return
        for _ in range(20):
            revision, wanted = await self._repository.current_versions(project_id, collection.id)
            present = await asyncio.to_thread(self._index.versions, collection.id)
            stale = [document for document in {*wanted, *present} if wanted.get(document) != present.get(document)]
            for first in range(0, len(stale), _BATCH):
                changes: dict[bytes, tuple[bytes, Sequence[ChunkRecord]] | None] = {}
                for document in stale[first : first + _BATCH]:
                    version = wanted.get(document)
                    chunks = await self._repository.chunks_of(project_id, version) if version else []
                    changes[document] = (version, chunks) if version else None
                await asyncio.to_thread(self._index.put, collection.id, changes)
            if await asyncio.to_thread(self._index.settle, collection.id, revision, wanted):
                return
        raise StorageError(
            f"The index of '{collection.name}' does not come to rest.", hint="Try again when ingestion is over."
        )

    async def _verified(self, project_id: str, reply: str, hits: Sequence[Hit]) -> tuple[Citation, ...]:
        """The reply's citations whose quoted text is, character for character, what the ledger holds there."""
        pointers = find_pointers(reply, hits)
        spans = [Span(read("doc", pointer.hit.document_id), pointer.start, pointer.end) for pointer in pointers]
        stored = await self._repository.read_spans(project_id, spans)
        return tuple(
            Citation(
                path=pointer.hit.path,
                section=pointer.hit.section,
                start=pointer.start,
                end=pointer.end,
                text=pointer.text,
                number=pointer.number,
                document_id=pointer.hit.document_id,
                chunk_id=pointer.hit.chunk_id,
            )
            for pointer, text in zip(pointers, stored, strict=True)
            if text is not None and text == pointer.text
        )

    async def _collection(self, project_id: str, name: str) -> Collection:
        stored = await self._repository.find_collection(project_id, name)
        if stored is None:
            raise NotFound(
                f"There is no collection '{name[:60]}'.", hint="Add documents first: mooring documents add FOLDER."
            )
        return stored


def _checked_name(name: str) -> str:
    if not name or len(name) > 100 or not all(character.isalnum() or character in "-_." for character in name):
        raise InvalidRequest(
            f"'{name[:60]}' is no name for a collection.",
            hint="Use up to 100 letters, digits, hyphens, underscores and dots.",
            param="collection",
        )
    return name


def _hit(chunk: ChunkRecord, score: float) -> Hit:
    return Hit(
        chunk_id=show("chunk", chunk.id),
        document_id=show("doc", chunk.document_id),
        path=chunk.path,
        section=chunk.section,
        start=chunk.start,
        end=chunk.end,
        text=chunk.text,
        score=score,
        scores={"keyword": score},
    )


def _summary(hit: Hit) -> dict[str, object]:
    return {
        "chunk": hit.chunk_id,
        "path": hit.path,
        "section": hit.section,
        "start": hit.start,
        "end": hit.end,
        "scores": hit.scores,
    }
