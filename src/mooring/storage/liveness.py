"""Death is proven where it can be: every process holds a `flock` on a file of its own for as long as it lives.

Who gets the lock of another's file knows that its owner is dead, and records that while holding it. A file is removed
by its owner at a clean end, or by who holds its lock once the death is on record; it is never made again. The name of a
file begins with its folder's own mark, so that a path that means something else here (another machine, another
container) is never mistaken for a dead process, and ends with the id of its process.
"""

import fcntl
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Self

import msgspec

from mooring.core import ids
from mooring.core.errors import ConfigError, StorageError
from mooring.core.protocol import PROTOCOL

from .home import Home
from .schema_version import HEAD

State = Literal["alive", "dead", "unknown"]
_MARK = ".mark"
SPEAKS = f"schema {HEAD}, protocol {PROTOCOL}"  # two processes of one home must say the same


class ProcessFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a process says of itself in its file."""

    process_id: str
    pid: int
    kind: str
    address: str | None = None
    version: str = "before 0.1"
    speaks: str = ""


class FileLock:
    """An exclusive lock on a file, until `release` or the end of the process and of whoever inherits `descriptor`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self._is_held = True

    @classmethod
    def acquire(cls, path: Path, *, mode: int = 0o600) -> Self | None:
        """The lock, or None while someone else holds it. The file is made if need be, and never removed here."""
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
        if not _try_lock(descriptor):
            os.close(descriptor)
            return None
        return cls(path, descriptor)

    def release(self) -> None:
        if self._is_held:
            self._is_held = False
            os.close(self.descriptor)


class ProcessLock:
    """This process's proof of life."""

    def __init__(self, lock: FileLock, facts: ProcessFacts) -> None:
        self._lock = lock
        self.path = lock.path
        self.facts = facts

    @classmethod
    def acquire(
        cls, home: Home, *, process_id: bytes, kind: str, address: str | None = None, version: str = ""
    ) -> Self:
        """Take the lock and say who holds it.

        Raises:
            StorageError: the file exists and is locked, which another process id would not.
        """
        shown = ids.show("proc", process_id)
        path = home.run_dir / f"{mark(home.run_dir)}-{kind}-{shown}.lock"
        lock = FileLock.acquire(path)
        if lock is None:
            raise StorageError(
                f"{path} is locked by another process.", hint="Start again: each process has its own id."
            )
        facts = ProcessFacts(
            process_id=shown, pid=os.getpid(), kind=kind, address=address, version=version, speaks=SPEAKS
        )
        taken = cls(lock, facts)
        taken._write()
        return taken

    @property
    def descriptor(self) -> int:
        """For `pass_fds` of a child that must count as this process, such as the script of `mooring run`."""
        return self._lock.descriptor

    def say(self, address: str) -> None:
        """Say at which address this process listens."""
        self.facts = msgspec.structs.replace(self.facts, address=address)
        self._write()

    def release(self) -> None:
        """A clean end: remove the file while the lock is still held, then let go."""
        if self._lock._is_held:
            self.path.unlink(missing_ok=True)
        self._lock.release()

    def _write(self) -> None:
        data = msgspec.json.encode(self.facts)
        os.pwrite(self.descriptor, data, 0)
        os.ftruncate(self.descriptor, len(data))


def require_same_version(home: Home) -> None:
    """To be asked with one's own lock in hand, before the database is opened and so perhaps upgraded.

    Raises:
        ConfigError: a process with another schema or protocol runs on this home.
    """
    for path in sorted(home.run_dir.glob("*.lock")):
        facts = read_facts(path)
        if facts is not None and facts.speaks != SPEAKS and probe(path) == "alive":
            raise ConfigError(
                f"Mooring {facts.version} runs on {home.path} as {facts.kind} (pid {facts.pid}), and does not work "
                f"together with this version: it speaks {facts.speaks or 'nothing known'}, this one {SPEAKS}.",
                hint="Stop it first (end its `mooring up`), then start this version; or use that version.",
            )


def mark(run_dir: Path) -> str:
    """The folder's own name for itself, made by whoever comes first."""
    file = run_dir / _MARK
    if not file.exists():
        draft = run_dir / f"{_MARK}-{secrets.token_hex(8)}"
        draft.write_text(secrets.token_hex(6))
        try:
            os.link(draft, file)  # fails if another process was faster
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return file.read_text().strip()


def read_facts(path: Path) -> ProcessFacts | None:
    """What the file's owner says of itself; None when there is nothing to read (yet)."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ProcessFacts)
    except (OSError, msgspec.DecodeError):
        return None


def probe(path: Path) -> State:
    """Whether the owner of a lock file lives. Not proof for a take-over: `if_dead` holds the lock meanwhile."""
    return if_dead(path, lambda: None)


def if_dead(path: Path, record: Callable[[], None], *, removes: bool = False) -> State:
    """If the owner is dead, call `record` while holding its lock; `removes` then the files of the process, still held.

    A missing file is a dead owner, so nothing may be removed before the death is on record.

    `unknown`: the path is not of this machine's making, or cannot be read; only the lease's time-out helps then.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        if not _is_ours(path):
            return "unknown"
        record()  # it ended, or its death is on record; the file is never made again
        return "dead"
    except OSError:
        return "unknown"
    try:
        if not _try_lock(descriptor):
            return "alive"
        record()
        if removes:
            _remove(path, descriptor)
        return "dead"
    finally:
        os.close(descriptor)


def _remove(path: Path, descriptor: int) -> None:
    """What carries the process's id in its name, its lock file last; nothing that is another file by now."""
    try:
        if not os.path.samestat(os.fstat(descriptor), path.stat()):
            return
    except FileNotFoundError:
        return
    for own in [*path.parent.glob(f"*-{process_of(path)}.*"), path]:
        own.unlink(missing_ok=True)


def process_of(path: Path) -> str:
    """The id of the process whose file this is, `proc_…`."""
    return path.name.partition(".")[0].rpartition("-")[2]


def _is_ours(path: Path) -> bool:
    try:
        return path.name.startswith((path.parent / _MARK).read_text().strip() + "-")
    except OSError:
        return False


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
