"""What the demo starts: serve, two workers and the simulated provider, on a home that keeps its data."""

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mooring import config
from mooring.processes import up
from mooring.processes.supervisor import Child
from mooring.sim import price_list
from mooring.storage.home import Home
from mooring.wiring import build

HANDBOOK = Path(__file__).with_name("handbook")
APP = Path(__file__).with_name("app.py")

CONFIG = """\
# Written by `mooring demo`. The provider is simulated: it meters and bills like a vendor, and answers by a script.
[gateway.providers.sim]
type = "sim"
base_url = "{url}/v1"
attempt_header = true

[gateway.models.steady]
targets = ["sim/down", "sim/writer-12words"]

{prices}
"""


@dataclass
class Demo:
    """A started demo."""

    home: Home
    sim_url: str
    config: config.Config
    up: up.Up


def start(home: Home, log: Callable[[str], None]) -> Demo:
    """Starts it, and returns once it answers. A second start finds the data of the first."""
    port = sim_port(home)
    sim_url = f"http://127.0.0.1:{port}"
    path = home.path / "demo.toml"
    path.write_text(CONFIG.format(url=sim_url, prices=price_list.as_toml()))
    os.environ["MOORING_SIM_URL"] = sim_url
    os.environ["MOORING_HOME"] = str(home.path)
    os.environ["MOORING_CONFIG"] = str(path)
    settings = config.load(path)
    sim = Child("sim", ["sim", "--", "--port", str(port), "--quiet"])
    return Demo(
        home, sim_url, settings, up.start(settings, home, log=log, app_path=APP, config_path=path, beside=[sim])
    )


def sim_port(home: Home) -> int:
    """The simulated provider's port: the same at every start, unless something else has it by now."""
    file = home.path / "sim-port"
    for wanted in (int(file.read_text()) if file.exists() else 0, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            port: int = probe.getsockname()[1]
        file.write_text(str(port))
        return port
    raise OSError("no free port on 127.0.0.1")


def client_key(demo: Demo) -> str:
    """An API key for the user's own requests, made at the first start and kept in the home."""
    file = demo.home.path / "demo.key"
    if not file.exists():
        secret = asyncio.run(_create_key(demo))
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secret)
    return file.read_text()


async def _create_key(demo: Demo) -> str:
    async with build(demo.config, demo.home, kind="cli") as rooms:
        return await rooms.keys.create("default", name="demo", scopes=("call", "read", "write"))
