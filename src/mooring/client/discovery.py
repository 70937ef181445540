"""Where the server is: the environment, else the home's running `serve`, else a temporary one if that is installed."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

import msgspec

from mooring.core.errors import ConfigError, Unavailable


class Endpoint(msgspec.Struct, frozen=True):
    """A server's address and the key to talk to it with; `is_service`: the home's own key, which may name code."""

    url: str
    key: str
    is_service: bool = False


class StartTemporary(Protocol):
    """Starts a `serve` for this process and says where it is; it ends with the process."""

    def __call__(self, home: Path, /) -> Endpoint: ...


class LocalWorker(Protocol):
    """A worker for one run of `python app.py`; it works until the context ends."""

    def __call__(self, *, app_path: Path, run_id: str, endpoint: Endpoint) -> AbstractContextManager[None]: ...


class _ServeFile(msgspec.Struct):
    url: str
    service_key: str
    pid: int


start_temporary: StartTemporary | None = None
local_worker: LocalWorker | None = None


_may_start: ContextVar[bool] = ContextVar("mooring_may_start", default=True)


@contextmanager
def without_starting() -> Iterator[None]:
    """Within it no temporary server is started: a worker waits for the home's own."""
    token = _may_start.set(False)
    try:
        yield
    finally:
        _may_start.reset(token)


def find_endpoint(url: str | None = None, key: str | None = None) -> Endpoint:
    """The server to talk to.

    Raises:
        ConfigError: a URL without a key.
        Unavailable: none is named, none runs, and none can be started.
    """
    url = url or os.environ.get("MOORING_URL")
    key = key or os.environ.get("MOORING_API_KEY")
    if url:
        if not key:
            raise ConfigError(
                f"There is no key for {url}.", hint="Set MOORING_API_KEY (`mooring keys create` makes one)."
            )
        return Endpoint(url.rstrip("/"), key)
    home = find_home()
    load_host()
    for found in _running(home):
        return Endpoint(found.url, key or found.service_key, is_service=key is None)
    if start_temporary is not None and _may_start.get():
        return start_temporary(home)
    raise Unavailable(
        f"No Mooring server runs on {home}.",
        hint="Start one with `mooring up`, or set MOORING_URL and MOORING_API_KEY.",
    )


def load_host() -> None:
    """Let the installed server, if any, offer a temporary `serve` and a worker (entry points `mooring.host`)."""
    if start_temporary is not None:
        return
    for point in entry_points(group="mooring.host"):
        try:
            install = point.load()
        except ModuleNotFoundError:
            continue  # `pip install mooring` alone is the client
        install()


def running_endpoint(home: Path) -> Endpoint | None:
    """The home's own serve, if one runs."""
    for found in _running(home):
        return Endpoint(found.url, found.service_key, is_service=True)
    return None


def find_home(start: Path | None = None) -> Path:
    """`MOORING_HOME`, else `.mooring/` found upward from the working directory if the user owns it, else there."""
    if named := os.environ.get("MOORING_HOME"):
        return Path(named).resolve()
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        home = folder / ".mooring"
        if home.is_dir() and home.stat().st_uid == os.getuid():
            return home
    return start / ".mooring"


def _running(home: Path) -> Iterator[_ServeFile]:
    """The serves of a home that are alive, newest file first."""
    files = sorted((home / "run").glob("serve-*.json"), key=_age, reverse=True)
    for file in files:
        try:
            found = msgspec.json.decode(file.read_bytes(), type=_ServeFile)
        except (OSError, msgspec.DecodeError):
            continue  # just being written, or gone
        if _is_alive(found.pid):
            yield found


def _age(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
