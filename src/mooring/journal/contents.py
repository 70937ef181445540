"""Bytes at rest: small ones lie in their row, larger ones under their digest, ≥ 1 MiB in the blob store.

A message array is a chain of elements, each named by the digest of (parent, element): a conversation that grows by two
messages adds two rows, whatever its length. A body whose elements are evenly separated keeps only what stands around
them (its frame), so it is rebuilt byte for byte.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from mooring.core.errors import StorageError
from mooring.core.text import digest
from mooring.storage.compression import compress, decompress
from mooring.storage.transaction import Tx

from .repository import contents as repository
from .repository.contents import BLOB, CONTENT, RAW, ZSTD, Kept, Link

INLINE_BYTES = 16_384  # a row is rewritten when its call ends: what is larger lies beside it
BLOB_BYTES = 1 << 20
COMPRESS_BYTES = 512  # below that zstd saves little of a row that is larger than its bodies
CHAIN_START = b""


class BlobStore(Protocol):
    """What the journal needs of `storage.Blobs`."""

    def put(self, project_id: str, data: bytes, /) -> bytes: ...
    def get(self, project_id: str, digest: bytes, /) -> bytes: ...
    def has(self, project_id: str, digest: bytes, /) -> bool: ...
    def delete(self, project_id: str, digest: bytes, /) -> None: ...


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """What stands around the elements of a body."""

    head: bytes
    separator: bytes
    tail: bytes


class Request(NamedTuple):
    """A request ready to be written: its body or frame, and the chain of its elements."""

    body: Kept | None
    chain: tuple[Link, ...]


def compressed(data: bytes) -> tuple[int, bytes]:
    """Codec and bytes: zstd level 1 where it pays."""
    if len(data) < COMPRESS_BYTES:
        return RAW, data
    small = compress(data)
    return (ZSTD, small) if len(small) < len(data) else (RAW, data)


def expanded(codec: int, data: bytes) -> bytes:
    """The opposite of `compressed`."""
    return data if codec == RAW else decompress(data)


def frame_of(body: bytes, elements: Sequence[bytes]) -> Frame | None:
    """What stands around the elements, if they lie in the body in order with the same separator between any two."""
    if not elements:
        return None
    head_end = body.find(elements[0])
    if head_end < 0:
        return None
    separator = b""
    if len(elements) > 1:
        start = head_end + len(elements[0])
        end = body.find(elements[1], start, start + 64 + len(elements[1]))
        if end < 0:
            return None
        separator = body[start:end]
    joined = separator.join(elements)
    if not body.startswith(joined, head_end):
        return None
    return Frame(body[:head_end], separator, body[head_end + len(joined) :])


def chain_of(elements: Sequence[bytes]) -> tuple[Link, ...]:
    """The links of a message array, first to last."""
    links: list[Link] = []
    parent = CHAIN_START
    for depth, element in enumerate(elements, 1):
        link = Link(digest(parent + digest(element)), parent, depth, element)
        links.append(link)
        parent = link.id
    return tuple(links)


class Contents:
    """Packs bytes before a transaction, writes them in it, and reads them back."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    async def pack(self, project_id: str, data: bytes, *, is_shared: bool = False) -> Kept | None:
        """How `data` will be kept. `is_shared`: under its digest even if small, because the same bytes come again."""
        if not data:
            return None
        if len(data) >= BLOB_BYTES:
            return Kept(BLOB, await asyncio.to_thread(self._blobs.put, project_id, data))
        codec, small = compressed(data)
        if len(small) < INLINE_BYTES and not is_shared:
            return Kept(codec, small)
        return Kept(CONTENT, digest(data), codec, small)

    async def pack_request(self, project_id: str, body: bytes, elements: Sequence[bytes]) -> Request:
        """The body and its elements as deltas."""
        if not elements:
            return Request(await self.pack(project_id, body), ())
        frame = frame_of(body, elements)
        kept = msgspec.msgpack.encode(frame) if frame else body
        chain = chain_of(elements)
        for position, link in enumerate(chain):
            if len(link.data) >= BLOB_BYTES:
                blob = await asyncio.to_thread(self._blobs.put, project_id, link.data)
                chain = (*chain[:position], link._replace(data=blob, codec=BLOB), *chain[position + 1 :])
        packed = await self.pack(project_id, kept, is_shared=True)
        return Request(packed._replace(is_frame=frame is not None) if packed else None, chain)

    def write(self, tx: Tx, project_id: str, kept: Kept | None) -> None:
        """The row that lies beside, where there is one."""
        if kept is not None and kept.codec == CONTENT:
            repository.keep(tx, project_id, kept.data, kept.content_codec, kept.content)

    def write_chain(self, tx: Tx, project_id: str, chain: Sequence[Link]) -> None:
        """From the last element back to the first one that is already there: all before it are there too."""
        for link in reversed(chain):
            codec, data = (link.codec, link.data) if link.codec == BLOB else compressed(link.data)
            if not repository.link(tx, project_id, link, codec, data):
                return

    def read(self, tx: Tx, project_id: str, codec: int | None, data: bytes | None) -> bytes:
        """The bytes behind `*_codec` and `*_data`.

        Raises:
            StorageError: they are gone.
        """
        if codec is None or data is None:
            return b""
        if codec == CONTENT:
            found = repository.find(tx, project_id, data)
            if found is None:
                raise StorageError("A recorded body is missing.", hint="Run `mooring doctor`, then restore a backup.")
            codec, data = found
        return self._blobs.get(project_id, data) if codec == BLOB else expanded(codec, data)

    def has_blob(self, project_id: str, digest: bytes) -> bool:
        """Whether the blob store has the bytes."""
        return self._blobs.has(project_id, digest)

    def delete_blob(self, project_id: str, digest: bytes) -> None:
        """Remove bytes that no row names."""
        self._blobs.delete(project_id, digest)

    def read_elements(self, tx: Tx, project_id: str, tip: bytes | None) -> tuple[bytes, ...]:
        """The elements of the chain that ends in `tip`, first to last."""
        if tip is None:
            return ()
        return tuple(
            self._blobs.get(project_id, data) if codec == BLOB else expanded(codec, data)
            for codec, data in repository.chain(tx, project_id, tip)
        )


def rebuilt(frame: bytes, elements: Sequence[bytes]) -> bytes:
    """The whole body of a frame and its elements."""
    around = msgspec.msgpack.decode(frame, type=Frame)
    return around.head + around.separator.join(elements) + around.tail
