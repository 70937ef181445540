"""What the ledger of documents holds, as data."""

import msgspec

from mooring.core.text import digest
from mooring.rag.contracts import Piece
from mooring.rag.window import embedding_input


class Collection(msgspec.Struct, frozen=True):
    """A named set of documents of one project."""

    id: bytes
    name: str
    revision: int


class DocumentRecord(msgspec.Struct, frozen=True):
    """A path of a source; `reason` is None where its text is in the ledger, else why it is not."""

    id: bytes
    source: str
    path: str
    reason: str | None
    content_key: bytes | None
    size_bytes: int
    chunk_count: int
    embedded_count: int = 0
    loader: str | None = None
    notes: tuple[str, ...] = ()
    page_count: int = 0
    said: dict[str, object] = {}
    owned: dict[str, object] = {}
    updated_at_us: int = 0

    @property
    def metadata(self) -> dict[str, object]:
        """What can be filtered by: what the text says, overruled by its owner's word and the file's facts."""
        return {**self.said, **self.owned}


class NewVersion(msgspec.Struct, frozen=True):
    """A file's text and pieces, ready to be stored.

    `page_starts` are positions in the text; `notes` say what of the file has no text; `metadata` is what it says of
    itself.
    """

    content_key: bytes
    loader: str
    size_bytes: int
    text: str
    pieces: tuple[Piece, ...]
    page_starts: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    metadata: dict[str, object] = {}

    @property
    def inputs(self) -> list[str]:
        """What decides each piece's vectors."""
        return [embedding_input(piece.section, self.text[piece.start : piece.end]) for piece in self.pieces]


class ChunkRecord(msgspec.Struct, frozen=True):
    """A chunk of a current version: `text` is its span of the document's stored text.

    `vector` holds one vector for each of its `windows`, one after the other.
    """

    id: bytes
    document_id: bytes
    path: str
    section: str
    start: int
    end: int
    text: str
    page: int | None = None
    vector: bytes | None = None
    windows: int = 1


class ChunkInput(msgspec.Struct, frozen=True):
    """A chunk without a vector: of which file, and what is to be embedded."""

    chunk_id: bytes
    path: str
    texts: tuple[str, ...]


class Vector(msgspec.Struct, frozen=True):
    """What a model made of a chunk: float16 numbers, one row for each of its windows, one after the other."""

    windows: int
    rows: bytes


class Stand(msgspec.Struct, frozen=True):
    """What there is to index of a document: a version, and how many of its chunks have a vector."""

    version_id: bytes
    embedded: int

    def stamp(self, model: str | None) -> bytes:
        """Changes exactly when what is to be indexed does: versions and vectors never change, they only come."""
        return self.version_id + (digest(f"{model}\0{self.embedded}".encode()) if self.embedded else b"")


class Span(msgspec.Struct, frozen=True):
    """A stretch of a document's text."""

    document_id: bytes
    start: int
    end: int
