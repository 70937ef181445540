"""MOORING_HOME: where the data of one installation lives, and the secrets that its processes share.

`MOORING_HOME` names it; else `.mooring/` is looked for upward from the working directory, like `.git`, if the user
owns it; else it is made in the working directory.
"""

import os
import secrets
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import Self

import msgspec

from mooring.core.errors import ConfigError

_SECRET_BYTES = 32


class _Version(msgspec.Struct, frozen=True):
    version: int
    secret: bytes


class Home:
    """A folder that only its owner may read, made at first use."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.run_dir.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise ConfigError(
                f"{self.path} cannot be made: {error.strerror}.", hint="Set MOORING_HOME to a folder that you own."
            ) from error
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise ConfigError(f"{self.path} cannot be written.", hint="Set MOORING_HOME to a folder that you own.")
        self._ignore_in_git()

    @classmethod
    def locate(cls, start: Path | None = None) -> Self:
        """The home that a program started in `start` (the working directory) uses; made if there is none."""
        return cls(find_home(start))

    @property
    def run_dir(self) -> Path:
        """One file per process: its lock and address."""
        return self.path / "run"

    @property
    def blobs_dir(self) -> Path:
        return self.path / "blobs"

    @property
    def database_url(self) -> str:
        """The embedded default."""
        return f"sqlite:///{self.path / 'mooring.db'}"

    @property
    def traces_path(self) -> Path:
        """The spans, where the journal is SQLite."""
        return self.path / "traces.db"

    @property
    def projector_lock(self) -> Path:
        """Held by the process that keeps the spans up with the journal."""
        return self.run_dir / "projector.lock"

    @property
    def ballast_path(self) -> Path:
        return self.path / "ballast"

    @cached_property
    def secrets(self) -> "Secrets":
        """The versions of the secret, made at first use."""
        return Secrets(self.path / "secret.key")

    def _ignore_in_git(self) -> None:
        """The home holds secrets and lies in the user's working copy: it ignores itself."""
        file = self.path / ".gitignore"
        if not file.exists():
            file.write_text("*\n")


def find_home(start: Path | None = None) -> Path:
    """Where the home is, or would be made.

    `mooring.client.discovery` finds it by the same rule without this room, which a client does not have.
    """
    if named := os.environ.get("MOORING_HOME"):
        return Path(named).resolve()
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        home = folder / ".mooring"
        if home.is_dir() and home.stat().st_uid == os.getuid():
            return home
    return start / ".mooring"


class Secrets:
    """`secret.key`, mode 0600: one JSON line per version, oldest first. A version is kept until its keys expire."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._versions: dict[int, bytes] = {}
        self._read() if path.exists() else self._make()

    @property
    def current(self) -> bytes:
        """The newest secret: what new keys are bound with."""
        return self._versions[self.version]

    @property
    def version(self) -> int:
        """The number of the newest secret."""
        return max(self._versions)

    @property
    def versions(self) -> tuple[int, ...]:
        return tuple(sorted(self._versions))

    def newest_first(self) -> tuple[bytes, ...]:
        """Every secret that is kept."""
        return tuple(self._versions[version] for version in sorted(self._versions, reverse=True))

    def get(self, version: int) -> bytes:
        """The secret of a version, also one that another process has added since.

        Raises:
            ConfigError: it was dropped, or this home never had it.
        """
        if version not in self._versions:
            self._read()
        if version not in self._versions:
            raise ConfigError(
                f"Version {version} of the secret is not in {self._path}.",
                hint="Copy secret.key from the home that made the keys: all replicas share it.",
            )
        return self._versions[version]

    def rotate(self) -> int:
        """Add a version; the number of it. Run by one operator at a time."""
        self._read()
        version = self.version + 1
        self._replace({**self._versions, version: secrets.token_bytes(_SECRET_BYTES)})
        return version

    @classmethod
    def renewed(cls, path: Path, *, after: int) -> Self:
        """A secret for a home whose own is gone: a version of its own, so that nothing of before is taken for its."""
        _write(path, {after + 1: secrets.token_bytes(_SECRET_BYTES)})
        return cls(path)

    def renew(self, *, without: Collection[int], after: int) -> int:
        """Add a version after all that there ever were, without those that are none of this home's; its number."""
        self._read()
        kept = {number: secret for number, secret in self._versions.items() if number not in without}
        version = max(after, *self._versions) + 1
        self._replace({**kept, version: secrets.token_bytes(_SECRET_BYTES)})
        return version

    def drop(self, version: int) -> None:
        """Forget a version whose keys have all expired.

        Raises:
            ConfigError: it is the newest one.
        """
        self._read()
        if version == self.version:
            raise ConfigError("The newest secret is in use.", hint="Rotate first, then drop the old version.")
        self._replace({known: secret for known, secret in self._versions.items() if known != version})

    def _read(self) -> None:
        mode = self._path.stat().st_mode & 0o777
        if mode & 0o077:
            raise ConfigError(
                f"{self._path} can be read by others (mode {mode:o}).", hint=f"Run: chmod 600 {self._path}"
            )
        try:
            lines = msgspec.json.Decoder(_Version).decode_lines(self._path.read_bytes())
        except msgspec.DecodeError as error:
            raise ConfigError(f"{self._path} is damaged: {error}.", hint="Restore it from a backup.") from error
        if not lines:
            raise ConfigError(
                f"{self._path} is empty.", hint="Restore it from a backup, or remove it to void all keys."
            )
        self._versions = {line.version: line.secret for line in lines}

    def _make(self) -> None:
        draft = self._draft({1: secrets.token_bytes(_SECRET_BYTES)})
        try:
            os.link(draft, self._path)  # fails if another process was faster: its secret is the one
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        self._read()

    def _replace(self, versions: dict[int, bytes]) -> None:
        self._draft(versions).replace(self._path)
        self._read()

    def _draft(self, versions: dict[int, bytes]) -> Path:
        draft = self._path.with_name(f"{self._path.name}-{secrets.token_hex(8)}")
        _write(draft, versions)
        return draft


def _write(path: Path, versions: dict[int, bytes]) -> None:
    """A new file, for its owner's eyes only, on the disk before it is used."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(
            msgspec.json.Encoder().encode_lines([_Version(number, secret) for number, secret in versions.items()])
        )
        file.flush()
        os.fsync(file.fileno())
