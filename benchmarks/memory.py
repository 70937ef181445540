"""Idle memory of `mooring up` on an empty home: each process, by its proportional set size.

    python benchmarks/memory.py [--wait 5] [--most-mb 250]

PSS counts a page that several processes share once, split among them, so that the sum is what the machine really needs.
Linux only. Exit 1 where the sum is above `--most-mb`.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--wait", type=float, default=5.0, help="Seconds to stand idle before it is measured.")
    options.add_argument("--most-mb", type=float, default=250.0, help="Bound of the sum.")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="mooring-memory-") as home:
        for start in ("first start, which makes the database", "second start"):
            print(start)
            code = measure(home, given.wait, given.most_mb)
    return code


def measure(home: str, wait: float, most_mb: float) -> int:
    """One `up` on this home, from its start to its end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MOORING_")}
    log = Path(home, "up.log")
    with log.open("wb") as output:
        up = subprocess.Popen(
            [sys.executable, "-m", "mooring", "up"],
            env={**environment, "MOORING_HOME": f"{home}/home"},
            cwd=home,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        await_ready(up, Path(home, "home", "run"))
        time.sleep(wait)
        return show(up.pid, most_mb)
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(60)


def await_ready(up: "subprocess.Popen[bytes]", run: Path) -> None:
    """Until serve is announced and both workers are there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if up.poll() is not None:
            raise SystemExit("mooring up ended before it was ready.")
        if list(run.glob("serve-*.json")) and len(list(run.glob("*-worker-*.lock"))) >= 2:
            return
        time.sleep(0.1)
    raise SystemExit("mooring up was not ready within a minute.")


def show(supervisor: int, most_mb: float) -> int:
    total = 0.0
    print(f"{'process':24} {'pid':>8} {'PSS MB':>8} {'private MB':>11}")
    for pid in [supervisor, *children(supervisor)]:
        found = sizes(pid)
        total += found["Pss"]
        private = found["Private_Clean"] + found["Private_Dirty"]
        print(f"{name_of(pid):24} {pid:>8} {found['Pss'] / 1000:>8.1f} {private / 1000:>11.1f}")
    print(f"{'sum':24} {'':>8} {total / 1000:>8.1f}   (at most {most_mb:.0f})")
    return 0 if total / 1000 <= most_mb else 1


def children(pid: int) -> list[int]:
    """Of a process, and theirs."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *children(int(child))]
    return sorted(set(found))


def sizes(pid: int) -> dict[str, int]:
    """Kilobytes by name."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) for line in lines}


def name_of(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    place = words.index("mooring") if "mooring" in words else 0
    return words[place + 1] if len(words) > place + 1 else words[0]


if __name__ == "__main__":
    sys.exit(main())
