"""Documents: load, split, store, index, search, and answer with citations that resolve.

Read `rag.py` first (the straight line), then `ingest.py` and `embedding.py`, `repository/` (the ledger, which is the
truth), `retrieve.py` with its stages `index.py` (words and vectors, rebuildable), `dense.py`, `fusion.py`, `rerank.py`,
and `answer.py`; `filter.py` holds all of them to some documents. Plug-ins: `loaders/`, `splitters/`,
with `contracts.py` as their contract and `testing.py` as their test; `parser/` is the process that large parsers work
in. `job.py` is ingestion as durable work.
May import `journal`, `storage`, `client` and `core`; models are asked through a function that is passed in.
"""

from .config import RagConfig
from .index import DocumentIndex
from .ingest import IngestReport, Outcome
from .job import IngestHandler
from .origin import Origin, Recalled
from .rag import Preview, Rag
from .repository import DocumentRecord, DocumentRepository
from .retrieve import Retrieval, Stage
from .upload import Upload

__all__ = [
    "DocumentIndex",
    "DocumentRecord",
    "DocumentRepository",
    "IngestHandler",
    "IngestReport",
    "Origin",
    "Outcome",
    "Preview",
    "Rag",
    "RagConfig",
    "Recalled",
    "Retrieval",
    "Stage",
    "Upload",
]
