"""LiteLLM's proxy as a contender of `gateway.py`: its newest release, in an environment that is gone afterwards.

Set up as its users run it in production without a database: one worker, `LITELLM_MODE=PRODUCTION`, errors alone in the
log, its own OpenAI-compatible route with prices, a master key. Virtual keys, budgets and a record of the calls need
PostgreSQL there, so none of them is on. Nothing is asked of the network once it is installed.
"""

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

START_SECONDS = 180  # its imports take long on a busy machine
SETTINGS = """\
model_list:
  - model_name: fast
    litellm_params:
      model: openai/constant
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: unused
    model_info:
      input_cost_per_token: 0.00000025
      output_cost_per_token: 0.000002
litellm_settings:
  telemetry: false
  request_timeout: 600
general_settings:
  master_key: {key}
"""
VARIABLES = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


class Contender(NamedTuple):
    """Where it listens, and the process whose CPU counts."""

    name: str
    port: int
    pid: int
    headers: dict[str, str]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def environment_of(folder: Path) -> Path:
    """A new environment with the newest proxy in it; where its programs lie."""
    print("Installing litellm[proxy] …", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    subprocess.run([*pip, "litellm[proxy]"], check=True)
    return folder / "bin"


@contextlib.contextmanager
def litellm(upstream_port: int, folder: Path, programs: Path) -> Iterator[Contender]:
    """The proxy, once it answers."""
    folder.mkdir()
    key, port = f"sk-{secrets.token_hex(16)}", free_port()
    path, log = folder / "config.yaml", folder / "litellm.log"
    path.write_text(SETTINGS.format(upstream=upstream_port, key=key))
    command = [programs / "litellm", "--config", path, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LITELLM_"))}
    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=folder, env=kept | VARIABLES, stdout=output, stderr=output) as process,
    ):
        try:
            await_answer(process, f"http://127.0.0.1:{port}/health/liveliness", log)
            yield Contender(f"litellm {version_of(programs)}", port, process.pid, {"authorization": f"Bearer {key}"})
        finally:
            process.terminate()


def await_answer(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    """Until it says that it lives."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise SystemExit(f"litellm did not start:\n{log.read_text(errors='replace')[-2000:]}")


def version_of(programs: Path) -> str:
    code = "import importlib.metadata as found; print(found.version('litellm'))"
    done = subprocess.run([programs / "python", "-c", code], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()
