"""Progress of long work: a bar on a terminal, nothing elsewhere; always on standard error."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from .output import is_terminal

Advance = Callable[[int, int], None]  # done, total


@contextlib.contextmanager
def bar(what: str, unit: str) -> Iterator[Advance]:
    """`advance(done, total)` moves it; a total of 0 means that nobody knows yet."""
    if not is_terminal(sys.stderr):
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total or None)
