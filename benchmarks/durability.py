"""What the journal costs: steps per second through an fsync, and bytes on disk against bytes handed in.

`python benchmarks/durability.py [--steps N] [--folder PATH]`

A step is what `ctx.step` writes: one event of a run, fenced by its epoch, committed before the step counts as done.
All runs are one process, as in a worker; durability is `power`, so each commit is an fsync. The baseline, in the same
run and on the same disk, is a bare SQLite INSERT + COMMIT with an fsync each, one after the other. Bytes are the
database's after a checkpoint, less what an empty one takes.
"""

import argparse
import asyncio
import base64
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import uvloop

from mooring.core import ids
from mooring.core.clock import SystemClock
from mooring.core.money import Price
from mooring.core.text import digest
from mooring.core.usage import Usage
from mooring.journal.journal import Journal
from mooring.journal.records import (
    REQUEST_HASH_BYTES,
    AttemptIntent,
    AttemptResult,
    CallAnswer,
    NewCall,
    NewRun,
    RunRecord,
    RunRef,
)
from mooring.storage import Blobs, Database, sqlite

PROJECT = "default"
KIB = 1024
BINDING_BYTES = 20  # what the gateway makes of a request: the version of its secret and the HMAC
WORDS = ("a", "mooring", "holds", "the", "ship", "where", "wind", "and", "tide", "would", "carry", "it", "off")
Step = Callable[[Journal, RunRecord, int], Awaitable[int]]


class Bench:
    """A journal on a database of its own, with a process row as a worker has it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.db"
        self.database = Database.open(f"sqlite:///{self.path}", durability="power")
        blobs = Blobs(folder / f"{name}-blobs")
        self.journal = Journal(self.database, blobs, process_id=ids.new_id(), clock=SystemClock(), new_id=ids.new_id)

    async def run(self) -> RunRecord:
        """A run of this process."""
        new = NewRun(id=ids.new_id(), project_id=PROJECT, handler="bench", name="bench", input=b"{}")
        await self.journal.create_run(new)
        claimed = await self.journal.claim_run(["bench"], lease_seconds=600)
        assert claimed is not None
        return claimed

    def bytes_on_disk(self) -> int:
        """Everything in the database file, after a checkpoint."""
        connection = sqlite.module().connect(str(self.path), isolation_level=None)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.close()
        return self.path.stat().st_size

    def close(self) -> None:
        self.database.close()


def bare_commits_per_second(path: Path, count: int) -> float:
    """INSERT + COMMIT with an fsync, one after the other."""
    connection = sqlite.module().connect(str(path), isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE steps (id INTEGER PRIMARY KEY, value BLOB)")
    started = time.perf_counter()
    for _ in range(count):
        connection.execute("INSERT INTO steps (value) VALUES (?)", (b"x" * 64,))
    rate = count / (time.perf_counter() - started)
    connection.close()
    return rate


async def steps_per_second(folder: Path, runs: int, steps: int) -> tuple[float, float]:
    """Steps of all runs per second, and how many of them one COMMIT held."""
    bench = Bench(folder, f"rate-{runs}")
    records = [await bench.run() for _ in range(runs)]
    payload = msgspec.json.encode({"step": "1/fetch#1", "value": "x" * 40})

    async def work(record: RunRecord) -> None:
        for _ in range(steps // runs):
            await bench.journal.append(record.id, record.epoch, "step.finished", payload)

    before, started = bench.database.counters, time.perf_counter()
    await asyncio.gather(*map(work, records))
    seconds, after = time.perf_counter() - started, bench.database.counters
    bench.close()
    return steps // runs * runs / seconds, (after.operations - before.operations) / (after.batches - before.batches)


def text(size: int) -> str:
    """Words in no order: what prose compresses to, more or less."""
    drawn = ""
    while len(drawn) < size:
        drawn += random.choice(WORDS) + str(random.randrange(1000)) + " "
    return drawn[:size]


def noise(size: int) -> str:
    """Characters that hardly compress: what keys, vectors and images in base64 are."""
    return base64.b64encode(random.randbytes(size))[:size].decode()


def event_of(content: Callable[[int], str], size: int) -> Step:
    """A `ctx.step` with so much new content."""

    async def step(journal: Journal, record: RunRecord, number: int) -> int:
        payload = msgspec.json.encode({"step": f"1/fetch#{number}", "value": content(size)})
        await journal.append(record.id, record.epoch, "step.finished", payload)
        return len(payload)

    return step


def call_of(content: Callable[[int], str], size: int) -> Step:
    """A model call whose conversation has grown by one message, and its answer: the whole history is sent each time."""
    history: list[bytes] = []

    async def step(journal: Journal, record: RunRecord, number: int) -> int:
        question = msgspec.json.encode({"role": "user", "content": content(size // 2)})
        history.append(question)
        body = b'{"model":"fast","messages":[' + b",".join(history) + b"]}"
        run = RunRef(record.id, record.epoch, f"model/{number}")
        call_id, attempt_id = ids.new_id(), ids.new_id()
        call = NewCall(
            id=call_id,
            project_id=PROJECT,
            kind="chat",
            name="fast",
            trace_id=record.id,
            request_body=body,
            request_elements=tuple(history),
            key=run.key,
            binding=digest(body, BINDING_BYTES),
            run=run,
        )
        intent = AttemptIntent(
            id=attempt_id,
            call_id=call_id,
            project_id=PROJECT,
            number=1,
            target="sim/fast",
            request_hash=digest(body, REQUEST_HASH_BYTES),
            held_nanos=1000,
            budget_ids=(),
            price=Price(input_picos=250_000, output_picos=2_000_000),
            reason="first",
            run=run,
        )
        await journal.begin_attempt(intent, call=call)
        message = msgspec.json.encode({"role": "assistant", "content": content(size // 2)})
        history.append(message)
        answer = b'{"id":"1","object":"chat.completion","choices":[{"index":0,"message":' + message + b"}]}"
        result = AttemptResult(
            attempt_id=attempt_id,
            outcome="completed",
            cost_nanos=900,
            usage=Usage(input_tokens=100, output_tokens=100),
            upstream_status=200,
        )
        await journal.finish_attempt(result, CallAnswer(state="completed", body=answer))
        return len(question) + len(answer)

    return step


async def bytes_ratio(folder: Path, name: str, step: Step, steps: int) -> float:
    """Bytes on disk per byte of new content, over one run."""
    bench = Bench(folder, name)
    record = await bench.run()
    empty = bench.bytes_on_disk()
    content = 0
    for number in range(steps):
        content += await step(bench.journal, record, number)
    ratio = (bench.bytes_on_disk() - empty) / content
    bench.close()
    return ratio


async def measure(folder: Path, steps: int) -> None:
    for runs in (1, 16, 64):
        bare = bare_commits_per_second(folder / f"bare-{runs}.db", max(100, steps // 16))
        rate, grouped = await steps_per_second(folder, runs, steps if runs > 1 else max(100, steps // 8))
        print(
            f"{runs:3} {'run ' if runs == 1 else 'runs'}                      {rate:8,.0f} steps/s"
            f"  = {rate / bare:4.1f} x bare ({bare:,.0f} commits/s), {grouped:.1f} steps a COMMIT"
        )
    count = min(500, steps)
    for name, step in (
        ("events of 1 KiB of text", event_of(text, KIB)),
        ("events of 1 KiB of noise", event_of(noise, KIB)),
        ("model calls, 1 KiB of text", call_of(text, KIB)),
        ("model calls, 1 KiB of noise", call_of(noise, KIB)),
        ("model calls, 4 KiB of text", call_of(text, 4 * KIB)),
    ):
        ratio = await bytes_ratio(folder, name.replace(" ", "-").replace(",", ""), step, count)
        print(f"{name:29} {ratio:8.2f} bytes on disk a byte of new content, over {count} steps of one run")


def main() -> None:
    parser = argparse.ArgumentParser(description="The journal's steps per second and bytes on disk.")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to be measured")
    options = parser.parse_args()
    random.seed(1)
    with tempfile.TemporaryDirectory(prefix="mooring-durability-", dir=options.folder) as folder:
        uvloop.run(measure(Path(folder), options.steps))


if __name__ == "__main__":
    main()
