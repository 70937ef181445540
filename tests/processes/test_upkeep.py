"""What a worker does beside its runs: the rules of [retention], and blobs that no row names."""

import asyncio
import os
from pathlib import Path

from mooring.config import Config
from mooring.core.ids import new_id
from mooring.journal.config import RetentionConfig
from mooring.journal.records import CallAnswer, NewCall
from mooring.processes.upkeep import keep, sweep_blobs
from mooring.storage import Blobs, FileLock, Home
from mooring.storage.backup import LOCK as BACKUP_LOCK
from mooring.wiring import Server, build

CONFIG = Config(retention=RetentionConfig(payloads="off", every_seconds=0.01))


async def a_call(rooms: Server, body: bytes = b"said") -> bytes:
    """Its key has expired at once: until the rules are applied its bodies are there."""
    call = NewCall(
        id=new_id(),
        project_id="default",
        kind="chat",
        name="fast",
        trace_id=new_id(),
        request_body=b"{}",
        key=new_id().hex(),
        binding=b"bound",
        key_lifetime_seconds=0,
    )
    await rooms.journal.record_call(call, CallAnswer(state="completed", body=body))
    return call.id


def test_a_worker_applies_the_rules(tmp_path: Path) -> None:
    async def scene() -> None:
        async with build(CONFIG, Home(tmp_path / "home"), kind="worker") as rooms:
            call_id = await a_call(rooms)
            assert await rooms.journal.get_body("default", call_id) == b"said"
            task = asyncio.create_task(keep(rooms))
            async with asyncio.timeout(120):
                while await rooms.journal.get_body("default", call_id):
                    await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scene())


def test_orphaned_blobs_are_swept_but_not_while_a_backup_reads(tmp_path: Path) -> None:
    async def scene() -> None:
        async with build(CONFIG, Home(tmp_path / "home"), kind="worker") as rooms:
            named = await a_call(rooms, b"x" * 1_200_000)
            orphan = Blobs(rooms.home.blobs_dir).put("default", b"nobody names this")
            for file in rooms.home.blobs_dir.glob("*/*/*"):
                os.utime(file, (0, 0))
            backup = FileLock.acquire(rooms.home.run_dir / BACKUP_LOCK)
            assert backup is not None
            assert await sweep_blobs(rooms) == 0
            backup.release()
            assert await sweep_blobs(rooms) == len(b"nobody names this")
            assert not Blobs(rooms.home.blobs_dir).has("default", orphan)
            assert len(await rooms.journal.get_body("default", named)) == 1_200_000

    asyncio.run(scene())
