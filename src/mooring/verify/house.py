"""A house for a battery: a home of its own, the double as a process of its own, serve and workers."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mooring import config
from mooring.processes import up
from mooring.sim import price_list
from mooring.storage.home import Home

CONFIG = """\
[server]
port = {port}

[storage]
{storage}

[worker]
count = {workers}

[gateway.providers.sim]
type = "sim"
base_url = "{url}/v1"
attempt_header = true
idle_seconds = 30

{prices}
{more}
"""


@dataclass
class House:
    """What runs: `sim_url` is the double's address; `up` the supervised processes; `home` their data."""

    home: Home
    sim_url: str
    config: config.Config
    config_path: Path
    up: up.Up

    @property
    def url(self) -> str:
        return self.up.endpoint.url

    @property
    def key(self) -> str:
        return self.up.endpoint.key

    def meter(self) -> list[dict[str, Any]]:
        """The double's rows."""
        rows: list[dict[str, Any]] = get_json(f"{self.sim_url}/meter")
        return rows

    def effects(self) -> list[dict[str, Any]]:
        """What the double's effects endpoint did: one entry per key, with how often it was asked."""
        found: list[dict[str, Any]] = get_json(f"{self.sim_url}/effects")["effects"]
        return found


@contextlib.contextmanager
def house(
    *,
    workers: int = 2,
    app_path: Path | None = None,
    more: str | Callable[[str], str] = "",
    folder: Path | None = None,
    database_url: str | None = None,
) -> Iterator[House]:
    """Starts it all, and ends it all. `more`: further sections, maybe made from the double's address.

    Without `database_url`, SQLite in the house's own home.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(without_settings())
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mooring-verify-")))
        sim_url = stack.enter_context(double())
        path = place / "mooring.toml"
        storage = storage_section(place / "database.url", database_url) if database_url else ""
        prices = price_list.as_toml()
        rest = more if isinstance(more, str) else more(sim_url)
        path.write_text(
            CONFIG.format(port=free_port(), storage=storage, workers=workers, url=sim_url, prices=prices, more=rest)
        )
        os.environ["MOORING_SIM_URL"] = sim_url
        stack.callback(os.environ.pop, "MOORING_SIM_URL", None)
        settings = config.load(path)
        home = Home(place / "home")
        running = up.start(settings, home, log=lambda line: None, app_path=app_path, config_path=path, cwd=place)
        stack.callback(running.stop)
        stack.enter_context(running.supervisor.tended())
        yield House(home, sim_url, settings, path, running)


def free_port() -> int:
    """One of the house's own: while a killed serve is away, another home would take the default one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def storage_section(file: Path, database_url: str) -> str:
    """A line of `[storage]` that names the URL by reference, because it may hold a password."""
    file.touch(mode=0o600)
    file.write_text(database_url)
    return f"url = {json.dumps(f'file:{file}')}"


@contextlib.contextmanager
def without_settings() -> Iterator[None]:
    """The caller's `MOORING_…` variables do not reach the house: its database, above all, is not the one in use."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("MOORING_")}
    try:
        yield
    finally:
        os.environ.update(hidden)


@contextlib.contextmanager
def double(*arguments: str) -> Iterator[str]:
    """`mooring sim` as a process of its own; its address."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "mooring", "sim", "--", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if "http://" not in line:
            raise RuntimeError(f"The double did not start: {line!r}")
        yield "http://" + line.rpartition("http://")[2].strip()
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def get_json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310  # our own double, on loopback
        return json.load(answer)
