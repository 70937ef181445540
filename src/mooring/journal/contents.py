"""Bytes at rest: small ones lie in their row, larger ones under their digest, ≥ 1 MiB in the blob store.

A message array is a chain of elements, each named by the digest of (what is before, element): a conversation that grows
by two messages adds these two, whatever its length. Small ones that come together share a row. A body whose elements
are evenly separated keeps only what stands around them (its frame), so it is rebuilt byte for byte.
"""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import msgspec

from mooring.core.errors import StorageError
from mooring.core.text import digest
from mooring.storage.compression import Worded, compress
from mooring.storage.transaction import Tx

from .repository import contents as repository
from .repository.contents import BLOB, CONTENT, MANY, RAW, ZSTD, Kept, Link
from .wording import DICTIONARY

INLINE_BYTES = 16_384  # a row is rewritten when its call ends: what is larger lies beside it
BLOB_BYTES = 1 << 20
FRAME_BYTES = 48  # a smaller frame takes less in its row than its address there and in an index
ADDRESS_BYTES = 20  # 2^80 tries for two contents of one address: a caller must not make the record say another thing
WORDS_BYTES = 8192  # a larger body has words enough of its own, and is compressed faster without ours
COMPRESS_BYTES = 256  # below that zstd saves little of a row that is larger than its bodies
GROUP_BYTES = 2048  # of elements in one row: as much is written again by a conversation that forks within it
LOOK = 8  # elements that one statement looks for, from the end: a step of an agent adds two or three
CHAIN_START = bytes(ADDRESS_BYTES)

_worded = Worded(DICTIONARY)
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[bytes]).decode


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
    """Codec and bytes: zstd level 1 where it pays, with the words of the wires in front of a small body."""
    if len(data) < COMPRESS_BYTES:
        return RAW, data
    small = _worded.compress(data) if len(data) < WORDS_BYTES else compress(data)
    return (ZSTD, small) if len(small) < len(data) else (RAW, data)


def expanded(codec: int, data: bytes) -> bytes:
    """The opposite of `compressed`."""
    return data if codec == RAW else _worded.decompress(data)


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
    parent: bytes | None = None
    for depth, element in enumerate(elements, 1):
        named = hashlib.blake2b(parent or CHAIN_START, digest_size=ADDRESS_BYTES)
        named.update(element)
        link = Link(named.digest(), parent, depth, element)
        links.append(link)
        parent = link.id
    return tuple(links)


def rows_of(links: Sequence[Link]) -> Iterator[Link]:
    """The rows that hold these elements. The first of a chain is alone: it is what conversations have in common."""
    group: list[Link] = []
    size = 0
    for link in links:
        size += len(link.data)
        if group and (size > GROUP_BYTES or link.depth == 2 or BLOB in (link.codec, group[-1].codec)):
            yield _row(group)
            group, size = [], len(link.data)
        group.append(link)
    if group:
        yield _row(group)


def _row(group: Sequence[Link]) -> Link:
    first, last = group[0], group[-1]
    if last.codec == BLOB:
        return last
    is_many = len(group) > 1
    codec, data = compressed(_pack([link.data for link in group]) if is_many else last.data)
    return Link(last.id, first.parent_id, last.depth, data, codec + MANY * is_many)


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
        return Kept(CONTENT, digest(data, ADDRESS_BYTES), codec, small)

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
        packed = await self.pack(project_id, kept, is_shared=len(kept) > FRAME_BYTES)
        return Request(packed._replace(is_frame=frame is not None) if packed else None, chain)

    def write(self, tx: Tx, project_id: str, kept: Kept | None) -> None:
        """The row that lies beside, where there is one."""
        if kept is not None and kept.codec == CONTENT:
            repository.keep(tx, project_id, kept.data, kept.content_codec, kept.content)

    def write_chain(self, tx: Tx, project_id: str, chain: Sequence[Link]) -> None:
        """What is new, from the last row back: if one turns out to be there, all before it are there too."""
        known = 0
        for end in range(len(chain), 0, -LOOK):
            known = repository.deepest(tx, project_id, [link.id for link in chain[max(0, end - LOOK) : end]])
            if known:
                break
        for row in reversed(tuple(rows_of(chain[known:]))):
            if not repository.link(tx, project_id, row):
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
        rows = repository.chain(tx, project_id, tip)
        return tuple(element for codec, data in rows for element in self.elements_of(project_id, codec, data))

    def elements_of(self, project_id: str, codec: int, data: bytes) -> list[bytes]:
        """The elements of one row of a chain."""
        if codec == BLOB:
            return [self._blobs.get(project_id, data)]
        whole = expanded(codec % MANY, data)
        return _unpack(whole) if codec >= MANY else [whole]


def rebuilt(frame: bytes, elements: Sequence[bytes]) -> bytes:
    """The whole body of a frame and its elements."""
    around = msgspec.msgpack.decode(frame, type=Frame)
    return around.head + around.separator.join(elements) + around.tail
