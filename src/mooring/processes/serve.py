"""`mooring serve`: one HTTP server on one home. It owns every paid socket, and drains when it must end."""

import asyncio
import contextlib
import gc
import ipaddress
import logging
import os
import socket
from pathlib import Path

import msgspec

from mooring.config import DEFAULT_PORT, Config
from mooring.core import ids
from mooring.core.errors import ConfigError
from mooring.gateway import discovery
from mooring.server.listening import HttpServer, make_http
from mooring.server.routes import create_application
from mooring.storage.home import Home
from mooring.wiring import Server, build

from .local import LocalModels, Simulated
from .worker import stop_on_signals, sweep

log = logging.getLogger("mooring.serve")
PATIENCE = 2  # times five seconds that a lock is left to a worker
BACKLOG = 2048  # uvicorn's own


async def serve(config: Config, home: Home, *, app_path: Path | None = None) -> None:
    """Serves until SIGTERM or SIGINT, then drains: no new requests, running ones get `drain_seconds`."""
    listener = bind(config, home)
    address = url_of(config.server.host, listener.getsockname()[1])
    local = LocalModels(home.path, config.local.weights)
    simulated = Simulated()
    config = simulated.added_to(local.added_to(config))
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(listener.close)
        stack.callback(local.close)
        stack.callback(simulated.close)
        rooms = await stack.enter_async_context(build(config, home, kind="serve", app_path=app_path))
        await refuse_open_door(rooms)
        application = create_application(rooms)
        http = make_http(application, config)
        stop_on_signals(lambda: begin_drain(rooms, http))
        local.arm()
        simulated.arm()
        background = [
            asyncio.create_task(sweep(rooms.journal)),
            asyncio.create_task(discovery.watch(rooms.http, config.gateway, rooms.gateway.offer)),
            asyncio.create_task(rooms.edge.run(keep_days=config.tracing.hour_days)),
            # Where workers run, one of them takes this on: their loops carry no paid streams.
            asyncio.create_task(rooms.projector.run(home.projector_lock, patience=PATIENCE)),
        ]
        found = announce(home, rooms, address)
        spare_the_collector()
        try:
            await http.serve(sockets=[listener])
        finally:
            found.unlink(missing_ok=True)
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)


def begin_drain(rooms: Server, http: HttpServer) -> None:
    """New requests are refused with 503; uvicorn waits for the running ones."""
    rooms.drain()
    http.should_exit = True


def spare_the_collector() -> None:
    """What has been loaded by now stays; and a request makes hundreds of short-lived objects and no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def bind(config: Config, home: Home) -> socket.socket:
    """The listening socket. A configured port must be free; a default one that is taken moves, and stays moved.

    Raises:
        ConfigError: the configured address cannot be had.
    """
    remembered = home.path / "port"
    wanted = config.server.port
    for port in [wanted] if wanted is not None else [*_remembered(remembered), DEFAULT_PORT, 0]:
        listener = socket.socket(socket.AF_INET6 if ":" in config.server.host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((config.server.host, port))
            listener.listen(BACKLOG)  # only one of two that have bound may listen
        except OSError as error:
            listener.close()
            if wanted is not None:
                raise ConfigError(
                    f"{config.server.host}:{port} cannot be bound: {error.strerror}.",
                    hint="Choose another [server] port, or leave it out for a free one.",
                ) from error
            continue
        if wanted is None:
            remembered.write_text(str(listener.getsockname()[1]))
        listener.set_inheritable(False)
        return listener
    raise ConfigError(f"No port could be bound on {config.server.host}.", hint="Check [server] host.")


def url_of(host: str, port: int) -> str:
    """Where this machine's own processes reach a server that listens on `host`."""
    name = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # asked about, not bound
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _remembered(file: Path) -> list[int]:
    try:
        text = file.read_text().strip()
    except OSError:
        return []
    return [int(text)] if text.isdigit() and 0 < int(text) < 65536 else []


def announce(home: Home, rooms: Server, address: str) -> Path:
    """The file by which workers and clients of this home find this server; for its owner's eyes only."""
    found = home.run_dir / f"serve-{ids.show('proc', rooms.process_id)}.json"
    body = msgspec.json.encode({"url": address, "service_key": rooms.service_key, "pid": os.getpid()})
    draft = found.with_suffix(".tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(body)
    draft.replace(found)
    return found


async def refuse_open_door(rooms: Server) -> None:
    """Beyond loopback nothing starts without a key.

    Raises:
        ConfigError: no API key exists.
    """
    if is_loopback(rooms.config.server.host):
        return
    if not await rooms.keys.exist():
        raise ConfigError(
            f"Listening on {rooms.config.server.host} without any API key is refused.",
            hint="Run: mooring keys create, then start again.",
        )
