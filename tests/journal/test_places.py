"""Calls that may run at once are the open calls themselves, counted over all processes."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mooring.core.clock import ManualClock
from mooring.core.errors import NotFound, RateLimited
from mooring.core.ids import new_id
from mooring.journal import Journal
from mooring.journal.records import Place
from mooring.storage import Blobs, Database

PROJECT = "default"
MakeJournal = Callable[[], Journal]
BY_USER = (Place("user", "ann", 2, "User 'ann'"),)


def test_a_call_is_opened_only_where_there_is_a_place_and_nothing_is_written_of_another(
    journal: Journal, words: Any
) -> None:
    async def scene() -> None:
        running = [words.call(user="ann", places=BY_USER) for _ in range(2)]
        sent = [words.intent(call, held_nanos=5) for call in running]
        for call, intent in zip(running, sent, strict=True):
            await journal.begin_attempt(intent, call=call)
        third = words.call(user="ann", places=BY_USER, key="k")
        with pytest.raises(RateLimited, match=r"User 'ann' has 2 requests running; the limit is 2\."):
            await journal.begin_attempt(words.intent(third, held_nanos=5), call=third)
        with pytest.raises(NotFound):
            await journal.get_call(PROJECT, third.id)
        assert await journal.find_key(PROJECT, "k", b"bound") is None
        other = words.call(user="ben", places=(Place("user", "ben", 2, "User 'ben'"),))
        await journal.begin_attempt(words.intent(other), call=other)
        await journal.begin_attempt(words.intent(running[0], number=2))  # a retry needs no second place
        await journal.finish_attempt(words.result(sent[1], 1), words.answer())
        await journal.begin_attempt(words.intent(third, held_nanos=5), call=third)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("place", "fields"),
    [
        (Place("key", b"a" * 16, 1, "This key"), {"api_key_id": b"a" * 16}),
        (Place("model", "fast", 1, "Model 'fast'"), {}),
        (Place("project", PROJECT, 1, "Project 'default'"), {}),
    ],
)
def test_calls_are_counted_by_key_model_or_project(
    journal: Journal, words: Any, place: Place, fields: dict[str, Any]
) -> None:
    async def scene() -> None:
        first, second = (words.call(places=(place,), **fields) for _ in range(2))
        await journal.begin_attempt(words.intent(first), call=first)
        with pytest.raises(RateLimited):
            await journal.begin_attempt(words.intent(second), call=second)

    asyncio.run(scene())


def test_the_places_of_a_dead_process_are_free_once_it_is_buried(make_journal: MakeJournal, words: Any) -> None:
    async def scene() -> None:
        dead, heir = make_journal(), make_journal()
        for _ in range(2):
            call = words.call(user="ann", places=BY_USER)
            await dead.begin_attempt(words.intent(call), call=call)
        call = words.call(user="ann", places=BY_USER)
        with pytest.raises(RateLimited):
            await heir.begin_attempt(words.intent(call), call=call)
        await heir.bury(dead.process_id)
        await heir.begin_attempt(words.intent(call), call=call)

    asyncio.run(scene())


def test_several_processes_never_have_more_running_together(database_url: str, tmp_path: Path, words: Any) -> None:
    """Each with a writer of its own; what is open is counted in between, by a look from outside."""
    databases = [Database.open(database_url) for _ in range(3)]
    blobs = Blobs(tmp_path / "blobs")
    journals = [
        Journal(one, blobs, process_id=new_id(), clock=ManualClock(), new_id=new_id) for one in databases for _ in "ab"
    ]
    places = (Place("user", "ann", 4, "User 'ann'"), Place("project", PROJECT, 6, "Project 'default'"))
    done = [0]

    async def client(journal: Journal, number: int) -> None:
        user = "ann" if number % 2 else f"u{number}"
        own = places if number % 2 else places[1:]
        for _ in range(8):
            call = words.call(user=user, places=own)
            sent = words.intent(call)
            try:
                await journal.begin_attempt(sent, call=call)
            except RateLimited:
                continue
            rows = await journal.read(lambda tx: tx.all("SELECT user_name FROM calls WHERE state = 'running'"))
            assert len(rows) <= 6
            assert sum(row[0] == "ann" for row in rows) <= 4
            await journal.finish_attempt(words.result(sent, 1), words.answer())
            done[0] += 1

    async def scene() -> None:
        await asyncio.gather(*(client(one, number) for one in journals for number in range(6)))
        assert done[0] > 0
        for journal in journals:  # and not held by refusing too early
            call = words.call(user="u", places=places[1:])
            await journal.begin_attempt(words.intent(call), call=call)

    try:
        asyncio.run(scene())
    finally:
        for one in databases:
            one.close()
