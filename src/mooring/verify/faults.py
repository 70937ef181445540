"""The battery of faults: a provider fails in every way of `fault_list.py`, on every wire of `fault_wires.py`.

A real serve, real sockets, a double that meters, and a healthy target behind each broken one. Per case the caller gets
the whole answer, or is shown an error in its own wire; an answer that is missing or short without a word is a silent
loss, and there must be none. Afterwards the ledger must add up with the double's meter.
"""

import asyncio
import json
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from mooring.core.errors import MooringError, UpstreamTimeout
from mooring.core.money import show_usd
from mooring.gateway.reconcile import parse_csv
from mooring.net import Deadlines, EgressPolicy, HttpClient, Request
from mooring.sim import price_list

from .fault_list import CASES, Case
from .fault_wires import INWARD, WIRES, Verdict, Wire, fault_of, fits, judge
from .house import House, get_json, house
from .journal_view import PROJECT, JournalView

TARGET_SECONDS = 2.0
CALL_SECONDS = 6.0
GRACE_SECONDS = 1.0
AT_ONCE = 6
ANSWER_LIMIT_BYTES = 1 << 24
# The client waits longer than any deadline of the gateway, so that a hang is seen as one.
CLIENT = Deadlines(connect_seconds=5, first_byte_seconds=30, idle_seconds=30, total_seconds=60)

PROVIDER = """
[gateway.providers.{name}]
{section}
base_url = "{url}"
api_key = "file:{key}"
attempt_header = true
connect_seconds = 1.0
first_byte_seconds = 1.0
idle_seconds = 1.0
total_seconds = {total}

{prices}
"""
MODEL = """
[gateway.models."{name}"]
targets = ["{provider}/echo-{name}-10ms", "{healthy}/echo-healthy"]
total_seconds = {total}
"""


class Outcome(NamedTuple):
    """What one request came to. `words` are the error's, or what was wrong with the answer."""

    wire: str
    case: Case
    is_stream: bool
    verdict: Verdict
    seconds: float
    words: str

    @property
    def expected(self) -> str:
        return self.case.streamed if self.is_stream else self.case.unstreamed

    @property
    def is_good(self) -> bool:
        return self.verdict == self.expected and not self.is_late

    @property
    def is_late(self) -> bool:
        return self.seconds > CALL_SECONDS + GRACE_SECONDS


@dataclass
class FaultsReport:
    """What was seen; `ledger` holds sentences about what does not add up."""

    outcomes: list[Outcome] = field(default_factory=list)
    ledger: list[str] = field(default_factory=list)
    settled_nanos: int = 0
    metered_nanos: int = 0
    held_nanos: int = 0

    @property
    def holds(self) -> bool:
        return bool(self.outcomes) and not self.ledger and all(outcome.is_good for outcome in self.outcomes)

    def count(self, verdict: Verdict) -> int:
        return Counter(outcome.verdict for outcome in self.outcomes)[verdict]

    def _counted(self, wire: str = "") -> str:
        found = [outcome.verdict for outcome in self.outcomes if wire in ("", outcome.wire)]
        number = Counter(found)
        return (
            f"{len(found)}: {number['whole']} whole, {number['shown']} shown, {number['silent']} silent, "
            f"{number['cut']} cut without a word, {number['hung']} hung"
        )

    def _table(self, wire: str) -> list[str]:
        rows = [f"{_pair(wire):48}  {'unstreamed':18}  {'streamed':18}".rstrip()]
        mine = [outcome for outcome in self.outcomes if outcome.wire == wire]
        for case in dict.fromkeys(outcome.case.name for outcome in mine):
            cells = [_cell(outcome) for outcome in mine if outcome.case.name == case]
            rows.append(f"{case:48}  " + "  ".join(f"{cell:18}" for cell in cells).rstrip())
        return [*rows, ""]

    def lines(self) -> list[str]:
        wires = list(dict.fromkeys(outcome.wire for outcome in self.outcomes))
        bad = [outcome for outcome in self.outcomes if not outcome.is_good]
        slowest = max((outcome.seconds for outcome in self.outcomes), default=0.0)
        return [
            *(line for wire in wires for line in self._table(wire)),
            *(f"not as it should be: {_sentence(outcome)}" for outcome in bad),
            *(f"{wire:20}  {self._counted(wire)}" for wire in wires if len(wires) > 1),
            f"faults                {self._counted()}",
            f"slowest               {slowest:.1f} s; a call may take {CALL_SECONDS:.0f} s",
            f"ledger                settled {show_usd(self.settled_nanos)}, held {show_usd(self.held_nanos)}, "
            f"the double's meter {show_usd(self.metered_nanos)}",
            *self.ledger,
        ]

    def facts(self) -> dict[str, Any]:
        """The same for a program."""
        return {
            "holds": self.holds,
            "faults": len(self.outcomes),
            **{verdict: self.count(verdict) for verdict in ("whole", "shown", "silent", "cut", "hung")},
            "settled_nanos": self.settled_nanos,
            "held_nanos": self.held_nanos,
            "metered_nanos": self.metered_nanos,
            "ledger": self.ledger,
            "outcomes": [
                {
                    "wire": outcome.wire,
                    "case": outcome.case.name,
                    "is_stream": outcome.is_stream,
                    "verdict": outcome.verdict,
                    "expected": outcome.expected,
                    "seconds": round(outcome.seconds, 3),
                    "words": outcome.words,
                }
                for outcome in self.outcomes
            ],
        }


def _pair(wire: str) -> str:
    inward, out = WIRES[wire].inward, WIRES[wire].out
    return f"{out}, asked for by {inward}" if inward != out else out


def _cell(outcome: Outcome) -> str:
    return f"{outcome.verdict}{'' if outcome.is_good else ' (!)'} {outcome.seconds:.1f} s"


def _sentence(outcome: Outcome) -> str:
    how = "streamed" if outcome.is_stream else "unstreamed"
    what = f"{outcome.wire}: {outcome.case.name}, {how}"
    return f"{what}: {outcome.verdict} instead of {outcome.expected}: {outcome.words[:200]}"


class Trial(NamedTuple):
    """A fault on a wire, with an upstream model of its own."""

    wire: Wire
    case: Case
    number: int
    is_stream: bool

    @property
    def model(self) -> str:
        return f"{self.wire.name}-{self.number:02d}{'s' if self.is_stream else 'u'}"


def faults(
    *,
    log: Callable[[str], None],
    only: str = "",
    wire: str = "all",
    database_url: str | None = None,
    cases: Sequence[Case] = CASES,
) -> FaultsReport:
    """Every case whose name contains `only`, on one wire or all, streamed and not; then the bill."""
    chosen = [case for case in cases if only.lower() in case.name.lower()]
    wires = list(WIRES.values()) if wire == "all" else [WIRES[wire]]
    trials = [
        Trial(each, case, number, is_stream)
        for each in wires
        for number, case in enumerate(chosen)
        for is_stream in (False, True)
        if fits(case, each)
    ]
    report = FaultsReport()
    with TemporaryDirectory(prefix="mooring-verify-") as folder:
        key = Path(folder) / "vendor.key"
        key.touch(mode=0o600)
        key.write_text("a key that the double takes\n")
        with (
            house(
                workers=0,
                folder=Path(folder),
                more=lambda url: _sections(url, wires, trials, key),
                database_url=database_url,
            ) as place,
            JournalView(place) as journal,
        ):
            log(f"{len(chosen)} ways to fail, streamed and not, on {', '.join(each.name for each in wires)}")
            report.outcomes = asyncio.run(_all(place, wires, trials))
            _release(place)
            _settle(place, journal, report)
    return report


# The house ---------------------------------------------------------------------------


def _sections(sim_url: str, wires: Sequence[Wire], trials: Sequence[Trial], key: Path) -> str:
    """A broken target and a healthy one behind every trial."""
    addresses = {
        "broken": sim_url,
        "healthy": sim_url,
        "refused": "http://127.0.0.1:9",
        "unknown_host": "http://no-such-host.invalid",
        "tls": sim_url.replace("http://", "https://"),
    }
    parts = [
        PROVIDER.format(
            name=f"{name}_{wire.name}",
            section=wire.section,
            url=url + wire.base,
            key=key,
            total=30.0 if name == "healthy" else TARGET_SECONDS,
            prices=price_list.as_toml(f"{name}_{wire.name}"),
        )
        for wire in wires
        for name, url in addresses.items()
    ]
    for trial in trials:
        wire = trial.wire.name
        provider, healthy = f"{trial.case.provider}_{wire}", f"healthy_{wire}"
        parts.append(MODEL.format(name=trial.model, provider=provider, healthy=healthy, total=CALL_SECONDS))
    return "\n".join(parts)


async def _all(place: House, wires: Sequence[Wire], trials: Sequence[Trial]) -> list[Outcome]:
    gate = asyncio.Semaphore(AT_ONCE)
    async with HttpClient(egress=EgressPolicy(allow=("127.0.0.0/8",))) as http:
        for wire in wires:  # what is loaded once is loaded before the clock runs
            for is_stream in (False, True):
                await _ask(http, place, wire.inward, f"healthy_{wire.name}/echo-warm", is_stream)

        async def one(trial: Trial) -> Outcome:
            async with gate:
                fault = fault_of(trial.case, trial.wire)
                if fault is not None:
                    order = {**fault, "model": f"echo-{trial.model}-10ms", "times": 8, "wait_seconds": 60}
                    await asyncio.to_thread(_post, f"{place.sim_url}/control", order)
                started = time.monotonic()
                verdict, words = await _ask(http, place, trial.wire.inward, trial.model, trial.is_stream)
                seconds = time.monotonic() - started
                return Outcome(trial.wire.name, trial.case, trial.is_stream, verdict, seconds, words)

        return list(await asyncio.gather(*map(one, trials)))


async def _ask(http: HttpClient, place: House, inward: str, model: str, is_stream: bool) -> tuple[Verdict, str]:
    """One request as an SDK would send it, and what came of it."""
    wire = INWARD[inward]
    body = wire.body(model)
    if inward != "gemini_generate":  # which says it in its path
        body["stream"] = is_stream
    headers = [(b"authorization", f"Bearer {place.key}".encode()), (b"content-type", b"application/json")]
    request = Request("POST", place.url + wire.path(model, is_stream), headers, json.dumps(body).encode())
    data = b""
    try:
        async with await http.send(request, deadlines=CLIENT) as response:
            data = await response.read(ANSWER_LIMIT_BYTES)
    except UpstreamTimeout as error:
        return "hung", str(error)
    except (MooringError, OSError) as error:
        return "cut", str(error)
    return judge(response.status, data, is_stream=is_stream, inward=inward)


# The bill ------------------------------------------------------------------------------


def _settle(place: House, journal: JournalView, report: FaultsReport) -> None:
    """Settled ≤ metered ≤ settled + held before the export is reconciled; all three equal afterwards."""
    settled, held, metered = _quiet(place, journal)
    if not settled <= metered <= settled + held:
        report.ledger.append(f"before reconciling: settled {settled}, held {held}, metered {metered} nano-dollars")
    with urllib.request.urlopen(f"{place.sim_url}/meter.csv", timeout=60) as answer:  # noqa: S310  # our own double
        usages = parse_csv(answer.read().decode())
    until_us = time.time_ns() // 1000
    journal.wait(journal.rooms.journal.reconcile(PROJECT, usages, is_complete_until_us=until_us))
    report.settled_nanos, report.held_nanos, report.metered_nanos = _quiet(place, journal)
    if report.settled_nanos != report.metered_nanos or report.held_nanos:
        report.ledger.append("after reconciling the ledger is not the double's meter")


def _quiet(place: House, journal: JournalView) -> tuple[int, int, int]:
    """Settled, held and metered once they stand still."""
    last: tuple[int, int, int] | None = None
    while True:
        bill = journal.wait(journal.rooms.journal.bill(PROJECT))
        now = (bill.settled_nanos, bill.held_nanos, int(get_json(f"{place.sim_url}/meter/totals")["cost_nanos"]))
        if now == last:
            return now
        last = now
        time.sleep(0.5)


def _release(place: House) -> None:
    """End what still stands still in the double, so that its bill is closed."""
    _post(f"{place.sim_url}/control/release", {})


def _post(url: str, body: object) -> None:
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310  # our own double
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        answer.read()
