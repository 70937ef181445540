"""A site: the double, any number of `serve` and `worker` processes on one home, and the command line beside them."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from mooring.processes.up import warm_workers
from mooring.sim import price_list
from mooring.storage import Home
from mooring.verify.house import storage_section

T = TypeVar("T")
DEADLINE_SECONDS = 120.0
CONFIG = """\
[storage]
{storage}

[gateway]
retry_wait_seconds = 0.01

[gateway.providers.sim]
type = "sim"
base_url = "{url}/v1"
attempt_header = true

{prices}

{more}
"""


def until(condition: Callable[[], T], what: str = "") -> T:
    """The condition's first true value.

    Raises:
        AssertionError: it did not come true in time.
    """
    deadline, pause = time.monotonic() + DEADLINE_SECONDS, threading.Event()
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS:.0f} s: {what or condition}"
        pause.wait(0.01)
    return found


@dataclass
class Answer:
    """An HTTP answer, whatever its status."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])


def http(method: str, url: str, body: object = None, *, key: str = "", headers: dict[str, str] | None = None) -> Answer:
    """One request; `body` is bytes, or a value to send as JSON."""
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as answer:
            return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read())


@dataclass
class Serve:
    """One `serve` process that is ready."""

    process: "subprocess.Popen[bytes]"
    url: str
    key: str

    def chat(self, body: dict[str, Any], *, idempotency_key: str | None = None, **headers: str) -> Answer:
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        return http("POST", f"{self.url}/v1/chat/completions", body, key=self.key, headers=headers)

    def get(self, path: str) -> Any:
        answer = http("GET", self.url + path, key=self.key)
        assert answer.status == 200, answer.body
        return answer.json

    def start_run(self, agent: str, text: str, key: str | None = None) -> str:
        headers = {"Idempotency-Key": key} if key else {}
        answer = http("POST", f"{self.url}/v1/runs", {"agent": agent, "input": text}, key=self.key, headers=headers)
        assert answer.status == 202, answer.body
        return str(answer.json["id"])

    def run_in(self, run: str, *states: str) -> dict[str, Any]:
        """The run once it is in one of the states."""

        def found() -> dict[str, Any] | None:
            row: dict[str, Any] = self.get(f"/v1/runs/{run}")
            is_there = row["state"] in states
            assert is_there or row["state"] not in ("completed", "failed", "cancelled"), row
            return row if is_there else None

        return until(found, f"{run} is {' or '.join(states)}")  # type: ignore[return-value]

    def kill(self) -> None:
        kill(self.process)


def kill(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(DEADLINE_SECONDS)


@dataclass
class Site:
    """One home. Processes are started one by one, and end with the test; nothing is started again by itself."""

    folder: Path
    sim_url: str
    environment: dict[str, str]
    app: Path | None = None
    children: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def home(self) -> Home:
        return Home(self.folder / "home")

    def serve(self) -> Serve:
        process = self._start("serve")

        def ready() -> Serve | None:
            assert process.poll() is None, "serve ended before it was ready"
            files = self.home.run_dir.glob("serve-*.json")
            found = next((one for file in files if (one := json.loads(file.read_text()))["pid"] == process.pid), None)
            if found is None:
                return None
            with contextlib.suppress(OSError):
                if http("GET", found["url"] + "/readyz").status == 200:
                    return Serve(process, found["url"], found["service_key"])
            return None

        return until(ready, "serve is ready")  # type: ignore[return-value]

    def worker(self, count: int = 1) -> list["subprocess.Popen[bytes]"]:
        """So many workers more, warm."""
        before = warm_workers(self.home)
        started = [self._start("worker") for _ in range(count)]
        until(lambda: warm_workers(self.home) == before + count, "the workers are warm")
        return started

    def cli(self, *arguments: str, code: int = 0) -> str:
        """What a verb prints."""
        done = subprocess.run(
            [sys.executable, "-m", "mooring", *arguments],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        assert done.returncode == code, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def owner(self, serve: Serve, run: str) -> "subprocess.Popen[bytes]":
        """The process that works on the run."""

        def found() -> "subprocess.Popen[bytes] | None":
            name = serve.get(f"/v1/runs/{run}")["worker"]
            for path in self.home.run_dir.glob(f"*-{name}.lock"):
                pid = json.loads(path.read_text())["pid"]
                return next(child for child in self.children if child.pid == pid)
            return None

        return until(found, f"{run} has a worker")  # type: ignore[return-value]

    # the double ----------------------------------------------------------------------------------------------------

    def meter(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = http("GET", f"{self.sim_url}/meter").json
        return rows

    def metered_nanos(self) -> int:
        return sum(row["cost_nanos"] for row in self.meter())

    def export(self) -> bytes:
        """The double's bill, as `cost reconcile` reads it."""
        return http("GET", f"{self.sim_url}/meter.csv").body

    def asked_of_double(self) -> int:
        """How many requests to models have reached the double."""
        return len(http("GET", f"{self.sim_url}/requests").json)

    def effects(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = http("GET", f"{self.sim_url}/effects").json["effects"]
        return found

    def plant(self, **fault: Any) -> None:
        answer = http("POST", f"{self.sim_url}/control", fault)
        assert answer.status == 200, answer.body

    def release(self, name: str = "") -> None:
        http("POST", f"{self.sim_url}/control/release", {"release": name} if name else {})

    def _start(self, kind: str) -> "subprocess.Popen[bytes]":
        app = ["--app", str(self.app)] if self.app else []
        process = subprocess.Popen(
            [sys.executable, "-m", "mooring", kind, *app],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self.children.append(process)
        return process


Open = Callable[..., contextlib.AbstractContextManager[Site]]


@contextlib.contextmanager
def site_on(folder: Path, database_url: str | None, *, app: str | None = None, more: str = "") -> Iterator[Site]:
    """A site without processes yet, but for the double."""
    path = folder / "mooring.toml"
    app_path = folder / "app.py" if app else None
    if app_path is not None and app is not None:
        app_path.write_text(app)
    with _double() as sim_url:
        storage = storage_section(folder / "database.url", database_url) if database_url else ""
        path.write_text(CONFIG.format(storage=storage, more=more, url=sim_url, prices=price_list.as_toml()))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MOORING_")}
        environment |= {
            "MOORING_HOME": str(folder / "home"),
            "MOORING_CONFIG": str(path),
            "MOORING_SUPERVISED": "1",
            "MOORING_SIM_URL": sim_url,
            "MOORING_TEST_FOLDER": str(folder),
        }
        site = Site(folder, sim_url, environment, app_path)
        try:
            yield site
        finally:
            end(site.children)


def end(children: "list[subprocess.Popen[bytes]]") -> None:
    """Cleanly where they live: workers first, as `mooring up` does."""
    for child in children:
        if child.poll() is None:
            child.terminate()
    for child in children:
        try:
            child.wait(DEADLINE_SECONDS)
        finally:
            child.kill()
            if child.stdin is not None:
                child.stdin.close()


@contextlib.contextmanager
def _double() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "mooring.sim", "--port", "0"],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield "http://" + process.stdout.readline().rpartition("http://")[2].strip()
    finally:
        process.terminate()
        process.wait(DEADLINE_SECONDS)
        process.stdout.close()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a short path, because sockets live in it."""
    folder = Path(tempfile.mkdtemp(prefix="mooring-e2e-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def site(place: Path) -> Open:
    """`with site(app=…) as s:` on SQLite."""
    return lambda **options: site_on(place, None, **options)


@pytest.fixture
def site_on_either(place: Path, database_url: str) -> Open:
    """The same on each database."""
    url = database_url if database_url.startswith("postgresql") else None
    return lambda **options: site_on(place, url, **options)


@pytest.fixture
def site_on_postgres(place: Path, postgres_url: str) -> Open:
    """The same on PostgreSQL."""
    return lambda **options: site_on(place, postgres_url, **options)
