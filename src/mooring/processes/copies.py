"""Backup and restore of a whole home: what `mooring backup` and `mooring restore` do.

A backup reads one snapshot while every process works on. A restored home is a copy, and two homes must not do the same
work: what was in flight is uncertain in it, and its unfinished runs are parked until somebody says otherwise.
"""

import asyncio
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import mooring
from mooring.config import Config
from mooring.core.clock import SystemClock
from mooring.core.errors import InvalidRequest, StorageError
from mooring.core.ids import new_id
from mooring.core.registry import late
from mooring.journal.journal import Journal
from mooring.journal.repository import checks
from mooring.journal.upkeep import Restored, blobs_of
from mooring.storage import Blobs, Database, Home
from mooring.storage.backup import Archive, Manifest, back_up, default_name
from mooring.storage.home import Secrets
from mooring.storage.liveness import probe
from mooring.storage.snapshot import damage, insert, is_empty
from mooring.storage.transaction import Tx
from mooring.wiring import build

STAGING = "restoring"
NOT_DATA = {".gitignore", "run", "port", "ballast", STAGING}  # of a home in which nothing has been done yet
Say = Callable[[str], None]


class Restoration(NamedTuple):
    """What was restored, what it set aside, and what is wrong with it (nothing, where it was not looked for)."""

    manifest: Manifest
    rest: Restored
    faults: list[str]
    collections: int
    aside: Path | None


def backup(config: Config, home: Home, target: Path, *, with_secrets: bool, say: Say) -> tuple[Path, Manifest]:
    """A backup in `target`: a new file with a suffix, else a folder, made if need be, that gets one named by the time.

    Raises:
        InvalidRequest: the file exists.
        StorageError: the journal cannot be read, or the target's disk is full.
    """
    know_every_table()
    if not target.suffix and not target.exists():
        target.mkdir(mode=0o700, parents=True)
    file = target / default_name(datetime.now(UTC)) if target.is_dir() else target
    manifest = back_up(
        config.database_url() or home.database_url,
        home,
        file,
        version=version("mooring"),
        with_secrets=with_secrets,
        blobs_of=blobs_of,
        facts=checks.totals,
        say=say,
    )
    return file, manifest


def restore(
    config: Config, file: Path, path: Path, *, is_forced: bool, resumes_runs: bool, verifies: bool, say: Say
) -> Restoration:
    """A home at `path` from a backup. Nothing of it appears there before all of it is read and found undamaged.

    Raises:
        InvalidRequest: the file is no whole backup; the home or the database holds something; a process runs on it.
        StorageError: a part of the backup is damaged.
    """
    know_every_table()
    with Archive(file) as archive:
        aside = _make_room(path, is_forced=is_forced)
        home = Home(path)
        with _staging(home) as staged:
            configured = config.database_url()
            url = configured or f"sqlite:///{staged / 'mooring.db'}"
            _restore_files(archive, staged)
            rest, faults = _restore_rows(archive, url, staged, resumes_runs=resumes_runs, verifies=verifies, say=say)
            for name in ("blobs", "secret.key", "mooring.db"):  # the journal last: without it there is no home
                if (staged / name).exists():
                    (staged / name).rename(home.path / name)
    collections = asyncio.run(_rebuild(config, home)) if verifies else 0
    return Restoration(archive.manifest, rest, faults, collections, aside)


def know_every_table() -> None:
    """Each room defines its own; a copy must have all of them."""
    for file in Path(next(iter(mooring.__path__))).glob("*/tables.py"):
        late(f"mooring.{file.parent.name}.tables")


def _make_room(path: Path, *, is_forced: bool) -> Path | None:
    """See that the home is empty; with force what is there is moved into a folder of its own, which is answered."""
    alive = [lock.name for lock in (path / "run").glob("*.lock") if probe(lock) == "alive"]
    if alive:
        raise InvalidRequest(f"Mooring runs on {path} ({alive[0]}).", hint="Stop it first, or name another --home.")
    held = sorted(
        entry for entry in (path.iterdir() if path.is_dir() else ())
        if entry.name not in NOT_DATA and not entry.name.startswith("before-restore-")
    )  # fmt: skip
    if not held:
        return None
    if not is_forced:
        raise InvalidRequest(
            f"{path} is not empty ({held[0].name}).",
            hint="Name a new folder with --home, or add --force: what is there is moved aside, not removed.",
        )
    aside = path / f"before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
    aside.mkdir(mode=0o700)
    for entry in held:
        entry.rename(aside / entry.name)
    return aside


@contextmanager
def _staging(home: Home) -> Iterator[Path]:
    """A folder on the home's own disk, gone at the end; one that an interrupted restore left is removed."""
    staged = home.path / STAGING
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(mode=0o700)
    try:
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _restore_files(archive: Archive, staged: Path) -> None:
    blobs = staged / "blobs"
    for folder, name, data in archive.blobs():
        place = blobs / folder / name[:2] / name
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        place.write_bytes(data)
        place.chmod(0o600)
    secrets = archive.secrets()
    place = staged / "secret.key"
    if secrets is None:
        Secrets.renewed(place, after=archive.manifest.secret_version)
        return
    place.touch(mode=0o600)
    place.write_bytes(secrets)


def _restore_rows(
    archive: Archive, url: str, staged: Path, *, resumes_runs: bool, verifies: bool, say: Say
) -> tuple[Restored, list[str]]:
    database = Database.open(url, durability="power")
    try:
        clock = SystemClock()
        journal = Journal(database, Blobs(staged / "blobs"), process_id=new_id(), clock=clock, new_id=new_id)
        reason = None if resumes_runs else parked_because(archive.manifest)
        counts: dict[str, int] = {}

        def load(tx: Tx) -> Restored:
            """All of it in one transaction: a database of which this is interrupted stays empty."""
            if not is_empty(tx):
                raise InvalidRequest("The database is not empty.", hint="Restore into a new one: set [storage] url.")
            counts.clear()
            for table, columns, rows in archive.pages():
                insert(tx, table, columns, rows)
                if table not in counts:
                    say(f"{table}: {archive.manifest.rows[table]:,} rows")
                counts[table] = counts.get(table, 0) + len(rows)
            short = [name for name, count in archive.manifest.rows.items() if counts.get(name, 0) != count]
            if short:
                raise StorageError(f"{archive.path} is damaged: rows of {short[0]} are missing.")
            return journal.set_to_rest_in(tx, reason=reason)

        rest = database.write(load).result()
        return rest, asyncio.run(_faults(journal, database, archive.manifest)) if verifies else []
    finally:
        database.close()


def parked_because(manifest: Manifest) -> str:
    """Why a run of a copy does not go on by itself."""
    return (
        f"Restored from the backup of {manifest.created_at}; the run may go on in the home it came from. "
        "To let this copy go on: mooring runs resume RUN"
    )


async def _faults(journal: Journal, database: Database, manifest: Manifest) -> list[str]:
    found = [f"SQLite: {line}" for line in await database.read_async(damage)]
    found += await journal.faults()
    found += [f"the backup lacks {name}, which its home had lost" for name in manifest.missing]
    now = await database.read_async(checks.totals)
    for name in ("attempts", "settled_nanos", "held_nanos"):
        if now[name] != manifest.facts[name]:
            found.append(f"{name} of all attempts is {now[name]}, and was {manifest.facts[name]}")
    return found


async def _rebuild(config: Config, home: Home) -> int:
    """The index of documents, made again from the ledger."""
    async with build(config, home, kind="cli") as rooms:
        return await rooms.rag.rebuild()


def on_terminal() -> bool:
    """Whether somebody is watching."""
    return sys.stderr.isatty()
