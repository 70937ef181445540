"""uvicorn, as this server uses it: uvloop and httptools, no log, no headers of its own, signals left to the process."""

import contextlib
import sys
from collections.abc import Iterator

import uvicorn

from mooring.config import Config

from .server import Application


class HttpServer(uvicorn.Server):
    """uvicorn, with signals left to us: the drain begins before it stops listening."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def make_http(application: Application, config: Config) -> HttpServer:
    """uvicorn on uvloop and httptools, without its own log, date and signal handling."""
    settings = uvicorn.Config(
        application,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=round(config.server.drain_seconds),
        timeout_keep_alive=75,
    )
    return HttpServer(settings)
