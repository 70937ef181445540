"""All SQL of the documents' ledger: `documents.py` the texts and chunks, `embeddings.py` their vectors,
`metadata.py` what filters ask."""

from .documents import DocumentRepository
from .embeddings import EmbeddingRepository
from .records import ChunkInput, ChunkRecord, Collection, DocumentRecord, NewVersion, Span, Stand, Vector

__all__ = [
    "ChunkInput",
    "ChunkRecord",
    "Collection",
    "DocumentRecord",
    "DocumentRepository",
    "EmbeddingRepository",
    "NewVersion",
    "Span",
    "Stand",
    "Vector",
]
