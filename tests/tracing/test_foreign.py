"""Spans of other programs stand under the waterfall as a tree, whatever their parents say."""

import asyncio
from typing import Any

import msgspec

from mooring.core.ids import show
from mooring.tracing import Trace, render
from mooring.tracing.records import ForeignSpan

PROJECT = "default"


def test_they_stand_under_the_calls_as_a_tree_and_a_circle_loses_none(scene: Any) -> None:
    async def work() -> Trace:
        run = await scene.agent_run()
        trace: Trace = await scene.traces.trace(PROJECT, run_id=run.id)
        return trace

    trace = asyncio.run(work())
    call = trace.calls[0].call
    start = call.started_at_us

    def span(number: int, name: str, parent: bytes | None, **more: Any) -> ForeignSpan:
        state = more.get("state", "unset")
        known = bytes(15), number.to_bytes(8), parent, "shop", name, "internal", state
        return ForeignSpan(*known, start - 1_000_000 + number, start + 2_000_000)

    spans = (
        span(1, "GET /order", None),
        span(2, "ask \x1b[2J", (1).to_bytes(8)),
        span(3, "tool side", call.id[8:], state="error"),
        span(4, "left", (5).to_bytes(8)),
        span(5, "right", (4).to_bytes(8)),
    )
    text = render.to_text(msgspec.structs.replace(trace, foreign=spans, foreign_count=7))
    lines = [line.rstrip() for line in text.splitlines()]
    assert max(map(len, lines)) <= render.WIDTH
    assert any(line.startswith("shop GET /order") for line in lines)
    assert any(line.startswith("  shop ask \N{REPLACEMENT CHARACTER}[2J") for line in lines)
    assert any("tool side error" in line and f"of {show('call', call.id)}" in line for line in lines)
    assert sum("shop left" in line or "shop right" in line for line in lines) == 2
    assert "… of 7 spans the first 5" in lines
    alone = render.to_text(Trace(PROJECT, b"t" * 16, None, (), (), None, spans, 5))
    assert "No call yet" not in alone
    assert "GET /order" in alone
