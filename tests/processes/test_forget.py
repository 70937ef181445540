"""What was forgotten is in no file of the home: not in the journal, its log, the blobs, the traces or their index."""

import asyncio
import os
from pathlib import Path

import pytest
from tests.cli.conftest import Cli, cli, folder

from mooring.config import Config
from mooring.core import ids
from mooring.core.ids import new_id
from mooring.journal.records import CallAnswer, NewCall
from mooring.storage import Home
from mooring.wiring import Server, build

__all__ = ["cli", "folder"]
MARKER = "marker" + os.urandom(8).hex()


async def say(rooms: Server, *, user: str, text: str) -> None:
    body = b'{"model":"fast","messages":[{"role":"user","content":"%s"}]}' % text.encode()
    answer = b'{"choices":[{"message":{"role":"assistant","content":"%s"}}]}' % text.encode()
    call = NewCall(
        id=new_id(), project_id="default", kind="chat", name="fast", trace_id=new_id(), request_body=body, user=user,
        tags=(user,), session=user,
    )  # fmt: skip
    await rooms.journal.record_call(call, CallAnswer(state="completed", body=answer))


def holding(home: Path) -> list[str]:
    return [file.name for file in home.rglob("*") if file.is_file() and MARKER.encode() in file.read_bytes().lower()]


@pytest.mark.usefixtures("folder")
def test_a_forgotten_user_is_in_no_file_of_the_home(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("MOORING_HOME", str(home))

    async def fill() -> None:
        async with build(Config(), Home(home), kind="cli") as rooms:
            for number in range(20):
                await say(rooms, user=f"{MARKER}-user", text=f"{MARKER} says {number}")
                await say(rooms, user="other", text=f"something else {number}")
            await say(rooms, user=f"{MARKER}-user", text=f"{MARKER} " * 60_000)
            await rooms.projector.catch_up()

    asyncio.run(fill())
    assert {"mooring.db", "traces.db"} <= set(holding(home))
    assert cli("runs", "forget", "--user", f"{MARKER}-user", "--vacuum", "--json").json["payloads"] == 21
    assert holding(home) == []

    async def look() -> int:
        async with build(Config(), Home(home), kind="cli") as rooms:
            calls = await rooms.journal.list_calls("default")
            kept = [call for call in calls if await rooms.journal.get_body("default", call.id)]
            assert {call.user for call in kept} == {"other"}
            assert ids.show("call", kept[0].id)
            return len(kept)

    assert asyncio.run(look()) == 20


def test_forgetting_needs_a_run_or_a_user(cli: Cli) -> None:
    assert cli("runs", "forget").code == 2
    assert cli("runs", "forget", "last", "--user", "u").code == 2
