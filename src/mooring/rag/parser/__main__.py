"""The child: limits itself, then answers one file after the other until the pipe closes."""

import os
import resource
import signal
import sys
from typing import BinaryIO

import msgspec

from mooring.rag.contracts import Unreadable, loaders

from .frames import Order, Parsed, read_frame, write_frame


def main(memory_bytes: int, seconds: float) -> None:
    """Serve the parent on standard input and output, which nothing else may print on from here."""
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    with orders, answers:
        serve(orders, answers, memory_bytes, seconds)


def serve(orders: BinaryIO, answers: BinaryIO, memory_bytes: int, seconds: float) -> None:
    """The alarm's default action ends the process: no library can hold it off."""
    while (payload := read_frame(orders)) is not None:
        order = msgspec.msgpack.decode(payload, type=Order)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            parsed = Parsed(loaders.get(order.loader).load(order.raw))
        except Unreadable as error:
            parsed = Parsed(reason=error.message)
        except MemoryError:
            parsed = Parsed(reason=f"parsing it takes more than {memory_bytes:,} bytes: split it")
        except Exception as error:  # edge: whatever a parser raises is the file's reason, not the parent's end
            parsed = Parsed(reason=f"its parser failed: {type(error).__name__}: {error}"[:300])
        signal.setitimer(signal.ITIMER_REAL, 0)
        write_frame(answers, parsed)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
