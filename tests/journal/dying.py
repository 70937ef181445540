"""A process that dies by SIGKILL at a named boundary: python dying.py URL HOME BOUNDARY CALL ATTEMPT [RUN]."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from mooring.core.clock import ManualClock
from mooring.core.ids import new_id
from mooring.core.money import Price
from mooring.journal import AttemptIntent, AttemptResult, CallAnswer, Journal, NewCall, RunRef
from mooring.storage import Blobs, Database, Home, ProcessLock


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait()


async def live(url: str, home: Home, boundary: str, call_id: bytes, attempt_id: bytes) -> None:
    database = Database.open(url)
    process_id = new_id()
    lock = ProcessLock.acquire(home, process_id=process_id, kind="worker")
    blobs = Blobs(home.blobs_dir)
    journal = Journal(database, blobs, process_id=process_id, clock=ManualClock(), new_id=new_id)
    await journal.register_process(kind="worker", pid=os.getpid(), lock_path=lock.path)
    budgets = (await journal.applying("default")).ids
    run = await journal.claim_run(["agent"])
    step = RunRef(run_id=run.id, epoch=run.epoch, step="1") if run else None
    call = NewCall(
        id=call_id,
        project_id="default",
        kind="chat",
        name="fast",
        trace_id=new_id(),
        key="k",
        binding=b"bound",
        run=step,
    )
    intent = AttemptIntent(
        id=attempt_id,
        call_id=call_id,
        project_id="default",
        number=1,
        target="sim/echo",
        request_hash=b"h",
        held_nanos=100,
        budget_ids=budgets,
        price=Price(input_picos=1),
        run=step,
    )
    result = AttemptResult(attempt_id=attempt_id, outcome="completed", cost_nanos=30)
    answer = CallAnswer(state="completed", body=b"paid")
    if boundary == "before intent":
        die()
    if boundary == "in the intent's batch":
        await in_one_batch(database, journal.begin_attempt(intent, call=call))
    await journal.begin_attempt(intent, call=call)
    if boundary == "after intent":
        die()
    if boundary == "in the result's batch":
        await in_one_batch(database, journal.finish_attempt(result, answer))
    await journal.finish_attempt(result, answer)
    die()


async def in_one_batch(database: Database, write: Coroutine[Any, Any, None]) -> None:
    """Hold the writer, queue a write and a death behind it, and let go: both are in one transaction."""
    held, gate = threading.Event(), threading.Event()

    def hold(_: Any) -> None:
        held.set()
        gate.wait()

    database.write(hold)
    held.wait()
    task = asyncio.ensure_future(write)
    while not database.counters.pending:  # the write is queued some turns of the loop later
        await asyncio.sleep(0)
    database.write(die)
    gate.set()
    await task


if __name__ == "__main__":
    _, url, path, boundary, call, attempt = sys.argv
    asyncio.run(live(url, Home(Path(path)), boundary, bytes.fromhex(call), bytes.fromhex(attempt)))
