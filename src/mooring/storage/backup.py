"""A backup: one file that holds a snapshot of the journal, the blobs that it names, and the secrets.

It is a tar archive, so that it can be looked into without Mooring:

    tables/NAME/000001.msgpack.zst   pages of rows, as arrays in the order of `columns` in the manifest
    blobs/PROJECT/DIGEST             as in the home; the name is the SHA-256
    secret.key                       unless it was left out
    manifest.json                    last: what is in the file, with a SHA-256 of each part

A file without a manifest is not whole, and there is never one: it is written beside its place, synced, then renamed.
"""

import errno
import hashlib
import io
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import msgspec

from mooring.core.errors import ConfigError, InvalidRequest, StorageError, StorageFull

from . import snapshot
from .blobs import BlobRef, project_folder
from .compression import compress_small, decompress
from .home import Home
from .liveness import FileLock
from .schema_version import HEAD
from .snapshot import Row
from .transaction import Tx

FORMAT = 1
MANIFEST = "manifest.json"
SECRETS = "secret.key"
SUFFIX = ".mooring"
LOCK = "backup.lock"
LEFT_OUT = ("index.db", "traces.db")  # both are made again from the journal
_PAGE = re.compile(r"tables/([a-z_]+)/\d{6}\.msgpack\.zst")
_BLOB = re.compile(r"blobs/([0-9a-f]{32})/([0-9a-f]{64})")


class Part(msgspec.Struct, frozen=True):
    """One member of the archive."""

    sha256: str
    size_bytes: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds. `missing` are blobs that the journal names and the home had not."""

    format: int
    version: str
    schema: str
    database: str
    created_at: str
    rows: dict[str, int]
    columns: dict[str, list[str]]
    blobs: int
    blob_bytes: int
    missing: list[str]
    facts: dict[str, int]
    secret_version: int
    has_secrets: bool
    left_out: tuple[str, ...]
    parts: dict[str, Part]


BlobsOf = Callable[[list[str]], Callable[[Row], Iterator[BlobRef]] | None]
Say = Callable[[str], None]


class Writer:
    """Members of an archive, in order, with their hashes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._tar = tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - closed by `close`
        self._hours = int(datetime.now(UTC).timestamp())
        self.parts: dict[str, Part] = {}

    def add(self, name: str, data: bytes, *, is_listed: bool = True) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.mtime = len(data), 0o600, self._hours
        self._tar.addfile(entry, io.BytesIO(data))
        self._tar.members.clear()  # type: ignore[attr-defined]  # tarfile remembers each member, for nobody here
        if is_listed:
            self.parts[name] = Part(hashlib.sha256(data).hexdigest(), len(data))

    def close(self) -> None:
        self._tar.close()


def default_name(now: datetime) -> str:
    """The name of a backup in a folder."""
    return f"mooring-{now:%Y%m%dT%H%M%SZ}{SUFFIX}"


def back_up(
    url: str,
    home: Home,
    target: Path,
    *,
    version: str,
    with_secrets: bool,
    blobs_of: BlobsOf,
    facts: Callable[[Tx], dict[str, int]],
    say: Say = lambda line: None,
) -> Manifest:
    """Write a backup of a home while its processes work; `target` is a new file. `facts` are sums to compare later.

    Raises:
        InvalidRequest: the file exists, or its folder does not.
        StorageFull: the disk of the target is full; nothing is left there.
        StorageError: another backup is under way, or the journal cannot be read.
    """
    secret_version = home.secrets.version  # made now, where the home has never needed one
    with _exclusive(home), snapshot.snapshot(url) as tx, _whole(target) as file:
        archive = Writer(file)
        rows, blobs = _add_tables(archive, tx, blobs_of, say)
        count, size, missing = _add_blobs(archive, home, blobs)
        if with_secrets:
            archive.add(SECRETS, (home.path / SECRETS).read_bytes())
        manifest = Manifest(
            format=FORMAT,
            version=version,
            schema=HEAD,
            database=tx.dialect,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            rows=rows,
            columns={str(table.name): snapshot.columns_of(table) for table in snapshot.tables()},
            blobs=count,
            blob_bytes=size,
            missing=missing,
            facts=facts(tx),
            secret_version=secret_version,
            has_secrets=with_secrets,
            left_out=LEFT_OUT,
            parts=archive.parts,
        )
        archive.add(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1), is_listed=False)
        archive.close()
        return manifest


def _add_tables(archive: Writer, tx: Tx, blobs_of: BlobsOf, say: Say) -> tuple[dict[str, int], set[BlobRef]]:
    counts: dict[str, int] = {}
    blobs: set[BlobRef] = set()
    for table in snapshot.tables():
        columns, name = snapshot.columns_of(table), str(table.name)
        counts[name], find = 0, blobs_of(columns)
        for number, page in enumerate(snapshot.pages(tx, table), 1):
            archive.add(f"tables/{name}/{number:06}.msgpack.zst", compress_small(msgspec.msgpack.encode(page)))
            counts[name] += len(page)
            if find is not None:
                blobs.update(blob for row in page for blob in find(row))
        say(f"{name}: {counts[name]:,} rows")
    return counts, blobs


def _add_blobs(archive: Writer, home: Home, blobs: set[BlobRef]) -> tuple[int, int, list[str]]:
    count, size, missing = 0, 0, []
    for blob in sorted(blobs):
        name = blob.digest.hex()
        folder = project_folder(blob.project_id)
        try:
            data = (home.blobs_dir / folder / name[:2] / name).read_bytes()
        except FileNotFoundError:
            missing.append(f"blobs/{folder}/{name}")
            continue
        archive.add(f"blobs/{folder}/{name}", data, is_listed=False)
        count, size = count + 1, size + len(data)
    return count, size, missing


@contextmanager
def _exclusive(home: Home) -> Iterator[None]:
    """One backup at a time, and no blob is removed while it runs (see `may_remove_blobs`)."""
    lock = FileLock.acquire(home.run_dir / LOCK)
    if lock is None:
        raise StorageError("Another backup of this home is under way.", hint="Wait for it to end.")
    try:
        yield
    finally:
        lock.release()


@contextmanager
def may_remove_blobs(home_run_dir: Path) -> Iterator[bool]:
    """Whether blobs may be removed now: a backup that is under way may still have to read them."""
    lock = FileLock.acquire(home_run_dir / LOCK)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.release()


@contextmanager
def _whole(target: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name when it is whole and on the disk, and never before."""
    if target.exists():
        raise InvalidRequest(f"{target} exists.", hint="Name another file, or a folder.")
    draft = target.with_name(f".{target.name}.partial")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InvalidRequest(f"{draft} cannot be written: {error.strerror}.", hint="Name another folder.") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, target)  # refuses a file that came meanwhile
        draft.unlink()
        _sync_folder(target.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageFull(
                f"The disk of {target.parent} is full: no backup was made.", hint="Free space there, or name another."
            ) from error
        raise StorageError(f"No backup was made: {error.filename or target}: {error.strerror}.") from error
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Archive:
    """A backup that is read: every byte is compared with the manifest on its way."""

    def __init__(self, path: Path) -> None:
        """Open it and read its manifest.

        Raises:
            InvalidRequest: it is no backup, or not whole.
            ConfigError: a newer version made it.
        """
        self.path = path
        try:
            self._tar = tarfile.open(path, "r:")  # noqa: SIM115 - closed by `__exit__`
        except (tarfile.TarError, OSError) as error:
            raise InvalidRequest(f"{path} is not a backup: {error}.") from error
        try:
            self.manifest = self._read_manifest()
        except BaseException:
            self._tar.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tar.close()

    def _read_manifest(self) -> Manifest:
        try:
            data = self._read(self._tar.getmember(MANIFEST))
            raw = msgspec.json.decode(data)
            if isinstance(raw, dict) and raw.get("format", 0) > FORMAT:
                raise ConfigError(f"{self.path} was made by Mooring {raw.get('version')}, which is newer than this.")
            return msgspec.convert(raw, Manifest)
        except (KeyError, tarfile.TarError, msgspec.MsgspecError, OSError, EOFError) as error:
            raise InvalidRequest(
                f"{self.path} is not whole: it has no manifest.", hint="Take another backup."
            ) from error

    def pages(self) -> Iterator[tuple[str, list[str], list[Row]]]:
        """Every page: its table, its columns, its rows.

        Raises:
            StorageError: a page is damaged, or one is missing.
        """
        left = {name for name in self.manifest.parts if _PAGE.fullmatch(name)}
        for member in self._tar:
            found = _PAGE.fullmatch(member.name)
            if found is None:
                continue
            left.discard(member.name)
            data = self._checked(member)
            rows: list[Row] = msgspec.msgpack.decode(decompress(data))
            yield found[1], self.manifest.columns[found[1]], rows
        if left:
            raise _damaged(self.path, sorted(left)[0])

    def blobs(self) -> Iterator[tuple[str, str, bytes]]:
        """Every blob: its project's folder, its digest in hex, its bytes.

        Raises:
            StorageError: one is damaged, or some are missing.
        """
        count = 0
        for member in self._tar:
            found = _BLOB.fullmatch(member.name)
            if found is None:
                continue
            data = self._read(member)
            if hashlib.sha256(data).hexdigest() != found[2]:
                raise _damaged(self.path, member.name)
            count += 1
            yield found[1], found[2], data
        if count != self.manifest.blobs:
            raise _damaged(self.path, f"{self.manifest.blobs - count} blobs")

    def secrets(self) -> bytes | None:
        """`secret.key`, if it is in the file."""
        return self._checked(self._tar.getmember(SECRETS)) if self.manifest.has_secrets else None

    def _checked(self, member: tarfile.TarInfo) -> bytes:
        part = self.manifest.parts.get(member.name)
        data = self._read(member)
        if part is None or hashlib.sha256(data).hexdigest() != part.sha256:
            raise _damaged(self.path, member.name)
        return data

    def _read(self, member: tarfile.TarInfo) -> bytes:
        with suppress(tarfile.TarError, OSError):
            file: Any = self._tar.extractfile(member)
            if file is not None:
                data: bytes = file.read()
                if len(data) == member.size:
                    return data
        raise _damaged(self.path, member.name)


def _damaged(path: Path, what: str) -> StorageError:
    return StorageError(f"{path} is damaged: {what} is not what was written.", hint="Restore another backup.")
