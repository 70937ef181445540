"""Two versions do not work on one home together: who comes second is refused, or waits."""

import asyncio
from pathlib import Path

import pytest
from tests.server.conftest import site

from mooring.client.discovery import Endpoint
from mooring.client.transport import Transport
from mooring.config import Config
from mooring.core.errors import ConfigError, Unavailable
from mooring.core.ids import new_id
from mooring.storage import Home, ProcessLock, liveness
from mooring.wiring import build


async def start(home: Home) -> str:
    async with build(Config(), home, kind="worker") as rooms:
        return rooms.version


def test_a_process_beside_one_of_another_schema_or_protocol_is_refused_before_it_opens_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home")
    with monkeypatch.context() as older:
        older.setattr(liveness, "SPEAKS", "schema 0000, protocol 1")
        running = ProcessLock.acquire(home, process_id=new_id(), kind="serve", version="0.0.9")
    with pytest.raises(ConfigError, match=r"Mooring 0\.0\.9 runs on .* as serve .*speaks schema 0000, protocol 1"):
        asyncio.run(start(home))
    assert not (home.path / "mooring.db").exists()
    assert list(home.run_dir.glob("*-worker-*.lock")) == []
    running.release()
    assert asyncio.run(start(home))


def test_a_process_beside_one_of_the_same_version_starts(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    running = ProcessLock.acquire(home, process_id=new_id(), kind="serve", version="0.0.9")
    assert asyncio.run(start(home))
    running.release()


def test_a_worker_that_speaks_another_protocol_than_serve_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with site(tmp_path) as served:
            worker = Transport(Endpoint(served.url, served.rooms.service_key, is_service=True), timeout_seconds=10)
            assert (await worker.call("GET", "/v1/runs")).data is not None
            monkeypatch.setattr("mooring.client.transport.PROTOCOL", 0)
            with pytest.raises(Unavailable, match="speaks protocol 0, serve speaks"):
                await worker.call("GET", "/v1/runs")
            await worker.close()

    asyncio.run(scene())
