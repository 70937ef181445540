"""The index of words and vectors: SQLite in a file of its own, which the ledger can rebuild at any time.

It knows words, vectors and ids, no text: what it finds counts only where the ledger still has it. Scores of words are
BM25 over stems (k1 1.2, b 0.75, fixed by FTS5); those of vectors are cosines. Connections are used from threads, one
statement batch at a time.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooring.core.errors import StorageError
from mooring.core.words import content_words
from mooring.storage import sqlite

from .dense import Vectors
from .repository import ChunkRecord

FORM = 3  # of the tables below; a file of another form is emptied and rebuilt
MOST_QUERY_WORDS = 128  # a question has fewer; a pasted page is cut here
VECTORS_IN_MEMORY_BYTES = 192 * 1024 * 1024  # of all collections; those that were asked longest ago leave first

_TABLES = (
    "CREATE TABLE revisions (collection BLOB PRIMARY KEY, revision INTEGER NOT NULL,"
    " model TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE indexed (document BLOB PRIMARY KEY, collection BLOB NOT NULL, version BLOB NOT NULL) WITHOUT ROWID",
    "CREATE INDEX indexed_by_collection ON indexed (collection)",
    "CREATE TABLE entries (id INTEGER PRIMARY KEY, chunk BLOB NOT NULL, document BLOB NOT NULL,"
    " collection BLOB NOT NULL, vector BLOB, windows INTEGER NOT NULL)",
    "CREATE INDEX entries_by_document ON entries (document)",
    "CREATE INDEX entries_by_chunk ON entries (collection, chunk)",
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


class DocumentIndex:
    """Words and vectors of many collections; several processes may hold the same file open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._vectors: OrderedDict[bytes, tuple[tuple[int, str], Vectors]] = OrderedDict()
        self._lock = threading.Lock()
        self._connection: Any = None

    def stand(self, collection_id: bytes) -> tuple[int, str]:
        """Up to which revision of the ledger, and with whose vectors, the collection is indexed; -1 if not at all."""
        with self._open() as connection:
            return _stand(connection, collection_id)

    def versions(self, collection_id: bytes) -> dict[bytes, bytes]:
        """What is indexed of each document, as its stamp."""
        with self._open() as connection:
            return _versions(connection, collection_id)

    def put(self, collection_id: bytes, changes: Mapping[bytes, tuple[bytes, Sequence[ChunkRecord]] | None]) -> None:
        """Replace these documents' words and vectors; None takes a document out. One transaction."""
        with self._open(is_writing=True) as connection:
            for document_id, change in changes.items():
                _forget(connection, document_id)
                if change is None:
                    continue
                stamp, chunks = change
                connection.execute(
                    "INSERT INTO indexed (document, collection, version) VALUES (?, ?, ?)",
                    (document_id, collection_id, stamp),
                )
                for chunk in chunks:
                    _add(connection, collection_id, chunk)

    def settle(self, collection_id: bytes, revision: int, model: str, versions: Mapping[bytes, bytes]) -> bool:
        """Note that the collection stands at this revision; False if another process changed it in between."""
        with self._open(is_writing=True) as connection:
            if _versions(connection, collection_id) != versions:
                return False
            connection.execute(
                "INSERT INTO revisions (collection, revision, model) VALUES (?, ?, ?) ON CONFLICT (collection)"
                " DO UPDATE SET revision = excluded.revision, model = excluded.model",
                (collection_id, revision, model),
            )
        return True

    def search(
        self, collection_id: bytes, question: str, *, limit: int, among: Collection[bytes] | None = None
    ) -> list[tuple[bytes, float]]:
        """Chunk ids with their scores, best first; a higher score is better. `among`: of these documents only."""
        expression = match_query(question, collection_id)
        if expression is None:
            return []
        chosen = None if among is None else json.dumps([each.hex() for each in among])
        with self._open() as connection:
            rows = connection.execute(
                "SELECT e.chunk, -bm25(passages, 0.0, 1.0, 1.0) AS score FROM passages"
                " JOIN entries e ON e.id = passages.rowid"
                " WHERE passages MATCH ? AND e.collection = ?"
                " AND (? IS NULL OR e.document IN (SELECT unhex(value) FROM json_each(?)))"
                " ORDER BY score DESC, e.chunk LIMIT ?",
                (expression, collection_id, chosen, chosen, limit),
            ).fetchall()
        return [(bytes(row[0]), float(row[1])) for row in rows]

    def has_vectors(self, collection_id: bytes) -> bool:
        """Whether any passage of the collection can be found by its vector."""
        return bool(self._loaded(collection_id).chunk_ids)

    def search_vectors(
        self,
        collection_id: bytes,
        query: NDArray[np.float32],
        *,
        limit: int,
        also: Sequence[bytes] = (),
        among: Collection[bytes] | None = None,
    ) -> tuple[list[tuple[bytes, float]], dict[bytes, float]]:
        """The nearest chunks with their cosines, best first; and the cosines of the chunks in `also`.

        `among`: the nearest of these documents only.
        """

        def read(chunk_ids: Sequence[bytes]) -> dict[bytes, bytes]:
            with self._open() as connection:
                return _vectors_of(connection, collection_id, chunk_ids)

        return self._loaded(collection_id).search(query, limit=limit, also=also, read=read, among=among)

    def _loaded(self, collection_id: bytes) -> Vectors:
        """The collection's vectors, as the file has them now."""
        with self._open() as connection:
            stand = _stand(connection, collection_id)
            known = self._vectors.get(collection_id)
            if known is not None and known[0] == stand:
                self._vectors.move_to_end(collection_id)
                return known[1]
            rows = connection.execute(
                "SELECT chunk, vector, document, windows FROM entries WHERE collection = ? AND vector IS NOT NULL"
                " ORDER BY chunk",
                (collection_id,),
            ).fetchall()
            vectors = Vectors(
                [row[0] for row in rows],
                [row[1] for row in rows],
                owners=[row[2] for row in rows],
                windows=[row[3] for row in rows],
            )
            self._vectors[collection_id] = (stand, vectors)
            self._vectors.move_to_end(collection_id)
            while len(self._vectors) > 1 and self._held_bytes() > VECTORS_IN_MEMORY_BYTES:
                self._vectors.popitem(last=False)
            return vectors

    def _held_bytes(self) -> int:
        return sum(vectors.size_bytes for _, vectors in self._vectors.values())

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            self._vectors.clear()
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
                    f"The index {self._path.name} is damaged: {error}.",
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


def _stand(connection: Any, collection_id: bytes) -> tuple[int, str]:
    row = connection.execute("SELECT revision, model FROM revisions WHERE collection = ?", (collection_id,)).fetchone()
    return (int(row[0]), str(row[1])) if row else (-1, "")


def _vectors_of(connection: Any, collection_id: bytes, chunk_ids: Sequence[bytes]) -> dict[bytes, bytes]:
    found = {}
    for chunk_id in chunk_ids:
        row = connection.execute(
            "SELECT vector FROM entries WHERE collection = ? AND chunk = ?", (collection_id, chunk_id)
        ).fetchone()
        if row is not None and row[0] is not None:
            found[chunk_id] = bytes(row[0])
    return found


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
        "INSERT INTO entries (chunk, document, collection, vector, windows) VALUES (?, ?, ?, ?, ?)",
        (chunk.id, chunk.document_id, collection_id, chunk.vector, chunk.windows),
    ).lastrowid
    connection.execute(
        "INSERT INTO passages (rowid, scope, section, text) VALUES (?, ?, ?, ?)",
        (entry, _scope(collection_id), chunk.section, chunk.text),
    )
