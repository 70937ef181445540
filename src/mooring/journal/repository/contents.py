"""Content-addressed bytes and the prefix chains of message arrays. Content is addressed within a project only."""

from collections.abc import Sequence
from typing import NamedTuple

from mooring.storage.transaction import Tx

RAW, ZSTD, CONTENT, BLOB = 0, 1, 2, 3
MANY = 32  # added to the codec of elements: the row holds several
FRAME = 16  # added to a request's codec: what is kept stands around the elements of the chain


class Kept(NamedTuple):
    """What a row holds (`codec`, `data`); with CONTENT, `data` is the digest and the rest goes to `contents`."""

    codec: int
    data: bytes
    content_codec: int = RAW
    content: bytes = b""
    is_frame: bool = False


class Link(NamedTuple):
    """An element of a message array, or several, named by what is before and their bytes; `depth` is the last one's."""

    id: bytes
    parent_id: bytes | None
    depth: int
    data: bytes
    codec: int = RAW


def keep(tx: Tx, project_id: str, digest: bytes, codec: int, data: bytes) -> None:
    """Write bytes under their digest, once."""
    tx.execute(
        "INSERT INTO contents (project_id, digest, codec, data) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (project_id, digest, codec, data),
    )


def find(tx: Tx, project_id: str, digest: bytes) -> tuple[int, bytes] | None:
    """Codec and bytes under a digest."""
    return tx.one("SELECT codec, data FROM contents WHERE project_id = ? AND digest = ?", (project_id, digest))


def deepest(tx: Tx, project_id: str, ids: Sequence[bytes]) -> int:
    """How deep the last of these elements lies that ends a row; 0 where none does."""
    marks = ", ".join("?" * len(ids))
    row = tx.one(f"SELECT MAX(depth) FROM elements WHERE project_id = ? AND id IN ({marks})", (project_id, *ids))  # noqa: S608
    return int(row[0] or 0) if row else 0


def link(tx: Tx, project_id: str, link: Link) -> bool:
    """Add to the chains; False when it was there, and so was everything before it."""
    return bool(
        tx.execute(
            "INSERT INTO elements (project_id, id, parent_id, depth, data, codec) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            (project_id, *link),
        )
    )


def chain(tx: Tx, project_id: str, tip: bytes) -> list[tuple[int, bytes]]:
    """Codec and bytes of every row of elements up to the tip, first to last."""
    rows = tx.all(
        "WITH RECURSIVE walk (parent_id, depth, codec, data) AS ("
        " SELECT parent_id, depth, codec, data FROM elements WHERE project_id = ? AND id = ?"
        " UNION ALL SELECT e.parent_id, e.depth, e.codec, e.data FROM elements e"
        " JOIN walk w ON e.id = w.parent_id WHERE e.project_id = ?"
        ") SELECT codec, data FROM walk ORDER BY depth",
        (project_id, tip, project_id),
    )
    return [(codec, data) for codec, data in rows]


def put_release(tx: Tx, project_id: str, release_id: bytes, *, codec: int, data: bytes, created_at_us: int) -> None:
    """Write a release once: its id is the digest of its body."""
    tx.execute(
        "INSERT INTO releases (project_id, id, codec, data, created_at_us) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (project_id, release_id, codec, data, created_at_us),
    )


def find_release(tx: Tx, project_id: str, release_id: bytes) -> tuple[int, bytes] | None:
    """Codec and bytes of a release."""
    return tx.one("SELECT codec, data FROM releases WHERE project_id = ? AND id = ?", (project_id, release_id))
