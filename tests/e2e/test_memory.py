"""Memory stays flat: queues are bounded, and what is over is let go."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from .conftest import Open, Serve

ROUNDS, REQUESTS = 4, 500
MOST_GROWTH_BYTES = 24 * 1024 * 1024


@pytest.mark.soak
def test_serve_stays_small_under_load(site: Open) -> None:
    """Bodies of 40 kB, plain, streamed and keyed: after the first round, serve hardly grows any more."""
    with site() as s, ThreadPoolExecutor(16) as clients:
        serve = s.serve()
        sizes = []
        for turn in range(ROUNDS):
            statuses = list(clients.map(lambda number, turn=turn: ask(serve, turn, number), range(REQUESTS)))
            assert set(statuses) == {200}
            sizes.append(resident_bytes(serve.process.pid))
        assert sizes[-1] - sizes[0] < MOST_GROWTH_BYTES, sizes


def ask(serve: Serve, turn: int, number: int) -> int:
    body: dict[str, Any] = {"model": "sim/echo", "messages": [{"role": "user", "content": f"{turn} {number} " * 4000}]}
    if number % 2:
        body["stream"] = True
    return serve.chat(body, idempotency_key=f"{turn}-{number}" if number % 3 == 0 else None).status


def resident_bytes(pid: int) -> int:
    statm = Path(f"/proc/{pid}/statm")
    if not statm.exists():
        pytest.skip("the size of a process is read from /proc")
    return int(statm.read_text().split()[1]) * 4096
