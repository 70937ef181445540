"""The parent's side: one child, started at the first file, reused, and replaced when it dies.

The child gets its limits from the command line and its files from a pipe; nothing of a file decides what is started.
"""

import signal
import subprocess
import sys
import threading
from contextlib import suppress

import msgspec

from mooring.rag.contracts import Loaded, Unreadable

from .frames import Order, Parsed, read_frame, write_frame

FILES_PER_CHILD = 200  # then a fresh one, so that what a library leaks is never counted against a file
_PARTING_SECONDS = 5.0


class Parser:
    """Loads files in a child whose memory and time per file are limited. Used from any thread, one file at a time."""

    def __init__(self, *, memory_bytes: int, seconds: float) -> None:
        self._memory_bytes = memory_bytes
        self._seconds = seconds
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._files = 0

    def load(self, loader: str, raw: bytes) -> Loaded:
        """What the loader makes of the bytes.

        Raises:
            Unreadable: the loader's own reason, or what became of the child.
        """
        with self._lock:
            parsed = self._ask(Order(loader, raw))
        if parsed.loaded is None:
            raise Unreadable(parsed.reason or "its parser gave no reason")
        return parsed.loaded

    def close(self) -> None:
        """End the child, if there is one; the next file starts another."""
        with self._lock:
            self._end()

    def _ask(self, order: Order) -> Parsed:
        if self._child is not None and self._files >= FILES_PER_CHILD:
            self._end()
        child = self._child or self._start()
        self._files += 1
        assert child.stdin is not None
        assert child.stdout is not None
        answer = None
        with suppress(BrokenPipeError):
            write_frame(child.stdin, order)  # type: ignore[arg-type]
            answer = read_frame(child.stdout)  # type: ignore[arg-type]
        if answer is None:
            return Parsed(reason=self._cause_of_death(self._end()))
        return msgspec.msgpack.decode(answer, type=Parsed)

    def _start(self) -> subprocess.Popen[bytes]:
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", "mooring.rag.parser", str(self._memory_bytes), str(self._seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._files = 0
        return self._child

    def _end(self) -> int:
        """The exit status of the child, which ends when its pipe closes."""
        child, self._child = self._child, None
        if child is None:
            return 0
        assert child.stdin is not None
        assert child.stdout is not None
        with suppress(BrokenPipeError):
            child.stdin.close()
        child.stdout.close()
        try:
            return child.wait(_PARTING_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()

    def _cause_of_death(self, status: int) -> str:
        if status == -signal.SIGALRM:
            return f"its parser took longer than {self._seconds:g} s: raise [rag] parse_seconds, or split it"
        if status < 0:
            name = signal.Signals(-status).name
            return f"its parser crashed ({name}), maybe over the limit of {self._memory_bytes:,} bytes: it is damaged?"
        return f"its parser ended with status {status}"
