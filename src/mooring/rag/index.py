"""The keyword index: SQLite's FTS5 in a file of its own, which the ledger can rebuild at any time.

It knows words and ids, no text: what it finds counts only where the ledger still has it. Scores are BM25 over stems
(k1 1.2, b 0.75, fixed by FTS5). Connections are used from threads, one statement batch at a time.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mooring.core.errors import StorageError
from mooring.core.words import content_words
from mooring.storage import sqlite

from .repository import ChunkRecord

FORM = 1  # of the tables below; a file of another form is emptied and rebuilt
MOST_QUERY_WORDS = 128  # a question has fewer; a pasted page is cut here

_TABLES = (
    "CREATE TABLE revisions (collection BLOB PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE indexed (document BLOB PRIMARY KEY, collection BLOB NOT NULL, version BLOB NOT NULL) WITHOUT ROWID",
    "CREATE INDEX indexed_by_collection ON indexed (collection)",
    "CREATE TABLE entries (id INTEGER PRIMARY KEY, chunk BLOB NOT NULL, document BLOB NOT NULL,"
    " collection BLOB NOT NULL)",
    "CREATE INDEX entries_by_document ON entries (document)",
    "CREATE VIRTUAL TABLE passages USING fts5(scope, section, text, content = '', contentless_delete = 1,"
    " tokenize = 'porter unicode61 remove_diacritics 2')",
)


def match_query(question: str, collection_id: bytes) -> str | None:
    """The MATCH expression: the question's words, each quoted, any of them; None where it has none.

    A word that is said twice counts twice. Nothing of the question is ever read as syntax: words hold no quotes.
    """
    words = content_words(question)[:MOST_QUERY_WORDS]
    if not words:
        return None
    any_of = " OR ".join(f'"{word}"' for word in words)
    return f'scope : "{_scope(collection_id)}" AND {{section text}} : ({any_of})'


def _scope(collection_id: bytes) -> str:
    """One word per collection; it ends in a digit, so that stemming leaves it alone."""
    return f"c{collection_id.hex()}0"


class KeywordIndex:
    """Words of many collections; several processes may hold the same file open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: Any = None

    def revision(self, collection_id: bytes) -> int:
        """Up to which revision of the ledger the collection is indexed; -1 if not at all."""
        with self._open() as connection:
            row = connection.execute("SELECT revision FROM revisions WHERE collection = ?", (collection_id,)).fetchone()
        return int(row[0]) if row else -1

    def versions(self, collection_id: bytes) -> dict[bytes, bytes]:
        """The indexed version of each document."""
        with self._open() as connection:
            return _versions(connection, collection_id)

    def put(self, collection_id: bytes, changes: Mapping[bytes, tuple[bytes, Sequence[ChunkRecord]] | None]) -> None:
        """Replace these documents' words; None takes a document out. One transaction."""
        with self._open(is_writing=True) as connection:
            for document_id, change in changes.items():
                _forget(connection, document_id)
                if change is None:
                    continue
                version_id, chunks = change
                connection.execute(
                    "INSERT INTO indexed (document, collection, version) VALUES (?, ?, ?)",
                    (document_id, collection_id, version_id),
                )
                for chunk in chunks:
                    _add(connection, collection_id, chunk)

    def settle(self, collection_id: bytes, revision: int, versions: Mapping[bytes, bytes]) -> bool:
        """Note that the collection stands at this revision; False if another process changed it in between."""
        with self._open(is_writing=True) as connection:
            if _versions(connection, collection_id) != versions:
                return False
            connection.execute(
                "INSERT INTO revisions (collection, revision) VALUES (?, ?)"
                " ON CONFLICT (collection) DO UPDATE SET revision = excluded.revision",
                (collection_id, revision),
            )
        return True

    def search(self, collection_id: bytes, question: str, *, limit: int) -> list[tuple[bytes, float]]:
        """Chunk ids with their scores, best first; a higher score is better."""
        expression = match_query(question, collection_id)
        if expression is None:
            return []
        with self._open() as connection:
            rows = connection.execute(
                "SELECT e.chunk, -bm25(passages, 0.0, 1.0, 1.0) AS score FROM passages"
                " JOIN entries e ON e.id = passages.rowid"
                " WHERE passages MATCH ? AND e.collection = ? ORDER BY score DESC, e.id LIMIT ?",
                (expression, collection_id, limit),
            ).fetchall()
        return [(bytes(row[0]), float(row[1])) for row in rows]

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def _open(self, *, is_writing: bool = False) -> Iterator[Any]:
        """The connection, for one thread at a time, within a transaction."""
        library = sqlite.module()
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._connect()
                self._connection.execute("BEGIN IMMEDIATE" if is_writing else "BEGIN")
                try:
                    yield self._connection
                    self._connection.execute("COMMIT")
                finally:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
            except library.OperationalError as error:
                raise sqlite.explain(error) from error
            except library.DatabaseError as error:
                raise StorageError(
                    f"The keyword index {self._path.name} is damaged: {error}.",
                    hint="Stop Mooring, delete that file and start again: it is rebuilt from the ledger.",
                ) from error

    def _connect(self) -> Any:
        connection = sqlite.module().connect(
            str(self._path), timeout=sqlite.BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            sqlite.prepare(connection, "kill")
            connection.execute("BEGIN IMMEDIATE")
            _create(connection)
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        return connection


def _create(connection: Any) -> None:
    """The tables, where there are none or those of another form."""
    if connection.execute("PRAGMA user_version").fetchone()[0] == FORM:
        return
    for table in ("revisions", "indexed", "entries", "passages"):
        connection.execute(f"DROP TABLE IF EXISTS {table}")
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {FORM}")


def _versions(connection: Any, collection_id: bytes) -> dict[bytes, bytes]:
    rows = connection.execute("SELECT document, version FROM indexed WHERE collection = ?", (collection_id,)).fetchall()
    return {bytes(row[0]): bytes(row[1]) for row in rows}


def _forget(connection: Any, document_id: bytes) -> None:
    connection.execute(
        "DELETE FROM passages WHERE rowid IN (SELECT id FROM entries WHERE document = ?)", (document_id,)
    )
    connection.execute("DELETE FROM entries WHERE document = ?", (document_id,))
    connection.execute("DELETE FROM indexed WHERE document = ?", (document_id,))


def _add(connection: Any, collection_id: bytes, chunk: ChunkRecord) -> None:
    entry = connection.execute(
        "INSERT INTO entries (chunk, document, collection) VALUES (?, ?, ?)",
        (chunk.id, chunk.document_id, collection_id),
    ).lastrowid
    connection.execute(
        "INSERT INTO passages (rowid, scope, section, text) VALUES (?, ?, ?, ?)",
        (entry, _scope(collection_id), chunk.section, chunk.text),
    )
