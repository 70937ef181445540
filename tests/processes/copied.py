"""A home with something in it, and backups that end badly; run as a program it backs up and dies on the way."""

import asyncio
import os
import resource
import signal
import sys
from pathlib import Path

from mooring.config import Config, StorageSection
from mooring.core.clock import SystemClock
from mooring.core.ids import new_id
from mooring.core.money import Price
from mooring.journal.journal import Journal
from mooring.journal.records import AttemptIntent, AttemptResult, CallAnswer, NewCall, NewRun, RunRef
from mooring.processes.copies import backup
from mooring.storage import Blobs, Database, Home

PROJECT = "default"
BLOB = bytes(range(256)) * 5_000  # above the size at which content becomes a file


def configured(folder: Path, url: str | None) -> Config:
    """The settings of a home on SQLite, or on this database."""
    if url is None:
        return Config()
    file = folder / f"url-{new_id().hex()}"
    file.write_text(url)
    return Config(storage=StorageSection(url=f"file:{file}"))


class Filled:
    """A home whose journal holds a run with five steps, the last of them in flight when its process died."""

    def __init__(self, home: Home, config: Config) -> None:
        self.home = home
        self.database = Database.open(config.database_url() or home.database_url)
        self.journal = Journal(
            self.database, Blobs(home.blobs_dir), process_id=new_id(), clock=SystemClock(), new_id=new_id
        )

    async def fill(self) -> None:
        journal = self.journal
        await journal.register_process(kind="serve", pid=os.getpid(), lock_path=self.home.run_dir / "another.lock")
        await journal.put_budget(PROJECT, scope="project", subject="", window="month", cap_nanos=10**12)
        await journal.create_run(NewRun(id=new_id(), project_id=PROJECT, handler="agent", name="a", input=b'"Go."'))
        run = await journal.claim_run(["agent"])
        assert run is not None
        for step in range(5):
            await self.step(RunRef(run.id, run.epoch, str(step)), is_finished=step < 4)

    async def step(self, run: RunRef, *, is_finished: bool = True) -> None:
        """One model call, whose messages are a chain and whose answers are of all sizes."""
        element = b'"message %s"' % run.step.encode()
        call = NewCall(
            id=new_id(),
            project_id=PROJECT,
            kind="chat",
            name="fast",
            trace_id=new_id(),
            request_body=b'{"messages":[%s]}' % element,
            request_elements=(element,),
            run=run,
            key=f"{run.run_id.hex()}/{run.step}",
            binding=b"bound",
        )
        intent = AttemptIntent(
            id=new_id(),
            call_id=call.id,
            project_id=PROJECT,
            number=1,
            target="sim/echo",
            request_hash=b"h",
            held_nanos=500,
            budget_ids=tuple(budget.id for budget in await self.journal.budgets(PROJECT)),
            price=Price(request_nanos=500),
            run=run,
        )
        await self.journal.begin_attempt(intent, call=call)
        if is_finished:
            body = {"1": BLOB, "2": os.urandom(30_000)}.get(run.step, b"{}")
            result = AttemptResult(attempt_id=intent.id, outcome="completed", cost_nanos=300)
            await self.journal.finish_attempt(result, CallAnswer(state="completed", body=body))

    def close(self) -> None:
        self.database.close()


def die(home: Path, target: Path, how: str) -> None:
    """Back up, and be killed after the first table, or find the disk full."""
    if how == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # Python ignores the signal and sees EFBIG
    say = (lambda _line: os.kill(os.getpid(), signal.SIGKILL)) if how == "killed" else (lambda _line: None)
    backup(Config(), Home(home), target, with_secrets=True, say=say)


async def filled(home: Home, config: Config) -> Filled:
    made = Filled(home, config)
    await made.fill()
    return made


def fill(home: Home, config: Config) -> Filled:
    return asyncio.run(filled(home, config))


if __name__ == "__main__":
    die(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
