"""What the gateway costs: CPU per request of `mooring serve` against a bare nginx proxy, and LiteLLM, in one run.

`python benchmarks/gateway.py [--litellm] [--soak N] [--requests N] [--streams N] [--rounds N] [--pace SECONDS]`

All stand before the same upstream (`load.py`) and get the same load over 1, 32 and 128 keep-alive connections. Mooring
has all of it on: an API key, a rate limit, a budget, a route, the journal (`kill`); another contender adds the guards,
and one is the bare Python stack (uvicorn and our HTTP client, nothing between them), below which no gateway of ours can
get. `--litellm` adds the newest release of its proxy (`peer.py`). CPU is user and system time of the measured processes
alone, from `/proc`. Rounds alternate; medians and ratios are printed, because the machine's speed changes from minute
to minute. `--soak N` sends N small requests to Mooring instead and prints its memory on the way. Linux only.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import peer
from load import EVENTS, Load, Took, request_body
from peer import Contender, free_port

from mooring import config
from mooring.processes import up
from mooring.storage.home import Home
from mooring.wiring import build

HERE = Path(__file__).parent
CONNECTIONS = 32
LADDER = (1, CONNECTIONS, 128)
BARE = "bare Python stack"
LARGE_BYTES = 64 * 1024

NGINX = """\
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_body_buffer_size 1m;
    keepalive_requests 10000000;
    upstream model {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 10000000; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://model;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""

MOORING = """\
[worker]
count = 1

[gateway.limits]
requests_per_minute = 100000000
concurrent_requests = 1000

[gateway.models.fast]
targets = ["upstream/constant"]

[gateway.providers.upstream]
base_url = "http://127.0.0.1:{upstream}/v1"

[gateway.providers.upstream.prices."*"]
input_usd = "0.25"
output_usd = "2"
"""

GUARDS = """
[[guardrails.checks]]
type = "secrets_mask"

[[guardrails.checks]]
type = "size_limit"
"""


class Kind(NamedTuple):
    """One way to ask."""

    name: str
    count: int
    body: str
    is_stream: bool = False
    connections: int = CONNECTIONS


@contextlib.contextmanager
def upstream(pace_seconds: float) -> Iterator[int]:
    """The upstream's port."""
    command = [sys.executable, str(HERE / "load.py"), "upstream", str(pace_seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield int(process.stdout.readline())
        process.stdin.close()


@contextlib.contextmanager
def nginx(upstream_port: int, folder: Path) -> Iterator[Contender]:
    """A bare reverse proxy: one worker, keep-alive on both sides, no log, no buffering, so that streams stream."""
    folder.mkdir()
    folder.chmod(0o777)  # its worker is another user's where the master is root's
    port = free_port()
    path = folder / "nginx.conf"
    path.write_text(NGINX.format(folder=folder, upstream=upstream_port, port=port))
    with subprocess.Popen(["nginx", "-c", str(path), "-g", "daemon off;"], stderr=subprocess.DEVNULL) as master:
        try:
            yield Contender("nginx", port, wait_for(lambda: child_of(master.pid)), {})
        finally:
            master.terminate()


@contextlib.contextmanager
def bare(upstream_port: int) -> Iterator[Contender]:
    """The bare Python stack."""
    command = [sys.executable, str(HERE / "load.py"), "bare", str(upstream_port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Contender(BARE, int(process.stdout.readline()), process.pid, {})
        finally:
            process.terminate()


@contextlib.contextmanager
def mooring(name: str, upstream_port: int, folder: Path, more: str = "") -> Iterator[Contender]:
    """A home of its own with a key and a budget, and `serve` on it."""
    folder.mkdir()
    path = folder / "mooring.toml"
    path.write_text(MOORING.format(upstream=upstream_port) + more)
    settings, home = config.load(path), Home(folder / "home")
    key = asyncio.run(furnish(settings, home))
    house = up.start(settings, home, log=print, config_path=path, cwd=folder)
    try:
        process = house.supervisor.children[0].process
        assert process is not None
        port = int(house.endpoint.url.rpartition(":")[2])
        yield Contender(name, port, process.pid, {"authorization": f"Bearer {key}"})
    finally:
        house.stop()


async def furnish(settings: config.Config, home: Home) -> str:
    """A key, and a budget that is never reached."""
    async with build(settings, home, kind="cli") as rooms:
        await rooms.journal.put_budget("default", scope="project", subject="", window="month", cap_nanos=10**15)
        return await rooms.keys.create("default", name="benchmark", scopes=["call"])


def child_of(pid: int) -> int | None:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else None


def wait_for(look: Callable[[], int | None]) -> int:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        found = look()
        if found is not None:
            return found
        time.sleep(0.02)
    raise SystemExit("nginx did not start; see its error.log.")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all of its threads; to the nanosecond where the kernel keeps it so."""
    try:
        return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9
    except (OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(contender: Contender, kind: Kind, count: int) -> tuple[float, Took]:
    """CPU seconds per request, and how long they took."""
    load = Load(contender.port, count, kind.connections, kind.body, contender.headers, kind.is_stream)
    before = cpu_seconds(contender.pid)
    done = subprocess.run(
        [sys.executable, str(HERE / "load.py"), "client"],
        input=msgspec.json.encode(load),
        stdout=subprocess.PIPE,
        check=True,
    )
    used = cpu_seconds(contender.pid) - before
    return used / count, msgspec.json.decode(done.stdout, type=Took)


def share_of(contender: Contender, kind: Kind) -> int:
    """How many of a round's requests it gets: as many as take it about as long as the others."""
    if contender.name == "nginx" and not kind.is_stream:
        return kind.count * 4
    return max(kind.count // 16, kind.connections) if contender.name.startswith("litellm") else kind.count


def compare(contenders: list[Contender], kind: Kind, rounds: int) -> None:
    """Prints one table: the median of the rounds, and what it is of nginx's, the bare stack's and LiteLLM's."""
    costs: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    took: dict[str, list[Took]] = {contender.name: [] for contender in contenders}
    for contender in contenders:
        measure(contender, kind, kind.connections * 2)  # connections, caches, code paths
    for _ in range(rounds):
        for contender in contenders:
            cost, times = measure(contender, kind, share_of(contender, kind))
            costs[contender.name].append(cost)
            took[contender.name].append(times)
    middles = {name: statistics.median(values) for name, values in costs.items()}
    print(f"\n{kind.name}, {kind.connections} connection{'s' if kind.connections > 1 else ''}")
    for name, values in costs.items():
        ratios = f"{middles[name] / middles['nginx']:6.1f} x nginx, {middles[name] / middles[BARE]:5.1f} x bare"
        for other, middle in middles.items():
            if other.startswith("litellm") and other != name:
                ratios += f", litellm takes {middle / middles[name]:.0f} x as much"
        p50 = statistics.median(times.p50 for times in took[name])
        p99 = statistics.median(times.p99 for times in took[name])
        print(
            f"  {name:18} {middles[name] * 1e6:8.0f} µs CPU ({min(values) * 1e6:.0f} to {max(values) * 1e6:.0f})"
            f"  = {ratios}   p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms",
            flush=True,
        )


def kinds(options: argparse.Namespace) -> list[Kind]:
    small, large = request_body("fast"), request_body("fast", padding_bytes=LARGE_BYTES)
    paced = f"stream of {EVENTS} events, {options.pace * 1e3:.0f} ms apart"
    found = [
        *(Kind("small request", options.requests // (4 if n == 1 else 1), small, connections=n) for n in LADDER),
        *(Kind(f"request of {LARGE_BYTES // 1024} KiB", options.requests // 4, large, connections=n) for n in LADDER),
        Kind(f"stream of {EVENTS} events at once", options.streams, request_body("fast", is_stream=True), True),
        Kind(paced, options.streams, request_body("fast", is_stream=True, is_paced=True), True),
    ]
    return [kind for kind in found if kind.count and options.only in f"{kind.name}, {kind.connections} connections"]


def soak(contender: Contender, count: int) -> None:
    """What serve's memory is before, after each tenth, and after `count` small requests."""
    kind = Kind("soak", count // 10, request_body("fast"))
    print(f"{'requests':>9} {'RSS MB':>8}")
    print(f"{0:>9} {resident_mb(contender.pid):>8.1f}   idle", flush=True)
    for tenth in range(1, 11):
        measure(contender, kind, kind.count)
        print(f"{tenth * kind.count:>9} {resident_mb(contender.pid):>8.1f}", flush=True)


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU of the gateway against a bare proxy.")
    parser.add_argument("--requests", type=int, default=2000, help="small requests a round")
    parser.add_argument("--streams", type=int, default=200, help="streams a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pace", type=float, default=0.01, help="seconds between the events of a paced stream")
    parser.add_argument("--only", default="", help="only loads whose name holds this")
    parser.add_argument("--litellm", action="store_true", help="install LiteLLM's proxy for this run, and compare")
    parser.add_argument("--programs", type=Path, help="LiteLLM's programs, where they are installed already")
    parser.add_argument("--soak", type=int, default=0, metavar="N", help="memory over N small requests, nothing else")
    options = parser.parse_args()
    if shutil.which("nginx") is None and not options.soak:
        sys.exit("The baseline is nginx, and there is none here. Run: apt-get install nginx-light")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mooring-benchmark-")))
        folder.chmod(0o755)
        port = stack.enter_context(upstream(options.pace))
        if options.soak:
            soak(stack.enter_context(mooring("mooring", port, folder / "plain")), options.soak)
            return
        contenders = [
            stack.enter_context(nginx(port, folder / "nginx")),
            stack.enter_context(bare(port)),
            stack.enter_context(mooring("mooring", port, folder / "plain")),
            stack.enter_context(mooring("mooring + guards", port, folder / "guarded", GUARDS)),
        ]
        if options.litellm or options.programs:
            programs = options.programs or peer.environment_of(folder / "environment")
            contenders.append(stack.enter_context(peer.litellm(port, folder / "litellm", programs)))
        print(json.dumps({contender.name: contender.pid for contender in contenders}), file=sys.stderr)
        for kind in kinds(options):
            compare(contenders, kind, options.rounds)


if __name__ == "__main__":
    main()
