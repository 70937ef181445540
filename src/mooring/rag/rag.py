"""The straight line of documents: ingest a source, search a collection, answer a question from it.

Passages get vectors after their text is stored, so that words find them at once and a crash in between costs nothing.
The ledger is the truth. Before each search the index is brought up to the ledger's revision, and each thing it finds
is read from the ledger, so an index that is behind or lost can miss, never resurrect.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from mooring.client import Answer, Citation
from mooring.core.errors import ConfigError, InvalidRequest, NotFound, StorageError
from mooring.core.ids import NewId, new_id, read, show
from mooring.core.seams import Complete, Hit
from mooring.journal.records import CallAnswer, NewCall

from .answer import REFUSAL, build_request, find_pointers, is_refusal
from .config import RagConfig
from .contracts import Unreadable
from .embedding import Embedded, embed_pending
from .filter import parse_filter
from .index import DocumentIndex
from .ingest import IngestReport, Outcome, Progress, ingest_source, prepare
from .metadata import facts_of
from .origin import EmbedFor, Origin, Recall, RecordCall, recalled
from .parser import Parser
from .repository import ChunkRecord, Collection, DocumentRecord, DocumentRepository, Span
from .retrieve import Retrieval, Retriever
from .upload import UPLOADS, Upload, check_upload

LONGEST_QUESTION = 8_000  # characters
MOST_HITS = 100
_BATCH = 32  # documents that go into the index in one transaction


class Preview(msgspec.Struct, frozen=True):
    """A document as it is stored, and its passages as spans of its text."""

    document: DocumentRecord
    text: str
    chunks: list[ChunkRecord]


class Rag:
    """Documents of all projects. `complete` asks the model that answers; without it only search works.

    `embed_for` gives what makes vectors with [rag] embedding_model; without it words alone find passages.
    """

    def __init__(
        self,
        repository: DocumentRepository,
        index: DocumentIndex,
        *,
        record_call: RecordCall,
        complete: Complete | None = None,
        embed_for: EmbedFor | None = None,
        recall: Recall | None = None,
        config: RagConfig | None = None,
        new_id: NewId = new_id,
    ) -> None:
        self._repository = repository
        self._index = index
        self._record_call = record_call
        self._complete = complete
        self._recall = recall
        self._config = config or RagConfig()
        self._new_id = new_id
        self._embed_for = embed_for if self._config.embedding_model else None
        self._model = self._config.embedding_model if self._embed_for else None
        self._retriever = Retriever(repository, index, config=self._config)
        self._parser = Parser(memory_bytes=self._config.parse_memory_bytes, seconds=self._config.parse_seconds)

    async def ingest(
        self, project_id: str, collection: str, folder: Path, *, progress: Progress | None = None
    ) -> IngestReport:
        """Take in a folder or file; what is there already costs nothing, what is gone disappears."""
        try:
            report = await ingest_source(
                self._repository,
                project_id,
                _checked_name(collection),
                folder.absolute(),
                config=self._config,
                parser=self._parser,
                progress=progress,
            )
        finally:
            await asyncio.to_thread(self._parser.close)
        stored = await self._collection(project_id, collection)
        embedded = await self._embed_pending(project_id, stored, progress)
        await self._refresh(project_id, await self._collection(project_id, collection))
        return msgspec.structs.replace(report, embedded=embedded.count, unembedded_reason=embedded.reason)

    async def upload(self, project_id: str, collection: str, upload: Upload) -> DocumentRecord:
        """Take in one document by its bytes; one that has the path is replaced. It is searchable on return.

        Raises:
            Unreadable: nothing of it can be cited; what the collection had before stays.
            InvalidRequest: no loader reads its type, or its path is none.
        """
        loader = check_upload(upload, max_bytes=self._config.max_file_bytes)
        _checked_name(collection)
        try:
            version = await asyncio.to_thread(prepare, upload.raw, loader, self._config, self._parser)
        except Unreadable as error:
            raise Unreadable(f"'{upload.path}' cannot be read: {error.message}.", param="path") from error
        finally:
            await asyncio.to_thread(self._parser.close)
        stored = await self._repository.ensure_collection(project_id, collection)
        metadata = {**upload.metadata, **facts_of(upload.path, loader)}
        await self._repository.put_version(project_id, stored.id, UPLOADS, upload.path, version, metadata=metadata)
        await self._embed_pending(project_id, stored, None)
        await self._refresh(project_id, await self._collection(project_id, collection))
        listed = await self.documents(project_id, collection)
        return next(each for each in listed if each.source == UPLOADS and each.path == upload.path)

    async def search(
        self,
        project_id: str,
        collection: str,
        query: str,
        /,
        *,
        limit: int = 8,
        filter: Mapping[str, object] | None = None,  # noqa: A002 - the word of the wire
        origin: Origin | None = None,
    ) -> list[Hit]:
        """Passages of the collection, best first; the search is in the journal before they are returned.

        Raises:
            NotFound: no such collection.
            InvalidRequest: the query is empty or too long, or the filter asks for what no document has.
        """
        return (await self.retrieve(project_id, collection, query, limit=limit, filter=filter, origin=origin)).hits

    async def answer(
        self,
        project_id: str,
        collection: str,
        question: str,
        *,
        complete: Complete | None = None,
        model: str | None = None,
        limit: int | None = None,
        filter: Mapping[str, object] | None = None,  # noqa: A002 - the word of the wire
        origin: Origin | None = None,
    ) -> Answer:
        """Search, ask the model, and keep those of its citations that the stored text bears out.

        An answer that has none counts as no answer. Where nothing was found no model is asked.

        Raises:
            NotFound: no such collection.
            InvalidRequest: the question is empty or too long, or the filter asks for what no document has.
        """
        ask = complete or self._complete
        if ask is None:
            raise ConfigError("No model answers questions here.", hint="Set [rag] model.", param="rag.model")
        model = model or self._config.model
        found = await self.retrieve(project_id, collection, question, limit=limit, filter=filter, origin=origin)
        if not found.hits:
            return Answer(text=REFUSAL, is_answered=False, call_id=found.call_id, model=model)
        response = await ask(build_request(model, question, found.hits))
        citations = await self.cite(project_id, response.text, found.hits)
        return Answer(
            text=response.text,
            is_answered=bool(citations) and not is_refusal(response.text),
            citations=citations,
            hits=tuple(found.hits),
            call_id=str(response.extra.get("call_id") or found.call_id),
            model=response.model or model,
        )

    async def remove(self, project_id: str, collection: str, name: str) -> int:
        """Forget the documents of this path, this id, or all of this source; how many there were."""
        stored = await self._collection(project_id, collection)
        listed = await self._repository.list_documents(project_id, stored.id)
        doomed = [each.id for each in listed if name in (each.path, each.source, show("doc", each.id))]
        if doomed:
            await self._repository.remove(project_id, stored.id, doomed)
            await self._refresh(project_id, await self._collection(project_id, collection))
        return len(doomed)

    async def preview(self, project_id: str, collection: str, document_id: bytes) -> Preview:
        """A document's stored text and where its passages begin and end.

        Raises:
            NotFound: no such document in the collection.
        """
        found = [each for each in await self.documents(project_id, collection) if each.id == document_id]
        if not found:
            raise NotFound(f"There is no document {show('doc', document_id)} in '{collection}'.")
        text = await self._repository.read_text(project_id, document_id)
        if text is None:
            return Preview(found[0], "", [])
        return Preview(found[0], text[1], await self._repository.chunks_of(project_id, text[0], model=self._model))

    async def documents(self, project_id: str, collection: str) -> list[DocumentRecord]:
        """Every path that was met, the unreadable ones with their reasons."""
        stored = await self._collection(project_id, collection)
        return await self._repository.list_documents(project_id, stored.id, model=self._model)

    async def collections(self, project_id: str) -> list[Collection]:
        """The project's collections, by name."""
        return await self._repository.list_collections(project_id)

    async def rebuild(self) -> int:
        """Bring the index up to the ledger in every project, as the next question would; the number of collections."""
        found = await self._repository.list_all_collections()
        for project_id, collection in found:
            await self._refresh(project_id, collection)
        return len(found)

    def close(self) -> None:
        """Close the index's file, and end the parser."""
        self._index.close()
        self._parser.close()

    async def retrieve(
        self,
        project_id: str,
        collection: str,
        query: str,
        *,
        limit: int | None = None,
        filter: Mapping[str, object] | None = None,  # noqa: A002 - the word of the wire
        origin: Origin | None = None,
    ) -> Retrieval:
        """Hits with what each stage did; the search is in the journal before they are returned.

        Raises:
            NotFound: no such collection.
            InvalidRequest: the query is empty or too long, or the filter asks for what no document has.
        """
        origin = origin or Origin()
        if origin.trace_id is None:
            origin = msgspec.structs.replace(origin, trace_id=self._new_id())
        if not query.strip():
            raise InvalidRequest("The question is empty.", param="question")
        if len(query) > LONGEST_QUESTION:
            raise InvalidRequest(f"The question is longer than {LONGEST_QUESTION:,} characters.", param="question")
        limit = self._config.passages if limit is None else limit
        if not 1 <= limit <= MOST_HITS:
            raise InvalidRequest(f"'limit' is {limit}.", hint=f"Ask for 1 to {MOST_HITS} passages.", param="limit")
        chosen = parse_filter(filter or {})
        asked = {"collection": collection, "query": query, "limit": limit}
        request = msgspec.json.encode({**asked, "filter": filter} if chosen else asked)
        if origin.run is not None and self._recall is not None:
            made = await self._recall(project_id, origin.run)
            if made is not None and made.request == request:
                return recalled(made)
        stored = await self._collection(project_id, collection)
        await self._refresh(project_id, stored)
        embed = self._embed_for(project_id, origin) if self._embed_for else None
        found = await self._retriever.retrieve(project_id, stored.id, query, limit=limit, embed=embed, chosen=chosen)
        call_id = self._new_id()
        await self._record_call(
            NewCall(
                id=call_id,
                project_id=project_id,
                kind="retrieval",
                name=f"rag/{collection}",
                trace_id=origin.trace_id or call_id,
                request_body=request,
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
                body=msgspec.json.encode(found.hits),
                attributes={
                    "revision": stored.revision,
                    "hits": [_summary(hit) for hit in found.hits],
                    "stages": msgspec.to_builtins(found.stages),
                },
            ),
        )
        return msgspec.structs.replace(found, call_id=show("call", call_id))

    async def _embed_pending(self, project_id: str, stored: Collection, progress: Progress | None) -> Embedded:
        """Vectors for what has none, if a model makes them."""
        if self._embed_for is None or self._model is None:
            return Embedded()

        embed = self._embed_for(project_id, Origin(trace_id=self._new_id()))

        async def note(path: str, count: int, done: int, total: int) -> None:
            if progress is not None:
                await progress(Outcome(path, "embedded", chunks=count, done=done, total=total))

        return await embed_pending(
            self._repository.embeddings, project_id, stored.id, embed=embed, model=self._model, note=note
        )

    async def _refresh(self, project_id: str, collection: Collection) -> None:
        """Bring the index up to the ledger, a few documents at a time; another process may be doing the same."""
        model = self._model or ""
        if await asyncio.to_thread(self._index.stand, collection.id) == (collection.revision, model):
            return
        for _ in range(20):
            revision, stands = await self._repository.current_versions(project_id, collection.id, model=self._model)
            wanted = {document: stand.stamp(model) for document, stand in stands.items()}
            present = await asyncio.to_thread(self._index.versions, collection.id)
            stale = [document for document in {*wanted, *present} if wanted.get(document) != present.get(document)]
            for first in range(0, len(stale), _BATCH):
                changes: dict[bytes, tuple[bytes, Sequence[ChunkRecord]] | None] = {}
                for document in stale[first : first + _BATCH]:
                    stand = stands.get(document)
                    if stand is None:
                        changes[document] = None
                        continue
                    chunks = await self._repository.chunks_of(project_id, stand.version_id, model=self._model)
                    changes[document] = (wanted[document], chunks)
                await asyncio.to_thread(self._index.put, collection.id, changes)
            if await asyncio.to_thread(self._index.settle, collection.id, revision, model, wanted):
                return
        raise StorageError(
            f"The index of '{collection.name}' does not come to rest.", hint="Try again when ingestion is over."
        )

    async def cite(self, project_id: str, reply: str, hits: Sequence[Hit]) -> tuple[Citation, ...]:
        """The reply's citations whose quoted text is, character for character, what the ledger holds there."""
        pointers = find_pointers(reply, hits)
        spans = [Span(read("doc", pointer.hit.document_id), pointer.start, pointer.end) for pointer in pointers]
        stored = await self._repository.read_spans(project_id, spans)
        pages = await self._repository.pages(project_id, spans)
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
                page=page,
                mark_start=pointer.mark_start,
                mark_end=pointer.mark_end,
            )
            for pointer, text, page in zip(pointers, stored, pages, strict=True)
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


def _summary(hit: Hit) -> dict[str, object]:
    return {
        "chunk": hit.chunk_id,
        "path": hit.path,
        "section": hit.section,
        "start": hit.start,
        "end": hit.end,
        "scores": hit.scores,
    }
