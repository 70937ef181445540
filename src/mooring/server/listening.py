"""uvicorn, as this server uses it: it listens and drains; each connection is ours, and signals are the process's."""

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from typing import cast

import uvicorn

from mooring.config import Config

from .connection import Connection, Patience, State
from .server import Application

PATIENCE = Patience()


class HttpServer(uvicorn.Server):
    """uvicorn, with signals left to us: the drain begins before it stops listening."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def make_http(application: Application, config: Config) -> HttpServer:
    """uvicorn on uvloop, without its own protocol, log, date and signal handling."""

    def connect(*, server_state: State, **_: object) -> Connection:
        return Connection(
            application,
            server_state,
            body_limit_bytes=config.server.body_limit_bytes,
            connection_limit=config.server.connection_limit,
            patience=PATIENCE,
            count=application.counts,
        )

    settings = uvicorn.Config(
        application,  # never called as ASGI: each connection asks it for replies
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http=cast("type[asyncio.Protocol]", connect),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=round(config.server.drain_seconds),
    )
    return HttpServer(settings)
