"""One house for all programs of the documentation: the double, serve and a worker, with the sample handbook read."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.demo.demo import HANDBOOK
from mooring.verify.house import House, house
from mooring.wiring import build


@pytest.fixture(scope="session")
def documented_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("documented")
    before = dict(os.environ)
    for name in ("MOORING_URL", "MOORING_API_KEY", "MOORING_HOME", "MOORING_CONFIG"):
        os.environ.pop(name, None)
    try:
        with house(workers=1, folder=folder) as running:
            asyncio.run(prepare(running))
            yield running
    finally:
        os.environ.clear()
        os.environ.update(before)


async def prepare(running: House) -> None:
    """What the pages say beside their programs: the handbook is read, and a tag has a budget of nothing."""
    async with build(running.config, running.home, kind="cli") as rooms:
        await rooms.rag.ingest("default", "default", HANDBOOK)
        await rooms.journal.put_budget("default", scope="tag", subject="capped", window="month", cap_nanos=0)
