"""A trace for the eye: a waterfall about 100 columns wide that needs no colours."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mooring.core.ids import show
from mooring.core.money import show_usd
from mooring.core.usage import Usage
from mooring.journal.records import AttemptRecord, CallRecord

from .records import ForeignSpan
from .tracing import Trace, TracedCall

WIDTH = 100
BAR = 20
FIRST, LAST = 200, 100  # calls of a long trace that are shown unless all are asked for
MOST_FACTS = 40
STYLES = {"completed": "green", "running": "cyan", "intended": "cyan", "queued": "cyan"}


class Glyphs(NamedTuple):
    """`waiting` fills from the intent to the first byte, `busy` from there to the end."""

    branch: str
    last: str
    waiting: str
    busy: str
    up: str
    down: str
    to: str


UNICODE = Glyphs("├ ", "└ ", "░", "█", "↑", "↓", "→")
ASCII = Glyphs("|-", "`-", ".", "#", "^", "v", ">")


class Window(NamedTuple):
    """The time that the waterfall spans."""

    start_us: int
    end_us: int

    def bar(self, start_us: int, first_us: int, end_us: int, glyphs: Glyphs) -> str:
        """At least one mark, however short the part is."""
        span = max(self.end_us - self.start_us, 1)
        begin = min(BAR * (start_us - self.start_us) // span, BAR - 1)
        first = BAR * (first_us - self.start_us) // span
        end = min(max(begin + 1, -(-BAR * (end_us - self.start_us) // span)), BAR)
        waiting = min(max(first - begin, 0), end - begin - 1)
        return " " * begin + glyphs.waiting * waiting + glyphs.busy * (end - begin - waiting)


def to_terminal(trace: Trace, console: Console | None = None, *, is_whole: bool = False) -> None:
    """Print the waterfall; of a long trace its ends, unless it `is_whole`."""
    console = console or Console(width=WIDTH, highlight=False)
    if console.options.ascii_only:
        plain = (
            to_text(trace, ASCII, is_whole=is_whole)
            .replace("·", "-")
            .replace("…", "~")
            .encode("ascii", "replace")
            .decode()
        )
        console.print(Text(plain), end="", soft_wrap=True)
    else:
        _print(trace, console, UNICODE, is_whole=is_whole)


def to_text(trace: Trace, glyphs: Glyphs = UNICODE, *, is_whole: bool = False) -> str:
    """The same, plain."""
    console = Console(width=WIDTH, highlight=False, color_system=None, force_terminal=False)
    with console.capture() as captured:
        _print(trace, console, glyphs, is_whole=is_whole)
    return captured.get()


def _print(trace: Trace, console: Console, glyphs: Glyphs, *, is_whole: bool) -> None:
    for line in _head(trace, glyphs):
        console.print(line, no_wrap=True, overflow="ellipsis", crop=True)
    calls = trace.calls
    window = _window(calls, trace.foreign)
    if not calls:
        if not trace.foreign:
            console.print("No call yet.")
    elif is_whole or len(calls) <= FIRST + LAST:
        console.print(_waterfall(calls, window, glyphs))
    else:
        console.print(_waterfall(calls[:FIRST], window, glyphs))
        console.print(Text(f"… {len(calls) - FIRST - LAST:,} calls between: --all shows them", style="dim"))
        console.print(_waterfall(calls[-LAST:], window, glyphs))
    if trace.foreign:
        _print_foreign(trace, console, window, glyphs)
    for fact in facts_of(calls):
        console.print(Text(fact), no_wrap=True, overflow="ellipsis", crop=True)


# the waterfall


def _head(trace: Trace, glyphs: Glyphs) -> list[Text]:
    calls = trace.calls
    window = _window(calls)
    run = trace.run
    title = Text()
    if run is not None:
        title.append(show("run", run.id), style="bold")
        title.append(f"  {_plain(run.name)}  ")
        title.append(run.state, style=STYLES.get(run.state, "red"))
        if run.error_code:
            title.append(f" {run.error_code}", style="red")
    else:
        title.append(f"trace {trace.trace_id.hex()}" if trace.trace_id else "trace", style="bold")
    attempts = sum(len(traced.attempts) for traced in calls)
    facts = (
        f"{_count(len(calls), 'call')}, {_count(attempts, 'attempt')} in "
        f"{_duration(window.end_us - window.start_us)} · {_tokens(trace.usage, glyphs)} tokens · "
        f"{show_usd(trace.settled_nanos)}"
    )
    if trace.held_nanos:
        facts += f" + {show_usd(trace.held_nanos)} held"
    traffic = _bytes(trace.bytes_up, trace.bytes_down, glyphs)
    return [title, Text(f"{facts} · {traffic}" if traffic else facts)]


def _waterfall(calls: Sequence[TracedCall], window: Window, glyphs: Glyphs) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=True, header_style="dim", width=WIDTH, pad_edge=False)
    table.add_column("step", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("", width=BAR, no_wrap=True)
    for title, width in (("time", 8), ("tokens", 11), ("cost", 12), ("bytes", 13)):
        table.add_column(title, width=width, justify="right", no_wrap=True)
    for traced in calls:
        _call_row(table, traced, window, glyphs)
        for place, attempt in enumerate(traced.attempts):
            branch = glyphs.last if place == len(traced.attempts) - 1 else glyphs.branch
            later = traced.attempts[place + 1 :]
            _attempt_row(table, attempt, later[0].intended_at_us if later else None, branch, window, glyphs)
    return table


def _call_row(table: Table, traced: TracedCall, window: Window, glyphs: Glyphs) -> None:
    call = traced.call
    step = f"{_plain(call.step)} " if call.step and call.step != call.name else ""
    label = Text(f"{step}{call.kind} {_plain(call.name)}")
    if call.state != "completed":
        label.append(f" {call.error_code or call.state}", style=STYLES.get(call.state, "red"))
    first = min((one.first_byte_at_us for one in traced.attempts if one.first_byte_at_us), default=call.started_at_us)
    end = _end(call, window)
    table.add_row(
        label,
        Text(window.bar(call.started_at_us, first, end, glyphs), style=STYLES.get(call.state, "red")),
        _duration(end - call.started_at_us),
        _tokens(traced.usage, glyphs),
        _cost(call.settled_nanos, call.held_nanos),
        _bytes(traced.bytes_up, traced.bytes_down, glyphs),
    )


def _attempt_row(
    table: Table, attempt: AttemptRecord, next_us: int | None, branch: str, window: Window, glyphs: Glyphs
) -> None:
    """`next_us`: when the next attempt began; of one in doubt that is the latest that it can have lasted to."""
    label = Text(f"  {branch}{_plain(attempt.target)}", style="dim")
    if attempt.reason != "first":
        label.append(f" ({_plain(attempt.reason)})")
    if attempt.outcome != "completed":
        label.append(f" {attempt.error_code or attempt.outcome}", style=STYLES.get(attempt.outcome, "red"))
    end = attempt.finished_at_us or window.end_us
    if attempt.outcome == "uncertain" and next_us is not None:
        end = max(min(end, next_us), attempt.intended_at_us)
    first = attempt.first_byte_at_us or attempt.intended_at_us
    table.add_row(
        label,
        Text(window.bar(attempt.intended_at_us, first, end, glyphs), style="dim"),
        Text(_duration(end - attempt.intended_at_us), style="dim"),
        Text(_tokens(attempt.usage, glyphs), style="dim"),
        Text(_cost(attempt.settled_nanos, attempt.held_nanos), style="dim"),
        Text(_bytes(attempt.bytes_up, attempt.bytes_down, glyphs), style="dim"),
    )


def _print_foreign(trace: Trace, console: Console, window: Window, glyphs: Glyphs) -> None:
    """Spans of other programs as a tree, with bars under those of the calls."""
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=True, header_style="dim", width=WIDTH, pad_edge=False)
    table.add_column("other programs", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("", width=BAR, no_wrap=True)
    table.add_column("", width=8, justify="right", no_wrap=True)
    table.add_column("", width=38, no_wrap=True, overflow="ellipsis")
    ours = {traced.call.id[8:]: show("call", traced.call.id) for traced in trace.calls}
    for depth, span in _tree(trace.foreign):
        is_failed = span.state == "error"
        end = span.finished_at_us or window.end_us
        bar = window.bar(span.started_at_us, span.started_at_us, end, glyphs)
        parent = ours.get(span.parent_id) if span.parent_id else None
        table.add_row(
            Text(
                "  " * min(depth, 10) + _plain(f"{span.service} {span.name}".strip()) + (" error" if is_failed else "")
            ),
            Text(bar, style="red" if is_failed else "dim"),
            Text(_duration(max(end - span.started_at_us, 0)), style="dim"),
            Text(f"of {parent}" if parent else "", style="dim"),
        )
    console.print(table)
    if trace.foreign_count > len(trace.foreign):
        console.print(Text(f"… of {trace.foreign_count:,} spans the first {len(trace.foreign):,}", style="dim"))


def _tree(spans: Sequence[ForeignSpan]) -> Iterator[tuple[int, ForeignSpan]]:
    """Each once with its depth, children behind their parent; whose parents go in a circle come last."""
    known = {span.span_id for span in spans}
    below: dict[bytes | None, list[ForeignSpan]] = {}
    for span in spans:
        below.setdefault(span.parent_id if span.parent_id in known else None, []).append(span)
    seen: set[bytes] = set()
    for start in (below.get(None, ()), spans):
        waiting = [(0, span) for span in reversed(start)]
        while waiting:
            depth, span = waiting.pop()
            if span.span_id not in seen:
                seen.add(span.span_id)
                yield depth, span
                waiting += [(depth + 1, child) for child in reversed(below.get(span.span_id, ()))]


def _window(calls: Sequence[TracedCall], foreign: Sequence[ForeignSpan] = ()) -> Window:
    """From the first call (waiting in the queue is not work) to the last thing that happened."""
    starts = [traced.call.started_at_us for traced in calls]
    ends = [traced.call.finished_at_us or traced.call.started_at_us for traced in calls]
    ends += [one.finished_at_us or one.intended_at_us for traced in calls for one in traced.attempts]
    starts += [span.started_at_us for span in foreign]
    ends += [span.finished_at_us or span.started_at_us for span in foreign]
    if not starts:
        return Window(0, 0)
    return Window(min(starts), max(ends))


def _end(call: CallRecord, window: Window) -> int:
    return call.finished_at_us or window.end_us


def facts_of(calls: Sequence[TracedCall]) -> Iterator[str]:
    """What guards found and what was retrieved with which scores, a line each."""
    lines = [
        (title, line)
        for title, name, shown in (("guards", "guards", _guard), ("retrieved", "hits", _hit))
        for traced in calls
        for fact in traced.call.attributes.get(name, ())
        if isinstance(fact, dict)
        for line in [shown(traced.call, fact)]
    ]
    before = None
    for title, line in lines[:MOST_FACTS]:
        if title != before:
            yield ""
            yield title
        before = title
        yield f"  {line}"
    if len(lines) > MOST_FACTS:
        yield f"  … {len(lines) - MOST_FACTS:,} more: --json shows them"


def _guard(call: CallRecord, fact: dict[str, Any]) -> str:
    kinds = ", ".join(map(str, fact.get("kinds", ())))
    found = f"{fact.get('check', '?')} {fact.get('action', '?')}" + (f" ({kinds})" if kinds else "")
    return _plain(f"{call.step or call.name}: {found}  {fact.get('reason') or ''}".rstrip())


def _hit(call: CallRecord, fact: dict[str, Any]) -> str:
    scores = "  ".join(f"{name} {value:.3f}" for name, value in fact.get("scores", {}).items())
    section = f" § {fact['section']}" if fact.get("section") else ""
    return _plain(f"{fact.get('path', '?')}{section} [{fact.get('start', '?')}, {fact.get('end', '?')})  {scores}")


def _plain(text: str) -> str:
    """Without control characters: a name must not move the cursor."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _duration(microseconds: int) -> str:
    if microseconds < 1_000:
        return f"{microseconds} us"
    if microseconds < 1_000_000:
        return f"{microseconds / 1e3:.1f} ms"
    return f"{microseconds / 1e6:.2f} s" if microseconds < 600_000_000 else f"{microseconds / 6e7:.1f} min"


def _tokens(usage: Usage | None, glyphs: Glyphs) -> str:
    if usage is None or not (usage.input_tokens or usage.output_tokens):
        return ""
    mark = "~" if usage.is_estimated else ""
    return f"{mark}{_short(usage.input_tokens)}{glyphs.to}{_short(usage.output_tokens)}"


def _short(number: int) -> str:
    return str(number) if number < 100_000 else f"{number / 1_000:.0f}k"


def _cost(settled_nanos: int, held_nanos: int) -> str:
    """A held amount stands in brackets: it is the most that is still open."""
    if held_nanos and not settled_nanos:
        return f"({show_usd(held_nanos)[:-2]})"
    return show_usd(settled_nanos) if settled_nanos else ""


def _bytes(up: int, down: int, glyphs: Glyphs) -> str:
    return f"{_size(up)}{glyphs.up} {_size(down)}{glyphs.down}" if up or down else ""


def _size(number: int) -> str:
    for unit in ("", "k", "M"):
        if number < 1_000:
            return f"{number:.0f}{unit}" if unit == "" or number >= 10 else f"{number:.1f}{unit}"
        number = number / 1_000  # type: ignore[assignment]
    return f"{number:.0f}G"
