"""`doctor`: is all well, and what to do where it is not."""

import sys

import click


@click.command("doctor")
@click.option("--reach", is_flag=True, help="Also ask each provider beyond this machine whether it answers.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def doctor_command(reach: bool, as_json: bool) -> None:
    """Look at this home: versions, processes, memory, disk, keys, what waits, whom it talks to.

    Exit 1 if something must be mended.
    """
    import msgspec

    from mooring.cli.rooms import with_rooms
    from mooring.processes.doctor import examine

    lines = with_rooms(lambda rooms: examine(rooms, reach=reach))
    fails = sum(line.status == "fail" for line in lines)
    if as_json:
        click.echo(msgspec.json.encode(lines))
        sys.exit(1 if fails else 0)
    for line in lines:
        mark = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}[line.status]
        click.echo(f"{mark}  {line.subject:15}  {line.text}")
        if line.do is not None:
            click.echo(f"{'':23}→ {line.do}")
    warns = sum(line.status == "warn" for line in lines)
    click.echo(f"{fails} to mend, {warns} to look at." if fails or warns else "All is well.")
    sys.exit(1 if fails else 0)
