"""`doctor`: is all well, and what to do where it is not."""

import sys

import click

from .output import examples, json_option, print_json


@click.command("doctor", epilog=examples("mooring doctor", "mooring doctor --reach --json"))
@click.option("--reach", is_flag=True, help="Also ask each provider beyond this machine whether it answers.")
@json_option("subject", "status", "text", is_list=True)
def doctor_command(reach: bool, as_json: bool) -> None:
    """Look at this home: versions, processes, memory, disk, keys, what waits, whom it talks to.

    Exit 1 if something must be mended.
    """
    from mooring.cli.rooms import with_rooms
    from mooring.processes.doctor import examine

    lines = with_rooms(lambda rooms: examine(rooms, reach=reach))
    fails = sum(line.status == "fail" for line in lines)
    if as_json:
        print_json(lines)
        sys.exit(1 if fails else 0)
    for line in lines:
        mark = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}[line.status]
        click.echo(f"{mark}  {line.subject:15}  {line.text}")
        if line.do is not None:
            click.echo(f"{'':23}→ {line.do}")
    warns = sum(line.status == "warn" for line in lines)
    click.echo(f"{fails} to mend, {warns} to look at." if fails or warns else "All is well.")
    sys.exit(1 if fails else 0)
