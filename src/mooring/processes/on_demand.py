"""A process of our own that is started at first use: serve holds its listening socket, the first connection starts it.

The gateway sees an upstream like any other; a process that died is started again by the next connection.
"""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence

from mooring.config import Config
from mooring.gateway.config import ProviderConfig

from .ending import ENVIRONMENT_FLAG

RESTART_SECONDS = 0.2
_MOORING = [sys.executable, "-P", "-m", "mooring"]


class OnDemand:
    """Owns the socket of one such process, and the process once there is one. `arguments` follow `mooring`."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = list(arguments)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self._child: subprocess.Popen[bytes] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def arm(self) -> None:
        """Start the process when somebody connects. Call in the loop that serves."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._listener.fileno(), self._start)

    def close(self) -> None:
        """Ends the process, which reads the end of its pipe, and the socket."""
        if self._loop is not None:
            self._loop.remove_reader(self._listener.fileno())
            self._loop = None
        if self._child is not None:
            assert self._child.stdin is not None
            self._child.stdin.close()
            self._child.kill()  # it holds nothing that a drain could save: serve's own calls are over
            self._child.wait()
        self._listener.close()

    def _start(self) -> None:
        assert self._loop is not None
        self._loop.remove_reader(self._listener.fileno())
        descriptor = self._listener.fileno()
        self._child = subprocess.Popen(  # our own program with arguments that we made
            [*_MOORING, *self._arguments, "--fd", str(descriptor)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[descriptor],
            env={**os.environ, ENVIRONMENT_FLAG: "1"},
            start_new_session=True,
        )
        threading.Thread(
            target=self._watch, args=(self._child, self._loop), name="on-demand-watch", daemon=True
        ).start()

    def _watch(self, child: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop) -> None:
        child.wait()
        if self._loop is loop:
            loop.call_soon_threadsafe(self._again)

    def _again(self) -> None:
        """The connection that started it may still wait: one that dies at once is not started again at once."""
        if self._loop is None:
            return
        assert self._child is not None
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._loop.call_later(RESTART_SECONDS, lambda: self.arm() if self._loop is not None else None)


def with_provider(config: Config, name: str, provider: ProviderConfig) -> Config:
    """The configuration with this provider."""
    gateway = config.gateway.model_copy(update={"providers": {**config.gateway.providers, name: provider}})
    return config.model_copy(update={"gateway": gateway})
