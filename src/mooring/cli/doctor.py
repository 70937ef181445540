"""`doctor`: is all well, and what to do where it is not; what takes how much."""

import sys
from typing import TYPE_CHECKING

import click

from .output import Column, examples, json_option, print_json, print_table

if TYPE_CHECKING:
    from mooring.processes.sizes import Sizes

MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


@click.command("doctor", epilog=examples("mooring doctor", "mooring doctor --reach --json", "mooring doctor --sizes"))
@click.option("--reach", is_flag=True, help="Also ask each provider beyond this machine whether it answers.")
@click.option("--sizes", is_flag=True, help="Instead: what takes how much, and what [retention] would free.")
@json_option("subject", "status", "text", is_list=True)
def doctor_command(reach: bool, sizes: bool, as_json: bool) -> None:
    """Look at this home: versions, processes, memory, disk, keys, what waits, whom it talks to.

    Exit 1 if something must be mended.
    """
    from mooring.cli.rooms import with_rooms
    from mooring.processes.doctor import examine
    from mooring.processes.sizes import report

    if sizes:
        found = with_rooms(report)
        print_json(found) if as_json else show_sizes(found)
        return
    lines = with_rooms(lambda rooms: examine(rooms, reach=reach))
    fails = sum(line.status == "fail" for line in lines)
    if as_json:
        print_json(lines)
        sys.exit(1 if fails else 0)
    for line in lines:
        click.echo(f"{MARKS[line.status]}  {line.subject:15}  {line.text}")
        if line.do is not None:
            click.echo(f"{'':23}→ {line.do}")
    warns = sum(line.status == "warn" for line in lines)
    click.echo(f"{fails} to mend, {warns} to look at." if fails or warns else "All is well.")
    sys.exit(1 if fails else 0)


def show_sizes(found: "Sizes") -> None:
    """Files, tables, rules."""
    size = Column("MB", is_number=True)
    print_table(
        (Column("on disk"), size), [(name, f"{count / 1e6:,.1f}") for name, count in sorted(found.files.items())]
    )
    print_table(
        (Column("table"), Column("rows", is_number=True), size),
        [(name, f"{rows:,}", f"{count / 1e6:,.1f}") for name, rows, count in found.tables],
    )
    for rule in found.freed:
        state = "lets go of" if rule.is_set else "is not set; it would let go of"
        what = "runs" if rule.rule.startswith("runs") else "calls"
        click.echo(f"[retention] {rule.rule} {state} {rule.rows:,} {what}, about {rule.size_bytes / 1e6:,.1f} MB.")
