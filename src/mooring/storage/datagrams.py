"""Wake-ups between the processes of one machine: each listens on a datagram socket of its own in a shared folder."""

import contextlib
import hashlib
import os
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

LIST_SECONDS = 0.5  # how long a list of the others is good: whoever starts later than that polls once
_STOP = b""


class Datagrams:
    """A `Channel` for everyone who opened the same database file."""

    def __init__(self, database_path: Path) -> None:
        name = hashlib.sha256(str(database_path.resolve()).encode()).hexdigest()[:16]
        # Short, because a socket's path is at most 104 bytes on macOS, where the temporary folder is long already.
        self._folder = Path(tempfile.gettempdir()) / f"mooring-{os.getuid()}" / name
        self._own = self._folder / secrets.token_hex(4)
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sender.setblocking(False)
        self._others: tuple[str, ...] = ()
        self._listed_at = -LIST_SECONDS
        self._gate = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def send(self, channel: str) -> None:
        with self._gate:
            if self._is_closed:
                return
            now = time.monotonic()
            if now - self._listed_at >= LIST_SECONDS:
                self._listed_at = now
                self._others = self._list()
            for other in self._others:
                self._send(channel.encode(), other)

    def listen(self, on_hint: Callable[[str], None]) -> None:
        try:
            self._folder.parent.mkdir(mode=0o700, exist_ok=True)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if not self._is_ours():
                return
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                listener.bind(str(self._own))
            except OSError:
                listener.close()
                raise
        except OSError:
            return  # no room for sockets here: everyone polls
        self._thread = threading.Thread(target=_hear, args=(listener, on_hint), name="mooring-wakeups", daemon=True)
        self._thread.start()

    def close(self) -> None:
        with self._gate:
            if self._is_closed:
                return
            self._is_closed = True
            if self._thread is not None:
                self._sender.setblocking(True)
                with contextlib.suppress(OSError):
                    self._sender.sendto(_STOP, str(self._own))
            self._sender.close()
        if self._thread is not None:
            self._thread.join()
            self._own.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self._folder.rmdir()  # the last one

    def _is_ours(self) -> bool:
        """Whether nobody else made the folder before us in the shared temporary folder; if so, everyone polls."""
        facts = self._folder.parent.stat()
        return facts.st_uid == os.getuid() and not facts.st_mode & 0o022

    def _list(self) -> tuple[str, ...]:
        try:
            if not self._is_ours():
                return ()
            return tuple(str(self._folder / name) for name in os.listdir(self._folder) if name != self._own.name)
        except OSError:
            return ()

    def _send(self, data: bytes, other: str) -> None:
        try:
            self._sender.sendto(data, other)
        except (ConnectionRefusedError, FileNotFoundError):
            # Its owner is dead, or gone: a bound socket that nobody holds can never be heard again.
            with contextlib.suppress(OSError):
                os.unlink(other)
            self._listed_at = -LIST_SECONDS
        except OSError:
            return  # its buffer is full: it is awake, or polls


def _hear(listener: socket.socket, on_hint: Callable[[str], None]) -> None:
    with listener:
        while (data := listener.recv(512)) != _STOP:
            on_hint(data.decode(errors="replace"))
