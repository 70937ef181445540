"""`mooring up --app FILE --reload`: new workers for new code, and the old ones until the new code loads.

Watched are the files that the app's workers have loaded from its folder; while the code is broken, every Python file
there. A change starts new workers. When all of them have loaded the app, they take the place of the old ones, which
finish what they are at or hand it over, as at any SIGTERM. When one does not load, it has said why, and all stays as it
is.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from mooring.agents import LoadedApp
from mooring.storage.home import Home

from .supervisor import Child, Supervisor

TICK_SECONDS = 0.5
MOST_FILES = 5000
_ELSEWHERE = frozenset({"node_modules", "__pycache__", "site-packages"})

Stamp = tuple[int, int]


class Report(msgspec.Struct):
    """What a worker has loaded: the app's file and its hash, and each file from its folder as it was."""

    app: str
    digest: str
    files: dict[str, Stamp]


def write_report(path: Path, app_path: Path, loaded: LoadedApp) -> None:
    """By the worker, once it has loaded the app."""
    files = {str(file): stamp for file in _loaded_from(app_path.resolve()) if (stamp := _stamp(file))}
    report = Report(str(app_path.resolve()), loaded.digest.hex(), files)
    draft = path.with_name(f"{path.name}-{os.getpid()}")
    draft.write_bytes(msgspec.json.encode(report))
    draft.replace(path)


def read_report(path: Path) -> Report | None:
    """The newest report, if a worker has written one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Report)
    except (OSError, msgspec.DecodeError):
        return None


class Reloader:
    """Call `tick` now and then, in the supervisor's thread."""

    def __init__(
        self,
        supervisor: Supervisor,
        home: Home,
        app_path: Path,
        *,
        report: Path,
        warm: Callable[[Home], set[int]],
        log: Callable[[str], None],
    ) -> None:
        self._supervisor = supervisor
        self._workers = [child for child in supervisor.children if child.name.startswith("worker-")]
        self._home = home
        self._app_path = app_path.resolve()
        self._report = report
        self._warm = warm
        self._log = log
        self._new: list[subprocess.Popen[bytes]] = []
        self._is_broken = False
        self._seen: dict[Path, Stamp | None] = {}
        self._accept()

    def tick(self) -> None:
        """Look for changes; go on with what is under way."""
        now = {file: _stamp(file) for file in (self._all_files() if self._is_broken else self._seen)}
        if now != self._seen:
            self._seen = now
            self._abandon()
            self._start(self._workers[:1])  # one alone, so that a mistake is told once
        elif self._new:
            self._go_on()

    def _go_on(self) -> None:
        if any(process.poll() is not None for process in self._new):
            self._abandon()
            self._is_broken = True
            self._seen = {file: self._seen.get(file, _stamp(file)) for file in self._all_files()}
            self._log(f"{self._app_path.name} was not reloaded: the workers keep the code that they have.")
        elif {process.pid for process in self._new} <= self._warm(self._home):
            if len(self._new) < len(self._workers):
                self._start(self._workers[len(self._new) :])
                return
            for child, process in zip(self._workers, self._new, strict=True):
                self._supervisor.replace(child, process)
            self._new = []
            self._accept()
            count = len(self._workers)
            who = "1 worker runs" if count == 1 else f"{count} workers run"
            self._log(f"{self._app_path.name} has changed: {who} it now.")

    def _start(self, workers: list[Child]) -> None:
        self._new += [self._supervisor.spawn_beside(child) for child in workers]

    def _abandon(self) -> None:
        for process in self._new:
            self._supervisor.dismiss(process)
        self._new = []

    def _accept(self) -> None:
        """From here on a change is what differs from what the workers have loaded."""
        self._is_broken = False
        report = read_report(self._report)
        files = {} if report is None else report.files
        self._seen = {Path(name): stamp for name, stamp in files.items()}
        self._seen.setdefault(self._app_path, _stamp(self._app_path))

    def _all_files(self) -> list[Path]:
        return sorted({*self._seen, *_python_files(self._app_path.parent)})


def _loaded_from(app_path: Path) -> Iterator[Path]:
    """The app's file and the modules that it brought in from its own folder."""
    yield app_path
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        file = Path(name).resolve() if isinstance(name, str) else None
        if (
            file
            and file != app_path
            and file.is_relative_to(app_path.parent)
            and not _is_foreign(file, app_path.parent)
        ):
            yield file


def _is_foreign(file: Path, folder: Path) -> bool:
    """Whether it lies in an environment or a cache inside of the folder."""
    return any(part.startswith(".") or part in _ELSEWHERE for part in file.relative_to(folder).parts[:-1])


def _python_files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _ELSEWHERE]
        found += [Path(place, name) for name in names if name.endswith(".py")]
        if len(found) >= MOST_FILES:
            break
    return found[:MOST_FILES]


def _stamp(file: Path) -> Stamp | None:
    """When and how large; None where it is gone."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
