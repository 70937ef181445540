"""What `mooring doctor` looks at: one function per subject, each answers lines that say how it is and what to do.

It writes nothing but its own lock, starts nothing, and leaves the machine only when it is asked to (`reach`).
"""

import os
import platform
import shutil
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from mooring.config import mistakes
from mooring.core.errors import MooringError
from mooring.gateway.discovery import keyed_vendors
from mooring.gateway.prints import lost
from mooring.gateway.provider import registry as vendors
from mooring.net import HttpClient, Request
from mooring.net.deadlines import Deadlines
from mooring.net.proxy import from_environment
from mooring.storage import sqlite
from mooring.storage.liveness import probe, read_facts
from mooring.storage.schema_version import HEAD
from mooring.wiring import Server

Status = Literal["ok", "warn", "fail"]
MB = 1e6
REACH = Deadlines(connect_seconds=3.0, first_byte_seconds=5.0, idle_seconds=3.0, total_seconds=8.0)
REACH_BYTES = 4 * 1024 * 1024
SKEW_WARN_SECONDS = 5.0  # signed requests and key expiries bear this much
FREE_FAIL_BYTES, FREE_WARN_BYTES = 256 * MB, 2_000 * MB
WAL_WARN_BYTES = 512 * MB  # it is cut back to 64 MB when no reader is behind
OVERDUE_US = 60_000_000
BACKLOG_US = 300_000_000
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One finding. `do` is what to do about it."""

    subject: str
    status: Status
    text: str
    do: str | None = None


async def examine(rooms: Server, *, reach: bool) -> list[Line]:
    """Every finding, in the order in which a reader wants them."""
    lines = [*versions(rooms), *settings(rooms), *processes(rooms), *footprint(rooms), *disk(rooms)]
    lines += [*await secrets(rooms), *await journal(rooms)]
    lines += [*await clock(rooms), *network(rooms), *await hosts(rooms), *await targets(rooms, reach=reach)]
    return lines


def versions(rooms: Server) -> Iterator[Line]:
    """Ours, Python's, the database's."""
    library = sqlite.module()
    dialect = "PostgreSQL" if rooms.database.dialect == "postgresql" else f"SQLite {library.sqlite_version}"
    yield Line(
        "versions",
        "ok",
        f"Mooring {rooms.version}, Python {platform.python_version()}, {dialect}, schema {HEAD}, {platform.machine()}",
    )


def settings(rooms: Server) -> Iterator[Line]:
    """What the configuration names and is not there: keys, files, targets."""
    for mistake in mistakes(rooms.config):
        yield Line("config", "fail", mistake)


def processes(rooms: Server) -> Iterator[Line]:
    """Who runs on this home, with how much memory; and locks that the dead left behind."""
    total, dead = 0.0, 0
    for path in sorted(rooms.home.run_dir.glob("*.lock")):
        facts = read_facts(path)
        if facts is None or facts.pid == os.getpid():
            continue
        if probe(path) != "alive":
            dead += 1
            continue
        memory = resident_bytes(facts.pid)
        total += memory or 0
        shown = f", {memory / MB:.0f} MB" if memory else ""
        yield Line("processes", "ok", f"{facts.kind} {facts.version} (pid {facts.pid}){shown}")
    if total:
        yield Line("memory", "ok", f"{total / MB:.0f} MB in all, pages that processes share counted once for each")
    if dead:
        yield Line(
            "processes",
            "warn",
            f"{dead} lock files of processes that are dead",
            "Nothing, if Mooring is to start again: the next process buries them and lists what was in flight.",
        )


def resident_bytes(pid: int) -> int | None:
    """Resident memory of a process; None where the system does not tell by /proc."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def footprint(rooms: Server) -> Iterator[Line]:
    """The home's parts by their size on disk."""
    parts = {
        entry.name: size_of(entry) for entry in rooms.home.path.iterdir() if entry.name not in (".gitignore", "run")
    }
    shown = ", ".join(
        f"{name} {size / MB:.1f} MB" for name, size in sorted(parts.items(), key=lambda one: -one[1]) if size >= MB / 20
    )
    yield Line("footprint", "ok", f"{sum(parts.values()) / MB:.1f} MB in {rooms.home.path}: {shown}")
    log = parts.get("mooring.db-wal", 0)
    if log > WAL_WARN_BYTES:
        yield Line(
            "write-ahead log",
            "warn",
            f"{log / MB:.0f} MB: some reader has held it back",
            "Look for a backup or another program that keeps mooring.db open; it is cut back once they end.",
        )


def size_of(path: Path) -> int:
    """Bytes on disk below a path; what vanishes meanwhile counts nothing."""
    files = path.rglob("*") if path.is_dir() else [path]
    total = 0
    for file in files:
        try:
            facts = file.lstat()
        except OSError:
            continue
        total += facts.st_blocks * 512 if not file.is_dir() else 0
    return total


def disk(rooms: Server) -> Iterator[Line]:
    """Free space, and the ballast that is freed when there is none."""
    usage = shutil.disk_usage(rooms.home.path)
    text = f"{usage.free / 1e9:.1f} GB of {usage.total / 1e9:.1f} GB free"
    if usage.free < FREE_FAIL_BYTES:
        yield Line("disk", "fail", text, "Free space now: a full disk refuses new calls with 503.")
    elif usage.free < FREE_WARN_BYTES:
        yield Line("disk", "warn", text, "See what takes it: mooring doctor --sizes; [retention] frees it by itself.")
    else:
        yield Line("disk", "ok", text)
    ballast = rooms.home.ballast_path
    if not ballast.exists():
        yield Line(
            "ballast",
            "warn",
            "there is none: the disk was full, and what is in flight has used it",
            "Free space; it is taken again by itself, and new calls are let in.",
        )


async def secrets(rooms: Server) -> list[Line]:
    """Nobody else may read the secret or the home; and it must be the one of the database."""
    strangers = await rooms.keys.prints.strangers()
    if not strangers:
        kept = rooms.home.secrets
        return [*permissions(rooms), Line("secret", "ok", f"version {kept.version}, {len(kept.versions)} kept")]
    error = lost(strangers)
    return [*permissions(rooms), Line("secret", "fail", error.message, error.hint)]


def permissions(rooms: Server) -> Iterator[Line]:
    """Who may read the secret and the home."""
    for path in (rooms.home.path / "secret.key", rooms.home.path):
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            yield Line(
                "permissions",
                "fail" if path.is_file() else "warn",
                f"{path} can be read by others (mode {mode:o})",
                f"chmod {'600' if path.is_file() else '700'} {path}",
            )


async def journal(rooms: Server) -> list[Line]:
    """What waits for a person or a process."""
    found = await rooms.journal.backlog(overdue_us=OVERDUE_US)
    lines = [
        Line("journal", "ok", f"{found.calls_at_most:,} calls at most, {found.open_runs} runs under way or waiting")
    ]
    if found.uncertain:
        lines.append(
            Line("uncertain", "warn", f"{found.uncertain} calls of which nobody can know", "mooring runs uncertain")
        )
    if found.unsettled:
        lines.append(
            Line(
                "held",
                "warn",
                f"{found.unsettled} attempts hold their maximum because their cost is not known",
                "mooring cost reconcile EXPORT, with the provider's export",
            )
        )
    if found.overdue:
        lines.append(
            Line("queue", "warn", f"{found.overdue} runs have waited for a worker for over a minute", "mooring up")
        )
    if found.outbox_age_us > BACKLOG_US:
        lines.append(
            Line(
                "outbox",
                "warn",
                f"{found.outbox} facts wait for the traces, the oldest for {found.outbox_age_us // 60_000_000} minutes",
                "Start Mooring: its processes apply them.",
            )
        )
    return lines


async def clock(rooms: Server) -> list[Line]:
    """Wall time must not run back: ids, keys and budgets' windows go by it."""
    newest = await rooms.journal.newest_at_us()
    behind = (newest - rooms.clock.now_us()) / 1e6
    if behind > SKEW_WARN_SECONDS:
        return [
            Line(
                "clock",
                "fail",
                f"the journal's newest row is {behind:.0f} s in the future: the clock went back",
                "Set the clock (chrony, systemd-timesyncd); budgets' windows and keys' lifetimes go by it.",
            )
        ]
    return [Line("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))]


def network(rooms: Server) -> Iterator[Line]:
    """What stands between this machine and its vendors: proxies, authorities, client certificates."""
    proxies, config = from_environment(os.environ), rooms.config.gateway
    by_proxy: dict[str, list[str]] = {}
    for scheme, proxy in proxies.by_scheme.items():
        login = " with a user and a password" if proxy.authorization is not None else ""
        by_proxy.setdefault(f"{proxy}{login}", []).append(scheme)
    without = f", but not {', '.join(proxies.without)}" if proxies.without else ""
    for shown, schemes in by_proxy.items():
        yield Line("proxy", "ok", f"{' and '.join(schemes)} goes through {shown}{without}")
    if not by_proxy:
        yield Line("proxy", "ok", "none: neither HTTPS_PROXY nor HTTP_PROXY is set")
    if config.ca_bundle is not None:
        yield Line("authorities", "ok", f"the system's, and those of {config.ca_bundle}")
    for name, provider in config.providers.items():
        if provider.ca_bundle is not None:
            yield Line("authorities", "ok", f"{name}: those of {provider.ca_bundle} too")
        if provider.client_certificate is not None:
            yield Line("certificate", "ok", f"{name} is shown {provider.client_certificate}")


async def hosts(rooms: Server) -> list[Line]:
    """Every host that this home talks to, by its configuration, and by what it has sent."""
    by_host: dict[str, list[str]] = {}
    for name, url in addresses(rooms).items():
        by_host.setdefault(urlsplit(url).hostname or url, []).append(name)
    lines = [Line("hosts", "ok", f"{host} ({', '.join(sorted(names))})") for host, names in sorted(by_host.items())]
    known = addresses(rooms)
    sent = {target.partition("/")[0] for target in await rooms.journal.recent_targets("default")}
    strange = sorted(name for name in sent - known.keys() - {"tool", "local"} if name)
    if strange:
        lines.append(Line("hosts", "ok", f"asked before, not configured (any more): {', '.join(strange)}"))
    return lines or [Line("hosts", "ok", "none: no provider is configured, and no vendor's key is in the environment")]


def addresses(rooms: Server) -> dict[str, str]:
    """Providers by name, and where each one's API begins."""
    found = {
        name: vendors.get(name).base_url or "" for name in keyed_vendors(os.environ) if rooms.config.gateway.discover
    }
    for name, provider in rooms.config.gateway.providers.items():
        found[name] = provider.base_url or vendors.get(provider.type).base_url or ""
    return {name: url for name, url in found.items() if url}


async def targets(rooms: Server, *, reach: bool) -> list[Line]:
    """Whether each target answers; beyond this machine only if asked to."""
    lines = []
    for name, url in sorted(addresses(rooms).items()):
        if reach or urlsplit(url).hostname in LOOPBACK:
            lines += await _reach(rooms.http, name, url)
    if not reach and any(urlsplit(url).hostname not in LOOPBACK for url in addresses(rooms).values()):
        lines.append(Line("reach", "ok", "targets beyond this machine were not asked (--reach asks them)"))
    return lines


async def _reach(http: HttpClient, name: str, url: str) -> list[Line]:
    """A question for the models, without a key: any answer of HTTP means that the address is right and alive."""
    started, asked_at = time.monotonic(), time.time()
    try:
        async with await http.send(Request("GET", f"{url.rstrip('/')}/models"), deadlines=REACH) as response:
            status, date = response.status, response.headers.get("date")
    except MooringError as error:
        return [Line("reach", "fail", f"{name}: {error.message}", f"Check {url}, the network, and [gateway] settings.")]
    took = (time.monotonic() - started) * 1000
    lines = [Line("reach", "ok", f"{name} answers {status} in {took:.0f} ms ({url})")]
    if date and abs(skew := _skew(date, asked_at)) > SKEW_WARN_SECONDS:
        lines.append(
            Line(
                "clock", "warn", f"{abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} {name}'s", "Set the clock."
            )
        )
    return lines


def _skew(date: str, asked_at: float) -> float:
    try:
        return parsedate_to_datetime(date).timestamp() - asked_at
    except ValueError:
        return 0.0
