"""`run`: a file with agents, as a program of its own or one of its runs again."""

import os
import subprocess
import sys
from pathlib import Path

import click


@click.command("run", context_settings={"ignore_unknown_options": True})
@click.option(
    "--resume", "run_id", default=None, help="Go on with this run (run_… or last) instead of starting the file."
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run_command(run_id: str | None, file: Path, arguments: tuple[str, ...]) -> None:
    """Run FILE: it finds the home's server, or a temporary one is started for it."""
    if run_id is not None:
        resume(run_id)
        return
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    done = subprocess.run([sys.executable, str(file), *arguments], env=environment, check=False)  # the user's own file
    sys.exit(done.returncode)


def resume(text: str) -> None:
    """Works on the run here until it has ended."""
    from mooring import config, storage
    from mooring.cli.rooms import PROJECT, find_run, with_rooms
    from mooring.cli.up import run_loop
    from mooring.core import ids
    from mooring.journal.records import RunRecord
    from mooring.processes.up import ensure_serve
    from mooring.processes.work import work_on
    from mooring.wiring import Server

    async def wake(rooms: Server) -> RunRecord:
        record = await find_run(rooms, text)
        if record.state in ("parked", "waiting"):
            await rooms.journal.resume_run(PROJECT, record.id)
        return record

    async def read(rooms: Server) -> RunRecord:
        return await rooms.journal.get_run(PROJECT, record.id)

    record = with_rooms(wake)
    home = storage.Home.locate()
    with ensure_serve(home):
        run_loop(work_on(config.load(), home, record.id))
    record = with_rooms(read)
    click.echo(f"{ids.show('run', record.id)} is {record.state}.")
    if record.output:
        click.echo(record.output.decode())
    elif record.error_message:
        click.echo(record.error_message, err=True)
    sys.exit(0 if record.state == "completed" else 1)
