"""The battery of faults: a provider fails in every way of `fault_list.py`, with a healthy target behind it.

A real serve, real sockets, a double that meters. Per case the caller gets the whole answer, or is shown an error in
its own wire; an answer that is missing or short without a word is a silent loss, and there must be none. Afterwards
the ledger must add up with the double's meter.
"""

import asyncio
import json
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from mooring.core.errors import MooringError, UpstreamTimeout
from mooring.core.money import show_usd
from mooring.gateway.reconcile import parse_csv
from mooring.net import Deadlines, EgressPolicy, HttpClient, Request
from mooring.sim import price_list

from .fault_list import CASES, Case
from .house import House, get_json, house
from .journal_view import PROJECT, JournalView

TEXT = "Grüße 🌊 from 横浜: one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen."
TARGET_SECONDS = 2.0
CALL_SECONDS = 6.0
GRACE_SECONDS = 1.0
AT_ONCE = 6
ANSWER_LIMIT_BYTES = 1 << 24
# The client waits longer than any deadline of the gateway, so that a hang is seen as one.
CLIENT = Deadlines(connect_seconds=5, first_byte_seconds=30, idle_seconds=30, total_seconds=60)

Verdict = Literal["whole", "shown", "silent", "cut", "hung"]

PROVIDER = """
[gateway.providers.{name}]
type = "sim"
base_url = "{url}/v1"
connect_seconds = 1.0
first_byte_seconds = 1.0
idle_seconds = 1.0
total_seconds = {total}

{prices}
"""
MODEL = """
[gateway.models."{name}"]
targets = ["{provider}/echo-{name}-10ms", "healthy/echo-healthy"]
total_seconds = {total}
"""


class Outcome(NamedTuple):
    """What one request came to. `words` are the error's, or what was wrong with the answer."""

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

    def lines(self) -> list[str]:
        rows = [f"{'':48}  {'unstreamed':18}  {'streamed':18}"]
        for case in dict.fromkeys(outcome.case.name for outcome in self.outcomes):
            cells = [_cell(outcome) for outcome in self.outcomes if outcome.case.name == case]
            rows.append(f"{case:48}  " + "  ".join(f"{cell:18}" for cell in cells).rstrip())
        bad = [outcome for outcome in self.outcomes if not outcome.is_good]
        slowest = max((outcome.seconds for outcome in self.outcomes), default=0.0)
        return [
            *rows,
            "",
            *(f"not as it should be: {_sentence(outcome)}" for outcome in bad),
            f"faults                {len(self.outcomes)}: {self.count('whole')} whole, {self.count('shown')} shown, "
            f"{self.count('silent')} silent, {self.count('cut')} cut without a word, {self.count('hung')} hung",
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


def _cell(outcome: Outcome) -> str:
    return f"{outcome.verdict}{'' if outcome.is_good else ' (!)'} {outcome.seconds:.1f} s"


def _sentence(outcome: Outcome) -> str:
    how = "streamed" if outcome.is_stream else "unstreamed"
    return f"{outcome.case.name}, {how}: {outcome.verdict} instead of {outcome.expected}: {outcome.words[:200]}"


def faults(
    *, log: Callable[[str], None], only: str = "", database_url: str | None = None, cases: Sequence[Case] = CASES
) -> FaultsReport:
    """Every case whose name contains `only`, streamed and not; then the bill."""
    chosen = [case for case in cases if only.lower() in case.name.lower()]
    report = FaultsReport()
    with (
        house(workers=0, more=lambda url: _sections(url, chosen), database_url=database_url) as place,
        JournalView(place) as journal,
    ):
        log(f"{len(chosen)} ways to fail, streamed and not")
        report.outcomes = asyncio.run(_all(place, chosen))
        _release(place)
        _settle(place, journal, report)
    return report


# The house ---------------------------------------------------------------------------


def _sections(sim_url: str, cases: Sequence[Case]) -> str:
    """A broken target and a healthy one behind every case; each case has an upstream model of its own."""
    addresses = {
        "broken": sim_url,
        "healthy": sim_url,
        "refused": "http://127.0.0.1:9",
        "unknown_host": "http://no-such-host.invalid",
        "tls": sim_url.replace("http://", "https://"),
    }
    parts = [
        PROVIDER.format(
            name=name, url=url, total=30.0 if name == "healthy" else TARGET_SECONDS, prices=price_list.as_toml(name)
        )
        for name, url in addresses.items()
    ]
    for number, case in enumerate(cases):
        for is_stream in (False, True):
            name = _model(number, is_stream)
            parts.append(MODEL.format(name=name, provider=case.provider, total=CALL_SECONDS))
    return "\n".join(parts)


def _model(number: int, is_stream: bool) -> str:
    return f"f{number:02d}{'s' if is_stream else 'u'}"


async def _all(place: House, cases: Sequence[Case]) -> list[Outcome]:
    gate = asyncio.Semaphore(AT_ONCE)
    async with HttpClient(egress=EgressPolicy(allow=("127.0.0.0/8",))) as http:
        for is_stream in (False, True):  # what is loaded once is loaded before the clock runs
            await _ask(http, place, "healthy/echo-warm", is_stream)

        async def one(number: int, case: Case, is_stream: bool) -> Outcome:
            async with gate:
                name = _model(number, is_stream)
                if case.fault is not None:
                    order = {**case.fault, "model": f"echo-{name}-10ms", "times": 8, "wait_seconds": 60}
                    await asyncio.to_thread(_post, f"{place.sim_url}/control", order)
                started = time.monotonic()
                verdict, words = await _ask(http, place, name, is_stream)
                return Outcome(case, is_stream, verdict, time.monotonic() - started, words)

        pairs = [(number, case, is_stream) for number, case in enumerate(cases) for is_stream in (False, True)]
        return list(await asyncio.gather(*(one(*pair) for pair in pairs)))


async def _ask(http: HttpClient, place: House, model: str, is_stream: bool) -> tuple[Verdict, str]:
    """One request as an SDK would send it, and what came of it."""
    body = {
        "model": model,
        "max_tokens": 200,
        "stream": is_stream,
        "messages": [{"role": "user", "content": TEXT}],
    }
    headers = [(b"authorization", f"Bearer {place.key}".encode()), (b"content-type", b"application/json")]
    request = Request("POST", f"{place.url}/v1/chat/completions", headers, json.dumps(body).encode())
    data = b""
    try:
        async with await http.send(request, deadlines=CLIENT) as response:
            data = await response.read(ANSWER_LIMIT_BYTES)
    except UpstreamTimeout as error:
        return "hung", str(error)
    except (MooringError, OSError) as error:
        return "cut", str(error)
    return judge(response.status, data, is_stream=is_stream)


def judge(status: int, data: bytes, *, is_stream: bool) -> tuple[Verdict, str]:
    """Whether the answer is whole, shown to be broken, or neither."""
    try:
        if status != 200:
            return "shown", str(json.loads(data)["error"]["message"])
        return _judge_stream(data) if is_stream else _judge_body(data)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        return "silent", f"status {status}, and a body that no SDK can read: {error!r}: {data[:200]!r}"


def _judge_body(data: bytes) -> tuple[Verdict, str]:
    text = json.loads(data)["choices"][0]["message"]["content"]
    return ("whole", "") if text == TEXT else ("silent", f"the text is {text!r}")


def _judge_stream(data: bytes) -> tuple[Verdict, str]:
    events = [line.removeprefix("data: ") for line in data.decode().split("\n") if line.startswith("data: ")]
    chunks = [json.loads(event) for event in events if event != "[DONE]"]
    for chunk in chunks:
        if "error" in chunk:
            message = str(chunk["error"]["message"])
            return ("shown", message) if events[-1] != "[DONE]" else ("silent", f"an error, then a good end: {message}")
    text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    if text == TEXT and events and events[-1] == "[DONE]":
        return "whole", ""
    return "silent", f"the text is {text!r}, the last event {events[-1:]}"


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
