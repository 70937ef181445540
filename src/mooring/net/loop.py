"""The fastest event loop there is: uvloop, and asyncio's own on Windows."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

if sys.platform == "win32":
    new_event_loop = asyncio.new_event_loop
else:
    from uvloop import new_event_loop

__all__ = ["new_event_loop", "run"]


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on it."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)
