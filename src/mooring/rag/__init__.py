"""Documents: load, split, store, index, search, and answer with citations that resolve.

Read `rag.py` first (the straight line), then `ingest.py`, `repository.py` (the ledger, which is the truth),
`index.py` (keywords, rebuildable) and `answer.py`. Plug-ins: `loaders/`, `splitters/`, with `contracts.py` as their
contract and `testing.py` as their test. `job.py` is ingestion as durable work.
May import `journal`, `storage`, `client` and `core`; models are asked through a function that is passed in.
"""

from .config import RagConfig
from .index import KeywordIndex
from .ingest import IngestReport, Outcome
from .job import IngestHandler
from .rag import Origin, Rag
from .repository import DocumentRecord, DocumentRepository

__all__ = [
    "DocumentRecord",
    "DocumentRepository",
    "IngestHandler",
    "IngestReport",
    "KeywordIndex",
    "Origin",
    "Outcome",
    "Rag",
    "RagConfig",
]
