"""API keys: shown once, verified without a look-up where they are malformed, revoked at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mooring.core import ids
from mooring.core.clock import ManualClock
from mooring.core.errors import InvalidRequest, NotAuthenticated, NotFound
from mooring.gateway.keys import Caller, Keys
from mooring.storage import Database

from .house import Secret


@asynccontextmanager
async def keys(path: Path) -> AsyncIterator[tuple[Keys, ManualClock, Database]]:
    database = Database.open(f"sqlite:///{path / 'keys.db'}")
    clock = ManualClock()
    try:
        yield Keys(database, secrets=Secret(), clock=clock, new_id=ids.new_id), clock, database
    finally:
        database.close()


def test_a_key_names_its_project_and_scopes_and_is_not_stored(tmp_path: Path) -> None:
    async def scene() -> None:
        async with keys(tmp_path) as (made, _, database):
            assert not await made.exist()
            key = await made.create("shop", name="ci", scopes=("call",))
            assert await made.exist()
            caller = await made.verify(key)
            assert (caller.project_id, caller.scopes, caller.is_service) == ("shop", ("call",), False)
            assert await made.verify(key) == caller
            (info,) = await made.list("shop")
            assert info.id == ids.show("key", caller.api_key_id or b"")
            assert await made.list("other") == []
            stored = await database.read_async(lambda tx: tx.one("SELECT * FROM api_keys"))
            assert key[30:82] not in repr(stored)

    asyncio.run(scene())


def test_every_key_is_another_and_has_256_bits(tmp_path: Path) -> None:
    async def scene() -> None:
        async with keys(tmp_path) as (made, _, _):
            several = {await made.create("p", name="x") for _ in range(20)}
            assert len({key.split("_")[2] for key in several}) == 20
            assert all(len(key) == len("mr_") + 26 + 1 + 52 + 6 for key in several)

    asyncio.run(scene())


def test_a_changed_character_anywhere_is_refused(tmp_path: Path) -> None:
    async def scene() -> None:
        async with keys(tmp_path) as (made, _, _):
            key = await made.create("p", name="x")
            for position in range(len(key)):
                other = "0" if key[position] != "0" else "1"
                with pytest.raises(NotAuthenticated):
                    await made.verify(key[:position] + other + key[position + 1 :])

    asyncio.run(scene())


@pytest.mark.parametrize("key", ["", "x", "mr_", "mr_" + "a" * 90, "sk-" + "b" * 60, "mr_é" + "a" * 84, "\0" * 88])
def test_what_is_not_a_key_is_refused(tmp_path: Path, key: str) -> None:
    async def scene() -> None:
        async with keys(tmp_path) as (made, _, _):
            with pytest.raises(NotAuthenticated):
                await made.verify(key)

    asyncio.run(scene())


def test_a_revoked_key_ends_here_at_once_and_in_other_processes_within_two_seconds(tmp_path: Path) -> None:
    async def scene() -> None:
        async with keys(tmp_path) as (made, clock, database):
            other = Keys(database, secrets=Secret(), clock=clock, new_id=ids.new_id)
            key = await made.create("p", name="x")
            caller = await made.verify(key)
            await other.verify(key)
            await made.revoke("p", ids.show("key", caller.api_key_id or b""))
            with pytest.raises(NotAuthenticated):
                await made.verify(key)
            clock.advance(2.1)
            with pytest.raises(NotAuthenticated):
                await other.verify(key)

    asyncio.run(scene())


def test_an_expired_key_is_refused_although_it_was_remembered(tmp_path: Path) -> None:
    async def scene() -> None:
        async with keys(tmp_path) as (made, clock, _):
            key = await made.create("p", name="x", lifetime_seconds=1)
            await made.verify(key)
            clock.advance(1.0)
            with pytest.raises(NotAuthenticated, match="expired"):
                await made.verify(key)

    asyncio.run(scene())


def test_a_key_of_another_project_cannot_be_revoked(tmp_path: Path) -> None:
    async def scene() -> None:
        async with keys(tmp_path) as (made, _, _):
            key = await made.create("p", name="x")
            shown = ids.show("key", (await made.verify(key)).api_key_id or b"")
            with pytest.raises(NotFound):
                await made.revoke("q", shown)
            await made.revoke("p", shown)
            with pytest.raises(NotFound):
                await made.revoke("p", shown)

    asyncio.run(scene())


def test_an_unknown_scope_is_refused(tmp_path: Path) -> None:
    async def scene() -> None:
        async with keys(tmp_path) as (made, _, _):
            with pytest.raises(InvalidRequest, match="root"):
                await made.create("p", name="x", scopes=("root",))
            with pytest.raises(InvalidRequest):
                await made.create("p", name="x", scopes=())

    asyncio.run(scene())


def test_a_process_of_the_home_may_do_everything() -> None:
    assert Caller.service("p").is_service
    assert "admin" in Caller.service("p").scopes
