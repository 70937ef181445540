"""`mooring up`: what the supervisor runs on a home, and how to wait until it is ready."""

import contextlib
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mooring.client import discovery
from mooring.client.discovery import Endpoint, running_endpoint
from mooring.config import Config
from mooring.core.errors import ConfigError, Unavailable
from mooring.gateway.prints import Prints
from mooring.storage.database import Database
from mooring.storage.home import Home
from mooring.storage.liveness import FileLock, probe, read_facts
from mooring.wiring import APP_REPORT

from .ending import ENVIRONMENT_FLAG
from .reload import TICK_SECONDS, Reloader
from .supervisor import Child, Supervisor
from .work import READY

READY_SECONDS = 30.0
_kept: list[Supervisor] = []  # the pipes of temporary serves stay open for as long as this process lives


@dataclass
class Up:
    """A running house: its supervisor, its home's lock, and where it answers."""

    supervisor: Supervisor
    endpoint: Endpoint
    lock: FileLock
    reloader: Reloader | None = None

    def run(self) -> None:
        """Until a signal says so."""
        self.supervisor.run(self.reloader.tick if self.reloader else None, every_seconds=TICK_SECONDS)

    def stop(self) -> None:
        self.supervisor.drain()
        self.lock.release()


def start(
    config: Config,
    home: Home,
    *,
    log: Callable[[str], None],
    app_path: Path | None = None,
    config_path: Path | None = None,
    cwd: Path | None = None,
    beside: Sequence[Child] = (),
    is_reloading: bool = False,
) -> Up:
    """Starts serve and the workers, and returns once serve is ready and the workers have loaded the app.

    Raises:
        ConfigError: another `up` has this home, one of them ended before it was ready, or none could.
    """
    lock = FileLock.acquire(home.run_dir / "up.lock")
    if lock is None:
        raise ConfigError(
            f"Another `mooring up` runs on {home.path}.", hint="Stop it, or choose another home with MOORING_HOME."
        )
    try:
        look_first(config, home)
    except BaseException:
        lock.release()
        raise
    environment = environment_of(home)
    if config_path is not None:
        environment["MOORING_CONFIG"] = str(config_path.resolve())
    app = ["--app", str(app_path.resolve())] if app_path else []
    report = home.run_dir / APP_REPORT
    report.unlink(missing_ok=True)
    watched = []
    if is_reloading:
        watched = ["--report", str(report)]
        # Python believes a compiled file whose source was changed within the same second at the same length.
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    children = [Child("serve", ["serve", *app], stage=1)]
    children += [Child(f"worker-{number}", ["worker", *app, *watched]) for number in range(1, config.worker.count + 1)]
    children += [replace(child, stage=2) for child in beside]
    supervisor = Supervisor(
        children,
        environment=environment,
        log=log,
        cwd=cwd or Path.cwd(),
        drain_seconds=2 * config.server.drain_seconds + 5,
    )
    supervisor.start()
    try:
        endpoint = wait_ready(home, supervisor)
        wait_warm(home, supervisor, log)
    except BaseException:
        supervisor.drain()
        lock.release()
        raise
    reloader = None
    if is_reloading and app_path is not None:
        reloader = Reloader(supervisor, home, app_path, report=report, warm=warm_pids, log=log)
    return Up(supervisor, endpoint, lock, reloader)


def look_first(config: Config, home: Home) -> None:
    """What would end every process alike is said once, before any of them starts.

    Raises:
        ConfigError: there is no driver for the database, or the home's secret is not the one that it was used with.
        StorageError: the database cannot be opened.
    """
    url = config.database_url()
    if url is None and not (home.path / "mooring.db").exists():
        return
    with contextlib.closing(Database.open(url or home.database_url, readers=1)) as database:
        Prints(database, home.secrets).look()


def wait_ready(home: Home, supervisor: Supervisor) -> Endpoint:
    """The endpoint of the serve that answers `/readyz`.

    Raises:
        ConfigError: it ended, or did not answer in time.
    """
    deadline = time.monotonic() + READY_SECONDS
    child = supervisor.children[0]
    while time.monotonic() < deadline:
        if child.process is not None and child.process.poll() is not None:
            raise ConfigError("serve ended before it was ready.", hint="Its message is above.")
        endpoint = running_endpoint(home.path)
        if endpoint is not None and is_ready(endpoint):
            return endpoint
        time.sleep(0.02)  # a child's start has no event to wait for that works before its loop runs
    raise ConfigError(f"serve was not ready after {READY_SECONDS:.0f} s.", hint="Look at its log above.")


def wait_warm(home: Home, supervisor: Supervisor, log: Callable[[str], None]) -> None:
    """Until every worker has loaded its code; slow imports are waited for once, and then left to go on.

    Raises:
        ConfigError: one of them ended: its app does not load.
    """
    deadline = time.monotonic() + READY_SECONDS
    workers = {child.process.pid: child for child in supervisor.children[1:] if child.stage == 0 and child.process}
    while time.monotonic() < deadline:
        for child in workers.values():
            if child.process is not None and child.process.poll() is not None:
                raise ConfigError(f"{child.name} ended before it was ready.", hint="Its message is above.")
        if workers.keys() <= warm_pids(home):
            return
        time.sleep(0.02)  # as in wait_ready
    log(f"The workers are still loading the app after {READY_SECONDS:.0f} s; runs wait for them.")


def environment_of(home: Home) -> dict[str, str]:
    """What children of a supervisor get: this home, and no address of another server that the user talks to."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("MOORING_URL", "MOORING_API_KEY")}
    return {**inherited, "MOORING_HOME": str(home.path), ENVIRONMENT_FLAG: "1"}


def pid_of(home: Home, process: str | None) -> int | None:
    """The pid of a living process of this home by its `proc_…`, from its lock file."""
    for path in home.run_dir.glob(f"*-{process}.lock"):
        facts = read_facts(path)
        return facts.pid if facts is not None else None
    return None


def warm_workers(home: Home) -> int:
    """How many workers of this home have loaded their code and take runs."""
    return len(warm_pids(home))


def warm_pids(home: Home) -> set[int]:
    """The processes behind `warm_workers`."""
    facts = [read_facts(path) for path in home.run_dir.glob("*-worker-*.lock") if probe(path) == "alive"]
    return {found.pid for found in facts if found is not None and found.address == READY}


def is_ready(endpoint: Endpoint) -> bool:
    try:
        with urllib.request.urlopen(f"{endpoint.url}/readyz", timeout=2) as answer:  # noqa: S310  # loopback, from our own file
            return bool(json.load(answer).get("status") == "ready")
    except (urllib.error.URLError, OSError, ValueError):
        return False


def start_temporary(home_path: Path) -> Endpoint:
    """A `serve` for a program that finds none: it ends with this process, whose pipe it reads.

    Raises:
        Unavailable: it did not start; its message is on standard error.
    """
    endpoint, supervisor = _temporary(Home(home_path))
    _kept.append(supervisor)
    return endpoint


@contextlib.contextmanager
def ensure_serve(home: Home) -> Iterator[Endpoint]:
    """The home's running serve, or a temporary one for as long as the context lasts."""
    endpoint = running_endpoint(home.path)
    if endpoint is not None:
        yield endpoint
        return
    endpoint, supervisor = _temporary(home)
    try:
        yield endpoint
    finally:
        supervisor.drain()


def _temporary(home: Home) -> tuple[Endpoint, Supervisor]:
    supervisor = Supervisor(
        [Child("serve", ["serve"])],
        environment=environment_of(home),
        log=lambda line: None,
        cwd=Path.cwd(),
    )
    supervisor.start()
    try:
        return wait_ready(home, supervisor), supervisor
    except ConfigError as error:
        supervisor.drain()
        raise Unavailable(f"A temporary server did not start: {error}") from error


def allow_temporary() -> None:
    """Clients of this process may start a temporary serve when they find none."""
    discovery.start_temporary = start_temporary
    discovery.local_worker = local_worker


@contextlib.contextmanager
def local_worker(*, app_path: Path, run_id: str, endpoint: Endpoint) -> Iterator[None]:
    """A worker process for the runs of `python app.py`; it ends with the context, or with this process."""
    child = Child("worker", ["worker"])
    supervisor = Supervisor(
        [child], environment={**os.environ, ENVIRONMENT_FLAG: "1"}, log=lambda line: None, cwd=Path.cwd()
    )
    supervisor.start()
    try:
        yield
    finally:
        supervisor.drain()
