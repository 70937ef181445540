"""A disk that is really full: a file system of its own in memory, where this machine lets the tests mount one."""

import asyncio
import contextlib
import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.conftest import site

from mooring.storage import ballast

SIZE_MB = 48


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that holds little more than the ballast."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(place)], capture_output=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("no full disk was tested: there is no `mount` here")
    if done.returncode:
        pytest.skip(f"no full disk was tested: {done.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Somebody else's file takes all that is left."""
    file = disk / "somebody-elses"
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as open_file:
        while True:
            open_file.write(b"x" * 65_536)
    with pytest.raises(OSError, match="No space") as caught:
        (disk / "one-more").write_bytes(b"x" * 65_536)
    assert caught.value.errno == errno.ENOSPC
    (disk / "one-more").unlink(missing_ok=True)
    return file


def test_a_full_disk_keeps_what_is_in_flight_refuses_new_calls_and_recovers_by_itself(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ballast, "RETRY_SECONDS", 0.05)

    async def scene() -> None:
        async with site(small_disk) as served:
            body = {"model": "sim/echo", "messages": [{"role": "user", "content": "hello " * 2_000}]}
            slow = {"model": "sim/slow", "messages": [{"role": "user", "content": "slowly"}]}
            in_flight = asyncio.create_task(served.post("/v1/chat/completions", slow))
            while not await served.rooms.database.read_async(
                lambda tx: tx.one("SELECT 1 FROM attempts WHERE outcome = 'intended'")
            ):
                await asyncio.sleep(0)
            file = fill(small_disk)
            refused = None
            for _ in range(200):
                answer = await served.post("/v1/chat/completions", body)
                if answer.status != 200:
                    refused = answer
                    break
            assert refused is not None
            assert (refused.status, refused.json["error"]["code"]) == (503, "storage_full")
            assert int(refused.headers["retry-after"]) >= 1
            assert (await served.get("/readyz")).status == 503
            assert not (small_disk / "home" / "ballast").exists()
            done = await in_flight
            assert done.status == 200, done.json
            file.unlink()
            async with asyncio.timeout(120):
                while (await served.post("/v1/chat/completions", body)).status != 200:
                    await asyncio.sleep(0)
            assert (small_disk / "home" / "ballast").exists()
            assert (await served.get("/readyz")).status == 200
            bill = await served.rooms.journal.bill("default")
            assert bill.held_nanos == 0

    asyncio.run(scene())
