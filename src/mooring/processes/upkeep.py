"""What a worker does beside its runs: it applies [retention], and removes blobs that no row names."""

import asyncio
import logging
from functools import partial

from mooring.core.errors import MooringError
from mooring.core.registry import late
from mooring.storage import Blobs, FileLock
from mooring.wiring import Server

log = logging.getLogger("mooring.upkeep")
LOCK = "upkeep.lock"
SWEEP_EVERY_SECONDS = 3_600.0


async def keep(rooms: Server) -> None:
    """Until cancelled: one process of the home at a time."""
    swept_at = rooms.clock.monotonic()
    while True:
        await asyncio.sleep(rooms.config.retention.every_seconds)
        lock = FileLock.acquire(rooms.home.run_dir / LOCK)
        if lock is None:
            continue
        try:
            gone = await rooms.journal.retain(rooms.config.retention)
            if any(gone):
                log.info("retention: %s", gone)
            if rooms.clock.monotonic() - swept_at >= SWEEP_EVERY_SECONDS:
                swept_at = rooms.clock.monotonic()
                await sweep_blobs(rooms)
        except MooringError as error:
            log.warning("upkeep failed: %s", error)
        finally:
            lock.release()


async def sweep_blobs(rooms: Server) -> int:
    """Remove orphans of an hour ago and older; the bytes that this freed. Not while a backup reads them."""
    blobs = Blobs(rooms.home.blobs_dir)
    freed = 0
    with late("mooring.storage.backup").may_remove_blobs(rooms.home.run_dir) as may:
        if not may:
            return 0
        for project_id in await rooms.journal.projects():
            freed += await asyncio.to_thread(blobs.sweep, project_id, partial(rooms.journal.is_named, project_id))
    return freed
