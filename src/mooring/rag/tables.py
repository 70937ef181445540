"""The relational ledger of documents: the truth from which every index can be rebuilt.

A document is one path of one source folder. It has at most one current version, whose text is stored exactly as it was
decoded; chunks are spans of that text, so a chunk and its document can never disagree.
"""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text, UniqueConstraint

from mooring.storage.schema import metadata

# `revision` grows with every change, so that an index knows whether it is behind.
collections = Table(
    "collections",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    UniqueConstraint("project_id", "name", name="collections_by_name"),
)

# `reason` says why a document has no version: what cannot be read is listed, never skipped. `metadata` are facts of the
# file and what its owner says of it.
documents = Table(
    "documents",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("collection_id", LargeBinary, nullable=False),
    Column("source", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("version_id", LargeBinary),
    Column("reason", Text),
    Column("metadata", Text),
    Column("updated_at_us", BigInteger, nullable=False),
    UniqueConstraint("collection_id", "source", "path", name="documents_by_path"),
)

# `content_key` is the digest of the bytes and of everything that decides what becomes of them. Two JSON arrays say
# where each page begins in the text, and what of the file has no text; `metadata` is what the text says of itself.
document_versions = Table(
    "document_versions",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("document_id", LargeBinary, nullable=False),
    Column("content_key", LargeBinary, nullable=False),
    Column("loader", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
    Column("page_starts", Text),
    Column("notes", Text),
    Column("metadata", Text),
    Column("created_at_us", BigInteger, nullable=False),
)
Index("document_versions_by_document", document_versions.c.document_id)
Index("document_versions_by_content", document_versions.c.project_id, document_versions.c.content_key)

# `[start_at, end_at)` in characters of the version's text.
chunks = Table(
    "chunks",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("document_id", LargeBinary, nullable=False),
    Column("version_id", LargeBinary, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("section", Text, nullable=False),
    Column("start_at", BigInteger, nullable=False),
    Column("end_at", BigInteger, nullable=False),
)
Index("chunks_by_version", chunks.c.version_id, chunks.c.number)
Index("chunks_by_document", chunks.c.document_id)

# `vector` holds float16 numbers, little end first, one L2-normalised row for each of the chunk's `windows`; the
# index of vectors is made from them.
embeddings = Table(
    "embeddings",
    metadata,
    Column("chunk_id", LargeBinary, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("document_id", LargeBinary, nullable=False),
    Column("windows", BigInteger, nullable=False),
    Column("vector", LargeBinary, nullable=False),
)
Index("embeddings_by_document", embeddings.c.document_id, embeddings.c.model)
