"""A hint reaches whoever waits, in this process and in others."""

import asyncio
from collections.abc import Iterator

import pytest

from mooring.storage import Database


@pytest.fixture
def other(database_url: str, database: Database) -> Iterator[Database]:
    """What another process has: the same database, opened again."""
    opened = Database.open(database_url, readers=1)
    yield opened
    opened.close()


def test_a_hint_wakes_a_waiter_of_the_same_process(database: Database) -> None:
    async def act() -> bool:
        with database.wakeups.subscribe("run/1") as subscription:
            await asyncio.to_thread(database.wakeups.notify, "run/1")
            return await subscription.wait(timeout_seconds=30)

    assert asyncio.run(act())


def test_a_hint_wakes_a_waiter_of_another_process(database: Database, other: Database) -> None:
    async def act() -> bool:
        with database.wakeups.subscribe("run/1") as subscription:
            for _ in range(100):  # it listens from about now on; a hint may be lost, so it is sent until it is heard
                other.wakeups.notify("run/1")
                if await subscription.wait(timeout_seconds=0.3):
                    return True
        return False

    assert asyncio.run(act())


def test_a_hint_on_another_channel_wakes_nobody(database: Database) -> None:
    async def act() -> bool:
        with database.wakeups.subscribe("run/1") as subscription:
            database.wakeups.notify("run/2")
            return await subscription.wait(timeout_seconds=0.01)

    assert not asyncio.run(act())


def test_waiting_without_a_hint_ends_with_its_time(database: Database) -> None:
    assert not asyncio.run(database.wakeups.wait("run/1", 0.01))


def test_a_hint_between_the_look_and_the_wait_is_not_missed(database: Database) -> None:
    async def act() -> bool:
        with database.wakeups.subscribe("run/1") as subscription:
            database.wakeups.notify("run/1")
            await asyncio.sleep(0)  # the caller looks at the database here
            return await subscription.wait(timeout_seconds=30)

    assert asyncio.run(act())


def test_a_notification_after_close_is_no_error(database: Database) -> None:
    database.close()
    database.wakeups.notify("run/1")
