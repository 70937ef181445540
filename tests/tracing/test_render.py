"""The waterfall fits its columns without colours, and JSON holds the same figures."""

import asyncio
import io
from typing import Any

import msgspec
from rich.console import Console

from mooring.core.ids import show
from mooring.journal import AttemptResult, CallAnswer
from mooring.tracing import Trace, data, render

PROJECT = "default"


def traced(scene: Any) -> Trace:
    async def work() -> Trace:
        run = await scene.agent_run()
        return await scene.traces.trace(PROJECT, run_id=run.id)

    return asyncio.run(work())


def test_the_waterfall_tells_run_calls_attempts_tokens_dollars_bytes_and_times(scene: Any) -> None:
    trace = traced(scene)
    assert trace.run is not None
    text = render.to_text(trace)
    lines = text.splitlines()
    assert show("run", trace.run.id) in lines[0]
    assert "completed" in lines[0]
    assert "3 calls, 4 attempts in 550.0 ms" in lines[1]
    assert "$0.000520002" in lines[1]
    first = next(line for line in lines if "1 chat fast" in line)
    for fact in ("300.0 ms", "1000→50", "$0.000260001", "2.5k↑ 567↓"):
        assert fact in first
    assert any("├ sim/flaky upstream_t" in line for line in lines)
    assert any("└ sim/echo (fallback)" in line for line in lines)
    assert any("2 tool refund" in line and "50.0 ms" in line for line in lines)


def test_no_line_is_wider_than_its_columns_and_none_has_colours(scene: Any) -> None:
    text = render.to_text(traced(scene))
    assert max(len(line) for line in text.splitlines()) <= render.WIDTH
    assert "\x1b" not in text


def test_bars_follow_each_other_in_time(scene: Any) -> None:
    bars = [line for line in render.to_text(traced(scene)).splitlines() if "chat fast" in line]
    assert bars[0].index("█") < bars[1].index("█")
    assert "░" in bars[1]


def test_a_terminal_that_knows_only_ascii_gets_ascii(scene: Any) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    render.to_terminal(traced(scene), Console(file=stream, width=render.WIDTH, highlight=False))
    stream.seek(0)
    told = stream.read()
    assert "#" in told
    assert "1000>50" in told
    stream.close()


def test_names_cannot_move_the_cursor_or_use_markup(scene: Any) -> None:
    async def work() -> Trace:
        call = scene.call(None, name="[red]x\x1b[2J\n")
        await scene.answered(await scene.send(call, target="a[/]b"))
        return await scene.traces.trace(PROJECT, call_id=call.id)

    text = render.to_text(asyncio.run(work()))
    assert "\x1b" not in text
    assert "chat [red]x\N{REPLACEMENT CHARACTER}[2J" in text
    assert "a[/]b" in text


def test_what_is_still_held_stands_in_brackets(scene: Any) -> None:
    async def work() -> Trace:
        run = await scene.run()
        intent = await scene.send(scene.call(run))
        result = AttemptResult(intent.id, "failed", None, error_code="upstream_disconnected")
        await scene.journal.finish_attempt(result, CallAnswer("failed", status=502, error_code="upstream_disconnected"))
        return await scene.traces.trace(PROJECT, run_id=run.id)

    text = render.to_text(asyncio.run(work()))
    assert "+ $0.010000000 held" in text
    assert "($0.0100000)" in text


def test_a_run_without_calls_says_so(scene: Any) -> None:
    async def work() -> Trace:
        run = await scene.run()
        return await scene.traces.trace(PROJECT, run_id=run.id)

    assert "No call yet." in render.to_text(asyncio.run(work()))


def test_json_holds_the_whole_tree_with_shown_ids_and_exact_amounts(scene: Any) -> None:
    trace = traced(scene)
    tree = msgspec.json.decode(msgspec.json.encode(data.to_json(trace)))
    assert trace.run is not None
    assert tree["run"]["id"] == show("run", trace.run.id)
    assert [step["step"] for step in tree["steps"]] == ["1", "2", "3"]
    attempts = tree["steps"][0]["calls"][0]["attempts"]
    assert [(one["target"], one["outcome"], one["settled_nanos"]) for one in attempts] == [
        ("sim/flaky", "failed", 0),
        ("sim/echo", "completed", 260_001),
    ]
    assert tree["total"]["settled_nanos"] == 520_002
    assert tree["total"]["usage"] == {"input_tokens": 2_000, "output_tokens": 100, "cached_input_tokens": 800}
    assert [event["seq"] for event in tree["events"]] == [1, 2, 3, 4]


def test_an_attempt_in_doubt_lasts_until_the_next_began_and_no_longer(scene: Any) -> None:
    trace = traced(scene)
    first = trace.calls[0]
    doubt, repeat = first.attempts
    doubt = msgspec.structs.replace(doubt, outcome="uncertain", error_code=None, finished_at_us=None)
    calls = (msgspec.structs.replace(first, attempts=(doubt, repeat)),)
    steps = (msgspec.structs.replace(trace.steps[0], calls=calls), *trace.steps[1:])
    line = next(
        line for line in render.to_text(msgspec.structs.replace(trace, steps=steps)).splitlines() if "uncertain" in line
    )
    assert f"{(repeat.intended_at_us - doubt.intended_at_us) / 1e3:.1f} ms" in line
