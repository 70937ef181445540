"""From a folder to the ledger: list, read, load, split, store; only what changed is touched.

Each step is a plain function with a content key, so any executor can run it twice without harm: the key is the digest
of the bytes and of all that decides what becomes of them, and a document that has the key is left alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from mooring.core.text import digest

from .config import RagConfig
from .contracts import Unreadable, loaders, splitters
from .folder import Found, list_source, read
from .metadata import FACT, facts_of, said_by_document
from .parser import Parser
from .repository import DocumentRecord, DocumentRepository, NewVersion
from .sidecar import SIDECAR, Sidecar, read_sidecar, said_of

FORM = b"2"  # of loaders and splitters; a change of what they make of the same bytes raises it

State = Literal["added", "changed", "unchanged", "unreadable", "removed", "embedded"]


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one path; `reason` where it is unreadable, `notes` on what of it has no text.

    `done` of `total`: files, and for the state `embedded` passages.
    """

    path: str
    state: State
    reason: str | None = None
    chunks: int = 0
    notes: tuple[str, ...] = ()
    done: int = 0
    total: int = 0


class IngestReport(msgspec.Struct, frozen=True):
    """What an ingestion did; `unreadable` maps paths to reasons, `notes` those with parts that have no text.

    `embedded` counts vectors that were made; `unembedded_reason` says why some are missing: words find those passages.
    """

    collection: str
    source: str
    added: int
    changed: int
    unchanged: int
    removed: int
    unreadable: dict[str, str]
    chunks: int
    notes: dict[str, tuple[str, ...]] = {}
    embedded: int = 0
    unembedded_reason: str | None = None

    @property
    def is_change(self) -> bool:
        """Whether the ledger is another one than before."""
        return bool(self.added or self.changed or self.removed or self.embedded)


Progress = Callable[[Outcome], Awaitable[None]]


def prepare(raw: bytes, loader: str, config: RagConfig, parser: Parser) -> NewVersion:
    """A file's bytes as text and pieces; the same for the same bytes and settings.

    Raises:
        Unreadable: the bytes are no text, or hold none.
    """
    load = loaders.get(loader)
    loaded = parser.load(loader, raw) if load.is_isolated else load.load(raw)
    pieces = splitters.get(config.splitter)(loaded, budget_tokens=config.passage_tokens)
    if not pieces:
        raise Unreadable("; ".join(loaded.notes) or "it holds no text")
    return NewVersion(
        content_key=content_key(raw, loader, config),
        loader=loader,
        size_bytes=len(raw),
        text=loaded.text,
        pieces=tuple(pieces),
        page_starts=loaded.page_starts,
        notes=loaded.notes,
        metadata=said_by_document(loaded.metadata),
    )


def content_key(raw: bytes, loader: str, config: RagConfig) -> bytes:
    """The same for the same bytes, loader, splitter and budget."""
    settings = f"{loader}\0{config.splitter}\0{config.passage_tokens}\0".encode()
    return digest(FORM + b"\0" + settings + digest(raw))


async def ingest_source(
    repository: DocumentRepository,
    project_id: str,
    collection: str,
    source: Path,
    *,
    config: RagConfig,
    parser: Parser,
    progress: Progress | None = None,
) -> IngestReport:
    """Make the collection's view of the source what the source is now: new, changed, gone and unreadable files.

    Raises:
        InvalidRequest: there is no such source, or it holds too many files; nothing was changed.
    """
    found, sidecars = await asyncio.to_thread(_look_around, source, config)
    stored = await repository.ensure_collection(project_id, collection)
    origin = str(source)
    everything = await repository.list_documents(project_id, stored.id)
    known = {document.path: document for document in everything if document.source == origin}
    outcomes: list[Outcome] = []
    unreadable: dict[str, str] = {}
    owned: dict[bytes, Mapping[str, object]] = {}

    async def note(outcome: Outcome) -> None:
        outcome = msgspec.structs.replace(outcome, done=len(outcomes) + 1, total=len(found))
        outcomes.append(outcome)
        if progress is not None:
            await progress(outcome)

    for each in found:
        before = known.get(each.path)
        try:
            version = await asyncio.to_thread(_next_version, each, before, config, parser)
        except Unreadable as error:
            unreadable[each.path] = error.message
            await note(Outcome(each.path, "unreadable", reason=error.message))
            continue
        metadata = {**said_of(each.path, sidecars), **facts_of(each.path, each.loader or "", each.modified_us)}
        if version is None and before is not None:
            if metadata != before.owned:
                owned[before.id] = metadata
            await note(_kept(before, metadata))
            continue
        assert version is not None
        await repository.put_version(project_id, stored.id, origin, each.path, version, metadata=metadata)
        await note(Outcome(each.path, _news_of(before), chunks=len(version.pieces), notes=version.notes))

    await repository.metadata.put(project_id, stored.id, owned)
    news = _news(unreadable, known)
    if news:
        await repository.put_unreadable(project_id, stored.id, origin, news)
    present = {each.path for each in found}
    gone = {path: document for path, document in known.items() if path not in present}
    if gone:
        await repository.remove(project_id, stored.id, [document.id for document in gone.values()])
    for path in sorted(gone):
        await note(Outcome(path, "removed"))
    return _report(collection, origin, outcomes, unreadable)


def _look_around(source: Path, config: RagConfig) -> tuple[list[Found], list[Sidecar]]:
    """The files of the source, and what its folders say of them."""
    found = list_source(source, max_files=config.max_files)
    beside = source.parent / SIDECAR
    if source.is_file():
        return found, [read_sidecar(beside, SIDECAR)] if beside.is_file() else []
    sidecars = [each for each in found if each.file.name == SIDECAR and each.file.is_file()]
    sidecars.sort(key=lambda each: each.path.count("/"))
    rest = [each for each in found if each not in sidecars]
    return rest, [read_sidecar(each.file, each.path) for each in sidecars]


def _kept(before: DocumentRecord, metadata: Mapping[str, object]) -> Outcome:
    """A document whose text is as it was; what its owner says of it may have changed."""
    state: State = "unchanged" if _said(metadata) == _said(before.owned) else "changed"
    return Outcome(before.path, state, chunks=before.chunk_count, notes=before.notes)


def _news_of(before: DocumentRecord | None) -> State:
    return "changed" if before is not None and before.reason is None else "added"


def _news(unreadable: Mapping[str, str], known: Mapping[str, DocumentRecord]) -> dict[str, str]:
    """Those that the ledger does not have, or with another reason."""
    return {path: reason for path, reason in unreadable.items() if path not in known or known[path].reason != reason}


def _said(owned: Mapping[str, object]) -> dict[str, object]:
    """Without the file's facts."""
    return {name: value for name, value in owned.items() if not name.startswith(FACT)}


def _next_version(found: Found, before: DocumentRecord | None, config: RagConfig, parser: Parser) -> NewVersion | None:
    """What is to be stored for a path; None where the ledger has it already."""
    if found.reason is not None or found.loader is None:
        raise Unreadable(found.reason or "no loader reads it")
    raw = read(found, max_bytes=config.max_file_bytes)
    if before is not None and before.content_key == content_key(raw, found.loader, config):
        return None
    return prepare(raw, found.loader, config, parser)


def _report(collection: str, source: str, outcomes: list[Outcome], unreadable: Mapping[str, str]) -> IngestReport:
    counts = dict.fromkeys(("added", "changed", "unchanged", "removed", "unreadable"), 0)
    for outcome in outcomes:
        counts[outcome.state] += 1
    return IngestReport(
        collection=collection,
        source=source,
        added=counts["added"],
        changed=counts["changed"],
        unchanged=counts["unchanged"],
        removed=counts["removed"],
        unreadable=dict(unreadable),
        chunks=sum(outcome.chunks for outcome in outcomes),
        notes={outcome.path: outcome.notes for outcome in outcomes if outcome.notes},
    )
