"""A home whose secret was lost says so; it never takes a new one for the old."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.core import ids
from mooring.core.clock import ManualClock
from mooring.core.errors import NotAuthenticated
from mooring.gateway.keys import Keys
from mooring.gateway.prints import Prints, SecretLost
from mooring.storage import Database, Home


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(f"sqlite:///{tmp_path / 'prints.db'}")
    yield opened
    opened.close()


def keys_of(database: Database, home: Path) -> Keys:
    return Keys(database, secrets=Home(home).secrets, clock=ManualClock(), new_id=ids.new_id)


def test_a_secret_made_in_the_place_of_a_lost_one_is_told_from_it(database: Database, tmp_path: Path) -> None:
    async def scene() -> None:
        before = keys_of(database, tmp_path)
        await before.create("p", name="x")
        saved = (tmp_path / "secret.key").rename(tmp_path / "saved.key")
        after = keys_of(database, tmp_path)
        assert await after.prints.strangers() == (1,)
        for refused in (after.prints.require(), after.create("p", name="y")):
            with pytest.raises(SecretLost, match=r"secret\.key is not the one .* \(version 1\)"):
                await refused
        with pytest.raises(SecretLost):
            after.prints.look()
        assert [key.state_at(0) for key in await after.list("p")] == ["secret_lost"]
        saved.replace(tmp_path / "secret.key")
        restored = keys_of(database, tmp_path)
        await restored.prints.require()
        assert [key.state_at(0) for key in await restored.list("p")] == ["active"]

    asyncio.run(scene())


def test_with_a_new_secret_new_keys_work_and_old_ones_stay_marked(database: Database, tmp_path: Path) -> None:
    async def scene() -> None:
        old = await keys_of(database, tmp_path).create("p", name="old")
        (tmp_path / "secret.key").unlink()
        secrets = Home(tmp_path).secrets
        prints = Prints(database, secrets)
        assert secrets.renew(without=await prints.strangers(), after=await prints.newest()) == 2
        keys = keys_of(database, tmp_path)
        await keys.prints.require()
        await keys.verify(await keys.create("p", name="new"))
        with pytest.raises(NotAuthenticated, match="a secret that this home does not have"):
            await keys.verify(old)
        assert {key.name: key.state_at(0) for key in await keys.list("p")} == {"old": "secret_lost", "new": "active"}

    asyncio.run(scene())


def test_a_second_home_with_another_secret_is_refused_and_notes_nothing(database: Database, tmp_path: Path) -> None:
    async def scene() -> None:
        await keys_of(database, tmp_path / "one").prints.require()
        second = Home(tmp_path / "two").secrets
        second.rotate()
        with pytest.raises(SecretLost):
            await Prints(database, second).require()
        assert await Prints(database, second).newest() == 1

    asyncio.run(scene())


def test_a_secret_that_was_rotated_is_noted_and_the_older_still_fits(database: Database, tmp_path: Path) -> None:
    async def scene() -> None:
        key = await keys_of(database, tmp_path).create("p", name="x")
        Home(tmp_path).secrets.rotate()
        keys = keys_of(database, tmp_path)
        await keys.prints.require()
        assert await keys.prints.newest() == 2
        await keys.verify(key)

    asyncio.run(scene())
