"""What verbs print. Standard output is the answer, standard error is for people.

With `--json` standard output is exactly one JSON document, the answer or `{"error": …}`. Without, it is a table or a
sentence: coloured and cut to the width on a terminal, whole and plain anywhere else.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

STYLES = {
    **dict.fromkeys(("completed", "active", "ready", "ok"), "green"),
    **dict.fromkeys(("running", "queued", "waiting"), "cyan"),
    **dict.fromkeys(("parked", "uncertain", "expired", "warning"), "yellow"),
    **dict.fromkeys(("failed", "cancelled", "revoked", "unreadable"), "red"),
}


class JsonOption(click.Option):
    """`--json`, which knows what the document holds: the reference page and a test read it."""

    def __init__(self, fields: Sequence[str], *, is_list: bool) -> None:
        what = "A list of objects" if is_list else "One object"
        super().__init__(["--json", "as_json"], is_flag=True, help=f"{what}: {', '.join(fields)}.")
        self.fields = tuple(fields)
        self.is_list = is_list


def json_option(*fields: str, is_list: bool = False) -> Callable[[Command], Command]:
    """Adds `--json` to a verb, with the names that its document always has; it may get more."""

    def add(function: Command) -> Command:
        if not hasattr(function, "__click_params__"):
            function.__click_params__ = []  # type: ignore[attr-defined]
        function.__click_params__.append(JsonOption(fields, is_list=is_list))  # type: ignore[attr-defined]
        return function

    return add


def examples(*lines: str) -> str:
    """The end of a verb's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


class Listing(click.Group):
    """A group of a plural's verbs: `mooring runs --limit 5` is `mooring runs list --limit 5`."""

    def __init__(self, *arguments: Any, default: str = "list", **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_plain = not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names)
        is_plain = is_plain and not ctx.resilient_parsing  # a shell that completes asks for the verbs themselves
        return super().parse_args(ctx, [self.default, *args] if is_plain else args)


def print_json(document: Any) -> None:
    """The verb's one document."""
    import msgspec

    click.echo(msgspec.json.encode(document).decode())


def note(text: str) -> None:
    """Beside the answer: progress, remarks, what to do next."""
    click.echo(text, err=True)


class Column(NamedTuple):
    """A table's column. `is_flexible`: the one that is cut where the terminal is narrow."""

    title: str
    is_number: bool = False
    is_flexible: bool = False


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """One line a row. On a terminal it fits its width; elsewhere every cell is whole."""
    found = [[_printable(cell) for cell in row] for row in rows]
    if is_terminal(sys.stdout):
        _draw(columns, found)
        return
    widths = [
        max(len(row[place]) for row in [[column.title for column in columns], *found]) for place in _count(columns)
    ]
    for row in [[column.title.upper() for column in columns], *found]:
        cells = (
            cell.rjust(width) if column.is_number else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        )
        click.echo("  ".join(cells).rstrip())


def is_terminal(stream: Any) -> bool:
    """Whether a person looks at it; `TERM=dumb` can draw nothing."""
    return bool(stream.isatty()) and os.environ.get("TERM") != "dumb"


def _count(columns: Sequence[Column]) -> range:
    return range(len(columns))


def _draw(columns: Sequence[Column], rows: list[list[str]]) -> None:
    """By rich, which knows wide characters, and leaves colours away for NO_COLOR."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.is_number else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if column.is_flexible else None,
        )
    for row in rows:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    table.expand = any(column.is_flexible for column in columns)
    Console(highlight=False, width=shutil.get_terminal_size().columns).print(table)


def _printable(text: str) -> str:
    """Without control characters: a name must move no cursor and break no line."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def many(number: int, noun: str) -> str:
    """`1 row`, `1,204 rows`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
