"""Retention and forgetting: what goes is gone everywhere, what others name stays, and no money is lost."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mooring.core.clock import ManualClock
from mooring.core.errors import InvalidRequest
from mooring.core.ids import IdSource
from mooring.journal import Bill, Journal, NewRun, RunRef
from mooring.journal.config import RetentionConfig
from mooring.journal.retention import Gone
from mooring.journal.upkeep import faults_in
from mooring.storage import Blobs, Database

PROJECT = "default"
MakeJournal = Callable[[], Journal]
DAY = 86_400.0


@pytest.fixture
def journal(database: Database, tmp_path: Path, clock: ManualClock) -> Journal:
    """Its ids go by the clock that the tests move."""
    new_id = IdSource(clock)
    return Journal(database, Blobs(tmp_path / "blobs"), process_id=new_id(), clock=clock, new_id=new_id)


async def call(
    journal: Journal, words: Any, body: bytes = b'{"ok":true}', *, cost: int | None = 7, **fields: Any
) -> bytes:
    """One paid call; its id."""
    new_id = journal._new_id
    made = words.call(**({"id": new_id(), "trace_id": new_id()} | fields))
    budgets = tuple(budget.id for budget in await journal.budgets(PROJECT))
    intent = words.intent(made, id=new_id(), held_nanos=10, budget_ids=budgets)
    await journal.begin_attempt(intent, call=made)
    await journal.finish_attempt(words.result(intent, cost, usage=words.usage()), words.answer(body))
    return bytes(made.id)


async def run_of(journal: Journal, words: Any, elements: list[bytes], **fields: Any) -> bytes:
    """A finished run with one call whose messages are these."""
    run_id = journal._new_id()
    await journal.create_run(
        NewRun(id=run_id, project_id=PROJECT, handler="agent", name="a", input=elements[-1], **fields)
    )
    run = await journal.claim_run(["agent"])
    assert run is not None
    ref = RunRef(run.id, run.epoch, "1")
    body = b'{"messages":[' + b",".join(elements) + b"]}"
    await call(journal, words, run=ref, request_body=body, request_elements=tuple(elements), user=fields.get("user"))
    await journal.append(run.id, run.epoch, "model.finished", elements[-1])
    await journal.finish_run(run.id, run.epoch, "completed", output=elements[-1])
    return run_id


def rows(database: Database, table: str) -> int:
    return int(database.read(lambda tx: tx.all(f"SELECT COUNT(*) FROM {table}"))[0][0])


def test_with_payloads_off_a_body_goes_when_nobody_needs_it_and_the_bill_stays(
    journal: Journal, database: Database, words: Any, clock: ManualClock
) -> None:
    async def scene() -> None:
        rule = RetentionConfig(payloads="off")
        plain = await call(journal, words)
        keyed = await call(journal, words, key="k", key_lifetime_seconds=3600)
        await journal.create_run(
            NewRun(id=journal._new_id(), project_id=PROJECT, handler="agent", name="a", input=b"in")
        )
        run = await journal.claim_run(["agent"])
        assert run is not None
        step = await call(journal, words, run=RunRef(run.id, run.epoch, "1"), request_elements=(b'"fast"',))
        clock.advance(1)
        assert (await journal.retain(rule)).payloads == 1
        bodies = [await journal.get_body(PROJECT, one) for one in (plain, keyed, step)]
        assert [bool(body) for body in bodies] == [False, True, True]
        clock.advance(3600)
        await journal.retain(rule)
        assert await journal.find_key(PROJECT, "k", b"bound") is None
        assert await journal.get_request(PROJECT, keyed) == (b"", ())
        assert (await journal.get_body(PROJECT, step)) != b""
        clock.advance(-2)  # its lease is long over otherwise
        await journal.finish_run(run.id, run.epoch, "completed", output=b"out")
        clock.advance(3)
        await journal.retain(rule)
        assert await journal.get_request(PROJECT, step) == (b"", ())
        assert (await journal.get_run(PROJECT, run.id)).input == b""
        assert (rows(database, "contents"), rows(database, "elements")) == (0, 0)
        assert (await journal.bill(PROJECT)).settled_nanos == 21
        assert database.read(faults_in) == []
        assert await journal.retain(rule) == Gone()

    asyncio.run(scene())


def test_old_calls_and_runs_go_and_the_bill_and_the_budgets_do_not_change(
    journal: Journal, database: Database, words: Any, clock: ManualClock
) -> None:
    async def scene() -> None:
        rule = RetentionConfig(calls_days=30, runs_days=30)
        await journal.put_budget(PROJECT, scope="project", subject="", window="total", cap_nanos=10**9)
        for day in range(3):
            await call(journal, words, os.urandom(20_000), key=f"k{day}")
            await run_of(journal, words, [b'"system"', b'"day %d"' % day])
            clock.advance(DAY)
        unknown = await call(journal, words, cost=None)
        before: Bill = await journal.bill(PROJECT)
        assert (before.settled_nanos, before.held_nanos) == (42, 10)
        assert await journal.fold() == 3
        assert await journal.fold() == 0  # the hour of the call whose cost is unknown waits
        assert await journal.bill(PROJECT) == before
        clock.advance(28.5 * DAY)
        gone = await journal.retain(rule)
        assert (gone.calls, gone.runs) == (4, 2)
        assert await journal.bill(PROJECT) == before
        clock.advance(10 * DAY)
        await journal.retain(rule)
        assert [record.id for record in await journal.list_calls(PROJECT)] == [unknown]
        assert await journal.bill(PROJECT) == before
        [budget] = await journal.budgets(PROJECT)
        assert (budget.settled_nanos, budget.held_nanos) == (42, 10)
        assert database.read(faults_in) == []
        assert [rows(database, name) for name in ("contents", "elements", "runs", "run_events", "call_keys")] == [0] * 5

    asyncio.run(scene())


def test_a_run_that_is_forgotten_leaves_what_others_name(
    journal: Journal, database: Database, words: Any, clock: ManualClock
) -> None:
    async def scene() -> None:
        first = await run_of(journal, words, [b'"system"', b'"secret one"'], user="u1")
        second = await run_of(journal, words, [b'"system"', b'"two"'], user="u2")
        assert rows(database, "elements") == 3
        gone = await journal.forget_run(PROJECT, first)
        assert (gone.payloads, gone.runs) == (1, 1)
        assert rows(database, "elements") == 2
        [kept] = await journal.list_calls(PROJECT, run_id=second)
        assert (await journal.get_request(PROJECT, kept.id))[1] == (b'"system"', b'"two"')
        run = await journal.get_run(PROJECT, first)
        assert (run.user, run.input, run.output, run.settled_nanos) == (None, b"", None, 7)
        assert database.read(faults_in) == []

    asyncio.run(scene())


def test_a_run_that_is_not_over_cannot_be_forgotten(journal: Journal) -> None:
    async def scene() -> None:
        run_id = journal._new_id()
        await journal.create_run(NewRun(id=run_id, project_id=PROJECT, handler="agent", name="a", input=b"", user="u1"))
        with pytest.raises(InvalidRequest, match="is not over"):
            await journal.forget_run(PROJECT, run_id)
        with pytest.raises(InvalidRequest, match="is not over"):
            await journal.forget_user(PROJECT, "u1")

    asyncio.run(scene())


def test_a_forgotten_user_is_found_in_no_file(tmp_path: Path, words: Any, clock: ManualClock) -> None:
    marker = b"MARKER-" + os.urandom(8).hex().encode()
    large = (marker + b" ") * 60_000
    new_id = IdSource(clock)
    path = tmp_path / "home" / "mooring.db"
    database = Database.open(f"sqlite:///{path}")
    journal = Journal(database, Blobs(tmp_path / "home" / "blobs"), process_id=new_id(), clock=clock, new_id=new_id)

    def files() -> list[Path]:
        return [file for file in (tmp_path / "home").rglob("*") if file.is_file()]

    async def scene() -> None:
        user = marker.decode()
        await call(journal, words, os.urandom(9).hex().encode() + marker, user=user, request_body=marker, tags=(user,))
        await call(journal, words, large, user=user, session=user, key=user)
        await call(journal, words, b"incompressible " + os.urandom(30_000) + marker, user=user)
        await run_of(journal, words, [b'"system"', b'"%s"' % marker], user=user)
        other = await call(journal, words, b"something else", user="u2")
        assert len([file for file in files() if marker in file.read_bytes()]) >= 2
        gone = await journal.forget_user(PROJECT, user)
        assert (gone.payloads, gone.runs, gone.blobs) == (4, 1, 1)
        assert await journal.get_body(PROJECT, other) == b"something else"
        assert database.scrub(is_whole=True)

    asyncio.run(scene())
    held = [file for file in files() if marker in file.read_bytes()]
    database.close()
    assert held == []
    assert not [file for file in files() if marker in file.read_bytes()]


def test_a_blob_that_another_call_names_is_not_removed(
    journal: Journal, words: Any, tmp_path: Path, clock: ManualClock
) -> None:
    async def scene() -> None:
        same = b"x" * 1_100_000
        await call(journal, words, same, user="u1")
        other = await call(journal, words, same, user="u2")
        assert (await journal.forget_user(PROJECT, "u1")).blobs == 0
        assert await journal.get_body(PROJECT, other) == same
        assert (await journal.forget_user(PROJECT, "u2")).blobs == 1
        assert [file for file in (tmp_path / "blobs").rglob("*") if file.is_file()] == []

    asyncio.run(scene())
