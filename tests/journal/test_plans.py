"""No page waits for a million calls: what reads and what ends a process goes through an index that fits, on SQLite."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mooring.core.errors import NotFound
from mooring.core.ids import new_id
from mooring.journal import Journal
from mooring.journal.records import Place
from mooring.storage import Blobs, Database, sqlite

LARGE = ("calls", "attempts", "runs", "run_events", "contents", "elements", "c", "a", "r", "e")
PROJECT = "default"


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Each step of the plan of each statement that runs, with the statement."""
    found: list[tuple[str, str]] = []
    for name in ("one", "all", "execute"):
        run = getattr(sqlite.SqliteTx, name)

        def explained(tx: Any, sql: str, params: Any = (), run: Any = run) -> Any:
            if sql.startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
                connection = tx._cursor.connection
                found.extend((step[3], sql) for step in connection.execute(f"EXPLAIN QUERY PLAN {sql}", params))
            return run(tx, sql, params)

        monkeypatch.setattr(sqlite.SqliteTx, name, explained)
    return found


def test_nothing_that_is_read_or_buried_walks_through_all_calls(
    tmp_path: Path, words: Any, clock: Any, plans: list[tuple[str, str]]
) -> None:
    database = Database.open(f"sqlite:///{tmp_path / 'mooring.db'}")
    journal = Journal(database, Blobs(tmp_path / "blobs"), process_id=new_id(), clock=clock, new_id=new_id)

    async def scene() -> None:
        call, run = words.call(), new_id()
        await journal.begin_attempt(words.intent(call), call=call)
        plans.clear()
        for per, subject in (("key", b"k"), ("user", "u"), ("model", "m"), ("project", PROJECT)):
            placed = words.call(places=(Place(per, subject, 9, "It"),))
            await journal.begin_attempt(words.intent(placed), call=placed)
        await journal.list_calls(PROJECT)
        await journal.list_calls(PROJECT, run_id=run)
        await journal.trace_calls(PROJECT, call.trace_id)
        await journal.attempts(PROJECT, call.id)
        await journal.get_call(PROJECT, call.id)
        await journal.find_step(PROJECT, run, "1")
        await journal.find_key(PROJECT, "k", b"b")
        await journal.uncertain(PROJECT)
        await journal.unsettled(PROJECT)
        await journal.backlog(overdue_us=1)
        await journal.newest_at_us()
        await journal.budgets(PROJECT)
        await journal.bill(PROJECT)
        await journal.bill(PROJECT, run_id=run)
        await journal.bill(PROJECT, trace_id=call.trace_id)
        await journal.list_runs(PROJECT)
        await journal.events(PROJECT, run)
        with pytest.raises(NotFound):
            await journal.get_run(PROJECT, run)
        await journal.claim_run(["agent"])
        await journal.retire()

    asyncio.run(scene())
    database.close()
    assert len(plans) > 30
    walks = [(step, sql[:160]) for step, sql in plans if is_walk(step)]
    assert walks == []


def test_a_paid_call_with_two_budgets_is_seven_statements(
    tmp_path: Path, words: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database.open(f"sqlite:///{tmp_path / 'mooring.db'}")
    journal = Journal(database, Blobs(tmp_path / "blobs"), process_id=new_id(), clock=clock, new_id=new_id)
    told: list[str] = []
    for name in ("one", "all", "execute"):
        run = getattr(sqlite.SqliteTx, name)

        def counted(tx: Any, sql: str, params: Any = (), run: Any = run) -> Any:
            told.append(sql.split(" (", maxsplit=1)[0].split(" SET ", maxsplit=1)[0])
            return run(tx, sql, params)

        monkeypatch.setattr(sqlite.SqliteTx, name, counted)

    async def scene() -> None:
        for window in ("day", "month"):
            await journal.put_budget(PROJECT, scope="project", subject="", window=window, cap_nanos=1000)
        budgets = await journal.applying(PROJECT)
        call = words.call()
        intent = words.intent(call, held_nanos=10, budget_ids=budgets.ids, newest_budget=budgets.newest)
        told.clear()
        await journal.begin_attempt(intent, call=call)
        await journal.finish_attempt(words.result(intent, cost=7), words.answer())

    asyncio.run(scene())
    database.close()
    begun = ["INSERT INTO calls", "INSERT INTO budget_windows", "INSERT INTO budget_windows", "INSERT INTO attempts"]
    assert told == [*begun, "UPDATE attempts", "INSERT INTO budget_windows", "UPDATE calls"]


def is_walk(step: str) -> bool:
    """Whether a step looks at every row of a table, or of a project. An index of open rows holds few."""
    words = step.split()
    if words[0] == "SCAN" and words[1] in LARGE:
        return not any(name in step for name in ("_open", "sqlite_autoindex_attempts_1"))
    return step.endswith(("calls_by_project (project_id=?)", "runs_by_project (project_id=?)")) and "ORDER" not in step
