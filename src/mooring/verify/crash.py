"""The crash battery: kill -9 at random moments; then count what was paid twice, done twice or lost.

The double is the oracle: its meter counts model calls, its effects endpoint counts deeds. The journal must agree.
"""

import json
import os
import random
import signal
import statistics
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from mooring.processes.up import pid_of, warm_workers

from .house import House, house
from .journal_view import JournalView

APP = Path(__file__).with_name("crash_app.py")
RUN_SECONDS = 60.0
Target = Literal["worker", "serve"]


@dataclass
class CrashReport:
    """What the kills did. `orphans` are requests that the double served and whose answer the journal never got.

    Each of them must be listed as uncertain. An uncertain attempt that is no orphan never reached the double: its
    process died between the intent and the sending, which nobody but the provider can tell.
    """

    kills: int = 0
    repeated_finished: int = 0
    repeated_in_flight: int = 0
    doubled_effects: int = 0
    lost_results: int = 0
    resume_seconds: list[float] = field(default_factory=list)
    uncertain: set[str] = field(default_factory=set)
    orphans: set[str] = field(default_factory=set)
    retried: int = 0

    @property
    def holds(self) -> bool:
        bad = self.repeated_finished + self.repeated_in_flight + self.doubled_effects + self.lost_results
        return bad == 0 and self.orphans <= self.uncertain

    def lines(self) -> list[str]:
        resumed = f"{statistics.median(self.resume_seconds):.2f} s" if self.resume_seconds else "not measured"
        return [
            f"kills                              {self.kills}",
            f"model calls repeated, finished     {self.repeated_finished}",
            f"model calls repeated, in flight    {self.repeated_in_flight}",
            f"effects doubled                    {self.doubled_effects}",
            f"results lost                       {self.lost_results}",
            f"orphans of the double / listed     {len(self.orphans)} / {len(self.orphans & self.uncertain)}",
            f"listed, never reached the double   {len(self.uncertain - self.orphans)}",
            f"retried after a person said so     {self.retried}",
            f"median resume                      {resumed}",
        ]

    def facts(self) -> dict[str, Any]:
        """The same for a program."""
        return {"holds": self.holds, **asdict(self)}


def crash(
    *,
    kills: int,
    target: Target,
    seed: int,
    log: Callable[[str], None],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    database_url: str | None = None,
) -> CrashReport:
    """Kills `target` until `kills` of them hit a run in flight; then reads the oracle."""
    chance = random.Random(seed)  # noqa: S311  # moments to kill at, reproducible
    report = CrashReport()
    with house(app_path=APP, database_url=database_url) as place, JournalView(place) as journal:
        span, calls = uninterrupted(place)
        log(f"an uninterrupted run takes {span:.2f} s and {calls} model calls")
        runs = [0]
        while report.kills < kills:
            order = f"order {1000 + len(runs)}"
            runs.append(1)
            kill_one(place, journal, order, chance.uniform(0, span), target, report)
            progress(report.kills, kills)
        count(place, journal, calls, report)
    return report


def uninterrupted(place: House) -> tuple[float, int]:
    """How long one run takes when nothing is killed, and how many model calls it makes."""
    run = start_run(place, "order 999")  # the first one also loads the code
    wait_ended(place, run)
    before, began = len(place.meter()), time.monotonic()
    wait_ended(place, start_run(place, "order 1000"))
    return time.monotonic() - began, len(place.meter()) - before


def kill_one(place: House, journal: JournalView, order: str, delay: float, target: Target, report: CrashReport) -> None:
    wait_warm(place)
    run = start_run(place, order)
    time.sleep(delay)  # the random moment is the point of the battery
    pid = victim(place, run, target)
    killed_at_us = time.time_ns() // 1000
    if pid is None or get_run(place, run)["state"] not in ("queued", "running"):
        wait_ended(place, run)
        return
    os.kill(pid, signal.SIGKILL)
    report.kills += 1
    state = wait_ended(place, run)
    if state == "parked":
        retry_uncertain(place, journal, run, report)
        wait_ended(place, run)
    resumed = [event["at_us"] for event in events(place, run) if event["at_us"] > killed_at_us]
    if resumed and target == "worker":
        report.resume_seconds.append((resumed[0] - killed_at_us) / 1e6)


def retry_uncertain(place: House, journal: JournalView, run: str, report: CrashReport) -> None:
    """What an operator does with a parked run: look at the list, decide. Here: send it again, knowingly."""
    report.orphans |= orphans(place, journal)
    for call in journal.uncertain(run):
        report.uncertain |= set(call.attempts)
        report.retried += 1
        journal.resolve(call, "retry")


def victim(place: House, run: str, target: Target) -> int | None:
    """The process to kill: the run's worker, or serve."""
    if target == "serve":
        child = place.up.supervisor.children[0]
        return child.process.pid if child.process is not None else None
    return pid_of(place.home, get_run(place, run)["worker"])


def orphans(place: House, journal: JournalView) -> set[str]:
    """Attempts that the double served and the journal has no result of, while nothing is in flight."""
    known = journal.concluded_attempts()
    return {row["attempt"] for row in place.meter() if row["attempt"] not in known}


def wait_warm(place: House) -> None:
    """Until both workers take runs again: one to be killed, one to take over, as `mooring up` has them.

    Raises:
        TimeoutError: one does not come up.
    """
    deadline = time.monotonic() + RUN_SECONDS
    while warm_workers(place.home) < place.config.worker.count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"A worker did not come up within {RUN_SECONDS:.0f} s.")
        time.sleep(0.02)


def count(place: House, journal: JournalView, calls_per_run: int, report: CrashReport) -> None:
    """Asks the oracle: calls beyond those that the runs needed, deeds beyond one per order, answers missing."""
    rows = place.meter()
    report.orphans |= orphans(place, journal)
    runs = journal.runs()
    surplus = len(rows) - calls_per_run * len(runs) - len(report.orphans)
    cut = sum(not row["is_finished"] for row in rows if row["attempt"] not in report.orphans)
    report.repeated_in_flight = min(cut, max(surplus, 0))
    report.repeated_finished = max(surplus, 0) - report.repeated_in_flight
    deeds = Counter((effect["name"], effect["body"]) for effect in place.effects())
    report.doubled_effects = sum(times - 1 for times in deeds.values())
    report.lost_results = sum(run.state != "completed" or not run.output for run in runs)
    report.lost_results += max(0, 2 * len(runs) - len(deeds))


def start_run(place: House, order: str) -> str:
    body = json.dumps({"agent": "crash", "input": f"Please refund {order}, it came broken."}).encode()
    run: str = call(place, "POST", "/v1/runs", body)["id"]
    return run


def wait_ended(place: House, run: str) -> str:
    """The run's state once it has ended or is parked.

    Raises:
        TimeoutError: it did neither.
    """
    deadline = time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        state: str = get_run(place, run)["state"]
        if state in ("completed", "failed", "cancelled", "parked"):
            return state
        time.sleep(0.02)
    raise TimeoutError(f"{run} did not end within {RUN_SECONDS:.0f} s: {get_run(place, run)}")


def get_run(place: House, run: str) -> dict[str, Any]:
    found: dict[str, Any] = call(place, "GET", f"/v1/runs/{run}")
    return found


def events(place: House, run: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = call(place, "GET", f"/v1/runs/{run}/events")["data"]
    return found


def call(place: House, method: str, path: str, body: bytes | None = None) -> Any:
    """One request to serve; waits while it is being started again."""
    deadline = time.monotonic() + RUN_SECONDS
    while True:
        request = urllib.request.Request(  # noqa: S310  # our own serve, on loopback
            place.url + path,
            data=body,
            method=method,
            headers={"Authorization": f"Bearer {place.key}", "Content-Type": "application/json"},
        )
        if body is not None:
            request.add_header("Idempotency-Key", f"verify-{hash(body) & 0xFFFFFFFFFFFF:x}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return json.load(answer)
        except (ConnectionError, urllib.error.URLError, TimeoutError) as error:
            is_final = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if is_final or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
