"""A journal of a million calls, and how long everything takes on it that a person or a start waits for.

`python benchmarks/million.py HOME [--calls 1000000]` fills a new home in bulk, in plausible proportions over 90 days,
then measures. It takes about 2.5 KB of disk a call; remove the folder afterwards. Seven of ten calls stand alone, two
are steps of runs (a chain of messages, one of three steps a tool), one is an embedding; one in twenty was tried twice.
"""

import argparse
import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

from mooring.config import Config
from mooring.core.money import Price
from mooring.core.text import digest
from mooring.gateway.keys import Caller
from mooring.journal import Journal
from mooring.journal.config import RetentionConfig
from mooring.journal.contents import chain_of, compressed
from mooring.journal.repository.attempts import price_text
from mooring.processes import up
from mooring.server.ui import home as home_page
from mooring.storage import Database, Home, sqlite
from mooring.wiring import Server, build

DAYS, USERS, PROJECT = 90, 5_000, "default"
TARGETS = ("openai/gpt-5-mini", "openai/gpt-5", "anthropic/claude-haiku", "groq/llama-4", "local/minilm")
STEPS = 10
BATCH = 10_000
PRICE = price_text(Price(input_picos=250_000, output_picos=2_000_000, source="benchmark"))
COLUMNS = {
    "calls": "id project_id kind name state trace_id process_id run_id step user_name session_name tags is_stream"
    " started_at_us finished_at_us request_codec request_data request_tip status content_type answer_codec answer_data"
    " call_key",
    "attempts": "id call_id project_id process_id run_id number target reason request_hash outcome settlement"
    " reserved_nanos held_nanos settled_nanos price intended_at_us finished_at_us bytes_up bytes_down input_tokens"
    " output_tokens cached_input_tokens cache_write_tokens input_audio_tokens reasoning_tokens output_audio_tokens"
    " is_estimated",
    "runs": "id project_id handler name state epoch next_seq input_codec input_data output_codec output_data"
    " created_at_us started_at_us finished_at_us user_name settled_nanos held_nanos",
    "run_events": "run_id seq project_id kind call_id at_us payload_codec payload_data",
    "contents": "project_id digest codec data",
    "elements": "project_id id parent_id depth codec data",
    "call_keys": "project_id call_key call_id binding expires_at_us",
}
Rows = dict[str, list[tuple[Any, ...]]]


class Maker:
    """Rows of calls, oldest first; the same for the same seed."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._words = [f"{self._random.choice('bcdfglmnprst')}{number:x}" for number in range(4_000)]
        self._process = self._random.randbytes(16)
        self._count = 0

    def new_id(self, at_us: int) -> bytes:
        self._count += 1
        high = (at_us // 1000) << 80 | 0x7 << 76 | (self._count & 0xFFF) << 64 | 0b10 << 62
        return (high | self._random.getrandbits(62)).to_bytes(16)

    def text(self, words: int) -> bytes:
        return " ".join(self._random.choices(self._words, k=words)).encode()

    def quoted(self, words: int) -> bytes:
        return b'"%s"' % self.text(words)

    def alone(self, rows: Rows, at_us: int, kind: str) -> None:
        request, answer = compressed(self.text(180)), compressed(self.text(150))
        self._call(rows, at_us, kind, request=request, answer=answer, key=self._random.random() < 0.1)

    def run(self, rows: Rows, at_us: int) -> None:
        """A run of ten steps: its calls share a frame, and their messages are one growing chain."""
        run_id, frame, messages = self.new_id(at_us), self.text(60), [self.text(40)]
        name = digest(frame)
        rows["contents"].append((PROJECT, name, *compressed(frame)))
        settled, links = 0, chain_of(messages)
        rows["elements"] += [
            (PROJECT, link.id, link.parent_id or None, link.depth, *compressed(link.data)) for link in links
        ]
        for step in range(STEPS):
            moment = at_us + step * 2_000_000
            if step % 3 == 2:
                call_id, _ = self._call(
                    rows, moment, "tool", run=(run_id, str(step)), request=(0, b"{}"), answer=(0, b"{}")
                )
            else:
                call_id, cost = self._call(
                    rows, moment, "chat", run=(run_id, str(step)), request=(18, name), tip=links[-1].id,
                    answer=compressed(self.text(60)),
                )  # fmt: skip
                settled += cost
            messages += [self.text(30)]
            links = chain_of(messages)
            last = links[-1]
            rows["elements"].append((PROJECT, last.id, last.parent_id, last.depth, *compressed(last.data)))
            rows["run_events"].append(
                (run_id, step + 1, PROJECT, "model.finished", call_id, moment, 0, self.quoted(20))
            )
        end = at_us + STEPS * 2_000_000
        rows["runs"].append(
            (run_id, PROJECT, "agent", "support", "completed", 1, STEPS + 1, 0, self.quoted(20), 0, self.quoted(30),
             at_us, at_us, end, self._user(), settled, 0)
        )  # fmt: skip

    def _user(self) -> str:
        return f"u_{self._random.randrange(USERS)}"

    def _call(
        self, rows: Rows, at_us: int, kind: str, *, request: tuple[int, bytes], answer: tuple[int, bytes],
        run: tuple[bytes | None, str | None] = (None, None), tip: bytes | None = None, key: bool = False,
    ) -> tuple[bytes, int]:  # fmt: skip
        call_id, end = self.new_id(at_us), at_us + self._random.randrange(300_000, 9_000_000)
        text_key = f"order-{self._count}" if key else None
        user = self._user()
        rows["calls"].append(
            (call_id, PROJECT, kind, "fast", "completed", call_id, self._process, *run, user, f"s_{user}",
             '["checkout"]' if self._random.random() < 0.3 else None, 0, at_us, end, *request, tip, 200,
             "application/json", *answer, text_key)
        )  # fmt: skip
        if text_key is not None:
            rows["call_keys"].append((PROJECT, text_key, call_id, bytes(36), at_us + 86_400_000_000))
        tries, cost = 2 if self._random.random() < 0.05 else 1, 0
        target = "tool/look_up" if kind == "tool" else self._random.choice(TARGETS)
        for number in range(1, tries + 1):
            is_last = number == tries
            cost = self._random.randrange(20_000, 9_000_000) if is_last and kind != "tool" else 0
            is_unknown = is_last and run[0] is None and self._random.random() < 0.000_05
            rows["attempts"].append(
                (self.new_id(at_us + number), call_id, PROJECT, self._process, run[0], number, target,
                 "first" if number == 1 else "retry", bytes(32), "completed" if is_last else "failed",
                 "unknown" if is_unknown else "settled", 10_000_000, 10_000_000 if is_unknown else 0,
                 0 if is_unknown else cost, PRICE, at_us, end, 900, 1_800, 400, 250, 0, 0, 0, 0, 0, 0)
            )  # fmt: skip
        return call_id, cost


def fill(home: Home, calls: int) -> None:
    """All rows, oldest first, in transactions of ten thousand calls; then the planner's statistics are left alone."""
    Database.open(home.database_url).close()
    connection = sqlite.module().connect(str(home.path / "mooring.db"), isolation_level=None)
    sqlite.prepare(connection, "kill")
    connection.execute("PRAGMA cache_size = -256000")
    maker, started = Maker(), time.monotonic()
    first_us = time.time_ns() // 1000 - DAYS * 86_400_000_000
    for done, rows in batches(maker, calls, first_us):
        connection.execute("BEGIN IMMEDIATE")
        for table, names in COLUMNS.items():
            columns = names.split()
            marks = ", ".join("?" * len(columns))
            connection.executemany(
                f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({marks})",
                rows[table],
            )
        connection.execute("COMMIT")
        if done % (10 * BATCH) == 0:
            print(f"{done:,} calls after {time.monotonic() - started:.0f} s", flush=True)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()


def batches(maker: Maker, calls: int, first_us: int) -> Iterator[tuple[int, Rows]]:
    rows: Rows = {table: [] for table in COLUMNS}
    made, step_us = 0, DAYS * 86_400_000_000 // calls
    while made < calls:
        at_us, place = first_us + made * step_us, made % 50
        if place == 0:
            maker.run(rows, at_us)
            made += STEPS
        else:
            maker.alone(rows, at_us, "embedding" if place % 8 == 0 else "chat")
            made += 1
        if len(rows["calls"]) >= BATCH:
            yield made, rows
            rows = {table: [] for table in COLUMNS}
    yield made, rows


async def timed(label: str, work: Callable[[], Awaitable[Any]]) -> Any:
    """The best of three: what the disk's cache holds is the same for all."""
    took, found = [], None
    for _ in range(3):
        started = time.perf_counter()
        found = await work()
        took.append(time.perf_counter() - started)
    print(f"{label:34} {min(took) * 1000:9.1f} ms   first {took[0] * 1000:9.1f} ms", flush=True)
    return found


async def once(label: str, work: Callable[[], Awaitable[Any]]) -> None:
    started = time.perf_counter()
    found = await work()
    print(f"{label:34} {(time.perf_counter() - started) * 1000:9.0f} ms   {found}", flush=True)


async def folded(journal: Journal) -> int:
    count = 0
    while some := await journal.fold():
        count += some
    return count


async def measure(rooms: Server) -> None:
    journal = rooms.journal
    run = (await journal.list_runs(PROJECT, limit=1))[0]
    [call] = await journal.list_calls(PROJECT, limit=1)
    await timed("calls, newest 100", lambda: journal.list_calls(PROJECT, limit=100))
    await timed("runs, newest 50", lambda: journal.list_runs(PROJECT, limit=50))
    await timed("run with its events", lambda: journal.events(PROJECT, run.id))
    await timed("calls of a run", lambda: journal.list_calls(PROJECT, run_id=run.id))
    await timed("call with its attempts", lambda: journal.attempts(PROJECT, call.id))
    await timed("key that is held", lambda: journal.find_key(PROJECT, "order-1", b""))
    await timed("budgets with their windows", lambda: journal.budgets(PROJECT))
    await timed("uncertain calls", lambda: journal.uncertain(PROJECT))
    await timed("backlog (doctor)", lambda: journal.backlog(overdue_us=60_000_000))
    await once("project every call", rooms.projector.rebuild)
    await timed("Home", lambda: home_page.view(rooms, cast(Any, None), Caller.service(PROJECT)))
    await timed("bill of a run", lambda: journal.bill(PROJECT, run_id=run.id))
    await timed("bill, hours as they are", lambda: journal.bill(PROJECT))
    await once("fold every hour that is over", lambda: folded(journal))
    await timed("bill, hours folded", lambda: journal.bill(PROJECT))
    await once("retention, calls of 80 days", lambda: journal.retain(RetentionConfig(calls_days=80)))
    await once("retention, nothing to do", lambda: journal.retain(RetentionConfig(calls_days=80)))


def commands(home: Home) -> None:
    """What a person types, the program's own start included."""
    environment = {**os.environ, "MOORING_HOME": str(home.path)}
    started = time.perf_counter()
    house = up.start(Config(), home, log=print)
    print(f"{'mooring up, until it is ready':34} {(time.perf_counter() - started) * 1000:9.0f} ms", flush=True)
    house.stop()
    for words in (
        ["runs"],
        ["cost"],
        ["trace", "last"],
        ["doctor"],
        ["backup", str(home.path.with_suffix(".mooring"))],
    ):
        took = []
        for _ in range(1 if words[0] == "backup" else 2):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-m", "mooring", *words], env=environment, capture_output=True, check=False)
            took.append(time.perf_counter() - started)
        label = "mooring " + (words[0] if words[0] == "backup" else " ".join(words))
        print(f"{label:34} {min(took) * 1000:9.0f} ms   first {took[0] * 1000:9.0f} ms", flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--only-fill", action="store_true")
    asked = parser.parse_args()
    home = Home(asked.home)
    if not (home.path / "mooring.db").exists():
        fill(home, asked.calls)
    size = sum(file.stat().st_size for file in home.path.glob("mooring.db*"))
    print(f"{size / 1e9:.2f} GB on disk, {size / asked.calls:,.0f} B a call")
    if asked.only_fill:
        return
    async with build(Config(), home, kind="cli") as rooms:
        await measure(rooms)
    commands(home)


if __name__ == "__main__":
    asyncio.run(main())
