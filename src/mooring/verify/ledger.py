"""The ledger battery: many clients at once, some hang up, serve is killed; the bill must stay within its bounds.

At every sample: settled + held ≤ cap, and settled ≤ metered ≤ settled + held. After the double's export was reconciled:
settled = metered to the nano-dollar, nothing held, and what still fits the budget is not refused.
"""

import asyncio
import os
import random
import signal
import time
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from mooring.core.errors import MooringError, UpstreamError
from mooring.core.money import show_usd
from mooring.gateway.reconcile import parse_csv
from mooring.net import Deadlines, EgressPolicy, HttpClient, Request
from mooring.processes.up import is_ready

from .house import House, get_json, house
from .journal_view import PROJECT, JournalView

SAMPLE_SECONDS = 0.05
KILL_EVERY_SECONDS = 1.5
DEADLINES = Deadlines(connect_seconds=5, first_byte_seconds=30, idle_seconds=30, total_seconds=60)


@dataclass
class LedgerReport:
    """What was seen. `violations` are sentences; there must be none."""

    requests: int = 0
    answered: int = 0
    refused: int = 0
    hung_up: int = 0
    broken: int = 0
    kills: int = 0
    samples: int = 0
    cap_nanos: int = 0
    settled_before_nanos: int = 0
    held_before_nanos: int = 0
    settled_nanos: int = 0
    metered_nanos: int = 0
    held_nanos: int = 0
    falsely_refused: int = 0
    violations: list[str] | None = None

    @property
    def holds(self) -> bool:
        return (
            not self.violations
            and self.settled_nanos == self.metered_nanos
            and self.held_nanos == 0
            and self.falsely_refused == 0
            and self.answered > 0
        )

    def lines(self) -> list[str]:
        return [
            f"requests                   {self.requests}: {self.answered} answered, {self.hung_up} hung up, "
            f"{self.refused} refused by the budget, {self.broken} broken by a kill",
            f"kills of serve             {self.kills}",
            f"samples / violations       {self.samples} / {len(self.violations or ())}",
            *(f"  {line}" for line in (self.violations or [])[:10]),
            f"cap                        {show_usd(self.cap_nanos)}",
            f"before reconciling         settled {show_usd(self.settled_before_nanos)}, "
            f"held {show_usd(self.held_before_nanos)}",
            f"after reconciling          settled {show_usd(self.settled_nanos)}, held {show_usd(self.held_nanos)}",
            f"the double's meter         {show_usd(self.metered_nanos)}",
            f"falsely refused            {self.falsely_refused}",
        ]

    def facts(self) -> dict[str, Any]:
        """The same for a program."""
        return {"holds": self.holds, **asdict(self)}


class Battery:
    """One house under load. `chance` decides who streams, who hangs up and when."""

    def __init__(self, place: House, journal: JournalView, *, disconnect: float, seed: int) -> None:
        self.place = place
        self.journal = journal
        self.disconnect = disconnect
        self.chance = random.Random(seed)  # noqa: S311  # a reproducible load
        self.report = LedgerReport(violations=[])
        self.is_up = True
        self.progress: Callable[[], None] = lambda: None
        self.http = HttpClient(egress=EgressPolicy(allow=("127.0.0.0/8",)))

    async def client(self, share: int) -> None:
        """One of the clients: so many requests, one after the other."""
        for _ in range(share):
            await self.until_ready()
            self.report.requests += 1
            self.progress()
            try:
                await self.request(hang_up=self.chance.random() < self.disconnect)
            except (UpstreamError, OSError):
                self.report.broken += 1

    async def until_ready(self) -> None:
        """Returns when serve answers; it is started again after each kill."""
        while not self.is_up:
            self.is_up = await asyncio.to_thread(is_ready, self.place.up.endpoint)
            if not self.is_up:
                await asyncio.sleep(0.1)

    async def request(self, *, hang_up: bool, is_probe: bool = False) -> None:
        """One of them; a probe is no part of the load, and is counted only where it was not answered."""
        is_stream = hang_up or self.chance.random() < 0.5
        words = self.chance.randrange(4, 60)
        body = (
            f'{{"model":"sim/writer-{words}words-1ms","max_tokens":100,"stream":{"true" if is_stream else "false"},'
            f'"messages":[{{"role":"user","content":"Write {words} words."}}]}}'
        )
        headers = [(b"authorization", f"Bearer {self.place.key}".encode()), (b"content-type", b"application/json")]
        request = Request("POST", f"{self.place.url}/v1/chat/completions", headers, body.encode())
        response = await self.http.send(request, deadlines=DEADLINES)
        try:
            if response.status == 402:
                await response.read(1_000_000)
                if is_probe:
                    self.report.falsely_refused += 1
                else:
                    self.report.refused += 1
                return
            if hang_up:
                await self.read_some(response.chunks())
                self.report.hung_up += 1
                return
            data = await response.read(10_000_000)
            is_whole = response.status == 200 and (not is_stream or data.rstrip().endswith(b"data: [DONE]"))
            if not is_probe:
                self.report.answered += is_whole
                self.report.broken += not is_whole
            elif not is_whole:
                self.report.falsely_refused += 1
        finally:
            await response.aclose()

    async def read_some(self, chunks: "object") -> None:
        left = self.chance.randrange(1, 6)
        async for _ in chunks:  # type: ignore[attr-defined]
            left -= 1
            if left == 0:
                return

    async def watch(self, stopping: asyncio.Event) -> None:
        """Samples meter, ledger, meter: the ledger must lie between the two readings."""
        while not stopping.is_set():
            before = await asyncio.to_thread(self.metered)
            settled, held = await self.ledger()
            after = await asyncio.to_thread(self.metered)
            self.report.samples += 1
            self.expect(settled + held <= self.report.cap_nanos, f"settled {settled} + held {held} is above the cap")
            self.expect(settled <= after, f"settled {settled} is above metered {after}")
            self.expect(before <= settled + held, f"metered {before} is above settled {settled} + held {held}")
            await asyncio.sleep(SAMPLE_SECONDS)

    def expect(self, holds: bool, sentence: str) -> None:
        if not holds and self.report.violations is not None:
            self.report.violations.append(sentence)

    def metered(self) -> int:
        total: int = get_json(f"{self.place.sim_url}/meter/totals")["cost_nanos"]
        return total

    async def ledger(self) -> tuple[int, int]:
        budgets = await asyncio.wrap_future(
            asyncio.run_coroutine_threadsafe(self.journal.rooms.journal.budgets(PROJECT), self.journal._loop)
        )
        return budgets[0].settled_nanos, budgets[0].held_nanos

    async def killer(self, stopping: asyncio.Event) -> None:
        """kill -9 of serve, again and again, each time after it has served for a while."""
        while not stopping.is_set():
            await self.until_ready()
            await asyncio.sleep(KILL_EVERY_SECONDS)
            child = self.place.up.supervisor.children[0].process
            if child is not None and child.poll() is None and not stopping.is_set():
                self.is_up = False
                os.kill(child.pid, signal.SIGKILL)
                self.report.kills += 1


def ledger(
    *,
    clients: int,
    requests: int,
    disconnect: float,
    kill_serve: bool,
    cap_nanos: int,
    seed: int,
    log: Callable[[str], None],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    database_url: str | None = None,
) -> LedgerReport:
    """Load, kills, samples; then the export is reconciled, and what fits the budget must pass."""
    with house(workers=0, database_url=database_url) as place, JournalView(place) as journal:
        journal.wait(
            journal.rooms.journal.put_budget(PROJECT, scope="project", subject="", window="total", cap_nanos=cap_nanos)
        )
        battery = Battery(place, journal, disconnect=disconnect, seed=seed)
        battery.report.cap_nanos = cap_nanos
        battery.progress = lambda: progress(battery.report.requests, requests // clients * clients)
        asyncio.run(load(battery, clients, requests, kill_serve))
        log("load is over; waiting until nothing is in flight")
        asyncio.run(settle(battery))
        return battery.report


async def load(battery: Battery, clients: int, requests: int, kill_serve: bool) -> None:
    stopping = asyncio.Event()
    beside = [asyncio.create_task(battery.watch(stopping))]
    if kill_serve:
        beside.append(asyncio.create_task(battery.killer(stopping)))
    await asyncio.gather(*(battery.client(requests // clients) for _ in range(clients)))
    stopping.set()
    await asyncio.gather(*beside)
    await battery.http.aclose()


async def settle(battery: Battery) -> None:
    report, journal = battery.report, battery.journal.rooms.journal
    await battery.until_ready()
    await quiet(battery)
    report.settled_before_nanos, report.held_before_nanos = await battery.ledger()
    export = await asyncio.to_thread(get_bytes, f"{battery.place.sim_url}/meter.csv")
    until_us = time.time_ns() // 1000  # nothing is in flight: the export names everything up to now
    usages = parse_csv(export.decode())
    await bridge(battery, journal.reconcile(PROJECT, usages, is_complete_until_us=until_us))
    report.metered_nanos = await asyncio.to_thread(battery.metered)
    report.settled_nanos, report.held_nanos = await battery.ledger()
    room = report.settled_nanos + 1_000_000_000
    await bridge(battery, journal.put_budget(PROJECT, scope="project", subject="", window="total", cap_nanos=room))
    battery.http = HttpClient(egress=EgressPolicy(allow=("127.0.0.0/8",)))
    for _ in range(20):
        try:
            await battery.request(hang_up=False, is_probe=True)
        except MooringError:
            report.falsely_refused += 1
    await battery.http.aclose()
    await quiet(battery)
    report.settled_nanos, report.held_nanos = await battery.ledger()
    report.metered_nanos = await asyncio.to_thread(battery.metered)


async def quiet(battery: Battery) -> None:
    """Waits until meter and ledger stand still: drained streams need a moment."""
    last: tuple[int, int, int] | None = None
    while True:
        now = (*await battery.ledger(), await asyncio.to_thread(battery.metered))
        if now == last:
            return
        last = now
        await asyncio.sleep(1.0)


async def bridge(battery: Battery, work: "object") -> object:
    """Awaits something of the journal's own loop from here."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, battery.journal._loop))  # type: ignore[arg-type]


def get_bytes(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310  # our own double, on loopback
        data: bytes = answer.read()
        return data
