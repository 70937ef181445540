"""The loop that programs run on."""

import asyncio
import sys

import pytest

from mooring.net.loop import run


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop has no Windows build")
def test_programs_run_on_uvloop() -> None:
    async def name() -> str:
        return type(asyncio.get_running_loop()).__module__

    assert run(name()) == "uvloop"
