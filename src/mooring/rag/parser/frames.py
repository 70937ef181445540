"""What goes over the pipe between the two processes: a length, then MessagePack."""

from typing import BinaryIO

import msgspec

from mooring.rag.contracts import Loaded


class Order(msgspec.Struct, frozen=True, array_like=True):
    """Load these bytes with this loader."""

    loader: str
    raw: bytes


class Parsed(msgspec.Struct, frozen=True, array_like=True):
    """What was loaded, or why nothing was."""

    loaded: Loaded | None = None
    reason: str | None = None


def write_frame(pipe: BinaryIO, message: Order | Parsed) -> None:
    """Writes and flushes one message."""
    payload = msgspec.msgpack.encode(message)
    pipe.write(len(payload).to_bytes(8, "little") + payload)
    pipe.flush()


def read_frame(pipe: BinaryIO) -> bytes | None:
    """One message's bytes; None where the other end is gone."""
    head = pipe.read(8)
    if len(head) < 8:
        return None
    payload = pipe.read(int.from_bytes(head, "little"))
    return payload if len(payload) == int.from_bytes(head, "little") else None
