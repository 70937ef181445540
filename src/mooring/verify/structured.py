"""The battery of malformed answers: a model that writes bad JSON, and what its callers get all the same.

A real serve and a double whose model says what it is told to say, until it is told that it does not fit. Every caller
must get JSON that fits the schema, or an error that carries the raw text; the bill must be the double's meter.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mooring.core import ids
from mooring.core.money import show_usd
from mooring.gateway.json_schema import problems
from mooring.net import Deadlines, EgressPolicy, HttpClient, Request

from .house import House, get_json, house
from .journal_view import PROJECT, JournalView

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "count": {"type": "integer", "minimum": 0},
        "kind": {"type": "string", "enum": ["book", "lamp", "boat"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "is_new": {"type": "boolean"},
    },
    "required": ["name", "count", "kind", "tags", "is_new"],
    "additionalProperties": False,
}
MODELS = """
[gateway.models.held]
targets = ["sim/sloppy"]
repairs = 2

[gateway.models.moved]
targets = ["sim/sloppy-b", "sim/json"]
repairs = 0

[gateway.models.refused]
targets = ["sim/sloppy-c"]
repairs = 0
"""
AT_ONCE = 8
CLIENT = Deadlines(connect_seconds=5, first_byte_seconds=30, idle_seconds=30, total_seconds=60)

Spoil = Callable[[dict[str, Any]], str]


def _plain(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


# What is meant is clear: the syntax is mended, and nobody is asked again.
CLEAR: dict[str, Spoil] = {
    "a fence around it": lambda value: f"```json\n{_plain(value)}\n```",
    "prose before it": lambda value: f"Here is the JSON that you asked for:\n{_plain(value)}",
    "prose after it": lambda value: f"{_plain(value)}\n\nLet me know if it helps!",
    "a comma too many": lambda value: _plain(value)[:-1] + ",}",
    "single quotes": lambda value: _plain(value).replace('"', "'"),
    "names without quotes": lambda value: _plain(value).replace('"name"', "name").replace('"tags"', "tags"),
    "comments": lambda value: _plain(value).replace(', "count"', ', // how many\n "count"') + " /* done */",
    "Python's words": lambda value: _plain(value).replace("true", "True").replace("false", "False"),
    "curly quotes": lambda value: _plain(value).replace('"name"', "“name”"),
    "an open bracket": lambda value: _plain(value)[:-1],
    "a fence that is not closed": lambda value: f"```json\n{_plain(value)[:-1]}",
    "a line break in a text": lambda value: _plain(value).replace("Lot ", "Lot\n"),
}
# It cannot be told what is meant, or it is JSON of another shape.
UNCLEAR: dict[str, Spoil] = {
    "cut in a text": lambda value: _plain(value)[:14],
    "cut in a word": lambda value: _plain(value).partition('"is_new": ')[0] + '"is_new": tr',
    "prose alone": lambda value: f"I am sorry, I can only say that {value['name']} is a {value['kind']}.",
    "nothing": lambda value: " ",
    "a field missing": lambda value: _plain({name: one for name, one in value.items() if name != "count"}),
    "a field too many": lambda value: _plain(value | {"colour": "red"}),
    "a wrong type": lambda value: _plain(value | {"count": "many"}),
    "a value that is not allowed": lambda value: _plain(value | {"kind": "house"}),
}


@dataclass
class StructuredReport:
    """What came of the answers; `leaks` and `wrong` are sentences, and there must be none."""

    answers: int = 0
    mended: int = 0
    repaired: int = 0
    moved: int = 0
    refused: int = 0
    attempts: int = 0
    settled_nanos: int = 0
    held_nanos: int = 0
    metered_nanos: int = 0
    repair_nanos: int = 0
    leaks: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        is_paid = self.settled_nanos == self.metered_nanos and not self.held_nanos
        return self.answers > 0 and not self.leaks and not self.wrong and is_paid

    def lines(self) -> list[str]:
        valid = self.mended + self.repaired + self.moved
        return [
            f"malformed answers     {self.answers}: {valid} became valid, "
            f"{self.refused} were refused with their raw text",
            f"mended for nothing    {self.mended}",
            f"asked again           {self.repaired}",
            f"asked the next target {self.moved}",
            f"exceptions leaked     {len(self.leaks)}",
            *(f"  {line}" for line in self.leaks[:10]),
            f"not as it should be   {len(self.wrong)}",
            *(f"  {line}" for line in self.wrong[:10]),
            f"attempts              {self.attempts}, {show_usd(self.repair_nanos)} of them for asking again",
            f"ledger                settled {show_usd(self.settled_nanos)}, held {show_usd(self.held_nanos)}, "
            f"the double's meter {show_usd(self.metered_nanos)}",
        ]

    def facts(self) -> dict[str, Any]:
        """The same for a program."""
        return {"holds": self.holds, **vars(self)}


def structured(
    *, answers: int, log: Callable[[str], None], database_url: str | None = None, seed: int = 1
) -> StructuredReport:
    """So many malformed answers, a third of them each to a route that asks again, that moves on, that refuses."""
    report = StructuredReport(answers=answers)
    with house(workers=0, more=MODELS, database_url=database_url) as place, JournalView(place) as journal:
        log(f"{answers} malformed answers of {len(CLEAR) + len(UNCLEAR)} kinds")
        calls = asyncio.run(_all(place, report, random.Random(seed)))  # noqa: S311  # a reproducible load
        journal.wait(_count(journal, report, calls))
        bill = journal.wait(journal.rooms.journal.bill(PROJECT))
        report.settled_nanos, report.held_nanos = bill.settled_nanos, bill.held_nanos
        report.metered_nanos = int(get_json(f"{place.sim_url}/meter/totals")["cost_nanos"])
    return report


async def _all(place: House, report: StructuredReport, chance: random.Random) -> list[str]:
    spoils = [*CLEAR.items(), *UNCLEAR.items()]
    gate = asyncio.Semaphore(AT_ONCE)
    async with HttpClient(egress=EgressPolicy(allow=("127.0.0.0/8",))) as http:

        async def one(number: int) -> str:
            name, spoil = spoils[number % len(spoils)]
            model = ("held", "moved", "refused")[number // len(spoils) % 3]
            async with gate:
                return await _ask(http, place, report, model, name, spoil(_value(chance)))

        return list(await asyncio.gather(*(one(number) for number in range(report.answers))))


def _value(chance: random.Random) -> dict[str, Any]:
    return {
        "name": f"Lot {chance.randrange(1000)} – “best” ünït",
        "count": chance.randrange(100),
        "kind": chance.choice(["book", "lamp", "boat"]),
        "tags": [f"t{chance.randrange(9)}" for _ in range(chance.randrange(4))],
        "is_new": chance.random() < 0.5,
    }


async def _ask(http: HttpClient, place: House, report: StructuredReport, model: str, name: str, text: str) -> str:
    """One request; its call's id. What the caller gets is judged here."""
    form = {"type": "json_schema", "json_schema": {"name": "lot", "strict": True, "schema": SCHEMA}}
    body = {"model": model, "messages": [{"role": "user", "content": text}], "response_format": form}
    headers = [(b"authorization", f"Bearer {place.key}".encode()), (b"content-type", b"application/json")]
    request = Request("POST", f"{place.url}/v1/chat/completions", headers, json.dumps(body).encode())
    async with await http.send(request, deadlines=CLIENT) as response:
        data = json.loads(await response.read(1 << 22))
    if response.status >= 500 and response.status != 502:
        report.leaks.append(f"{name}: {response.status}: {data}")
    elif response.status != 200:
        report.refused += 1
        error = data["error"]
        is_told = error["code"] == "output_invalid" and text.strip()[:100] in error["message"]
        if model != "refused" or name in CLEAR or not is_told:
            report.wrong.append(f"{name}, {model}: {error}")
    else:
        found = json.loads(data["choices"][0]["message"]["content"])
        if problems(found, SCHEMA):
            report.wrong.append(f"{name}, {model}: {found} does not fit")
    return response.headers.get("x-mooring-call") or ""


async def _count(journal: JournalView, report: StructuredReport, calls: list[str]) -> None:
    """How each call came to its answer, as its attempts tell."""
    for shown in calls:
        attempts = await journal.rooms.journal.attempts(PROJECT, ids.read("call", shown))
        report.attempts += len(attempts)
        ends = Counter(attempt.reason for attempt in attempts if attempt.outcome == "completed")
        report.mended += ends["first"]
        report.repaired += ends["repair"]
        report.moved += ends["fallback"]
        report.repair_nanos += sum(attempt.settled_nanos for attempt in attempts if attempt.reason == "repair")
