"""`mooring sim` and `python -m mooring.sim`: the double as a process of its own, whose meter outlives its callers."""

import argparse
import asyncio
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from .sim import SimServer


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; unless quiet, the first line printed is `listening on http://HOST:PORT`."""
    options = _parser().parse_args(argv)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(options))
    except OSError as error:
        sys.stderr.write(
            f"The simulator cannot start: {error}. Choose another --port (0 takes a free one) or --meter.\n"
        )
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mooring sim", description="A simulated provider that meters and misbehaves.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--fd", type=int, help="a listening socket that this process inherited, instead of a port")
    parser.add_argument("--meter", type=Path, help="append each billed request to this file, one JSON object a line")
    parser.add_argument("--most-rows", type=int, default=1_000_000, help="rows that the meter keeps")
    parser.add_argument("--quiet", action="store_true", help="do not print the address")
    parser.add_argument("--seed", type=int, help="makes request ids repeat from start to start")
    return parser


async def _serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    server = SimServer(
        host=options.host,
        port=options.port,
        listener=None if options.fd is None else socket.socket(fileno=options.fd),
        seed=options.seed,
        meter_path=options.meter,
        most_rows=options.most_rows,
    )
    async with server:
        if not options.quiet:
            sys.stdout.write(f"listening on {server.url}\n")
            sys.stdout.flush()
        await stop.wait()
