"""`run`: a file with agents, as a program of its own or one of its runs again."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .completion import RUN_ID
from .exits import Exit
from .output import examples, json_option, note, print_json

if TYPE_CHECKING:
    from mooring.journal.records import RunRecord


@click.command(
    "run",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=examples("mooring run app.py", "mooring run --resume last"),
)
@click.option(
    "--resume",
    "run_id",
    type=RUN_ID,
    default=None,
    help="Go on with this run (run_… or last) from its own file instead of starting FILE.",
)
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@json_option("id", "state", "output", "error")
@click.pass_context
def run_command(
    context: click.Context, run_id: str | None, file: Path | None, arguments: tuple[str, ...], as_json: bool
) -> None:
    """Run FILE: it finds the home's server, or a temporary one is started for it.

    Without --resume, what is printed is FILE's own, and so is the exit code. Closing the terminal does not end it.
    """
    ignore_hang_up()
    if run_id is not None:
        context.exit(resume(run_id, as_json=as_json))
    if file is None:
        raise click.UsageError("Name a FILE with agents, or a run to --resume.")
    if as_json:
        raise click.UsageError("--json goes with --resume: what FILE prints is its own.")
    context.exit(start(file, arguments))


def ignore_hang_up() -> None:
    """The script inherits it: work that was begun is finished though its terminal is gone."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def start(file: Path, arguments: tuple[str, ...]) -> int:
    """Runs the user's own file; its exit code. Ctrl-C is the file's to handle, and this waits for it."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([sys.executable, str(file), *arguments], env=environment) as script:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            code = script.wait()
        finally:
            signal.signal(signal.SIGINT, before)
    return code if code >= 0 else 128 - code


def resume(text: str, *, as_json: bool) -> Exit:
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
        record = await find_run(rooms.journal, text)
        if record.state in ("parked", "waiting"):
            await rooms.journal.resume_run(PROJECT, record.id)
        return record

    async def read(rooms: Server) -> RunRecord:
        return await rooms.journal.get_run(PROJECT, record.id)

    record = with_rooms(wake, makes_home=False)
    if record.state in ("completed", "failed", "cancelled"):
        shown = ids.show("run", record.id)
        note(f"{shown} was over already: nothing is left to resume. What it did: mooring trace {shown}")
        return tell(record, as_json=as_json)
    home = storage.Home.locate()
    with ensure_serve(home):
        run_loop(work_on(config.load(), home, record.id))
    return tell(with_rooms(read), as_json=as_json)


def tell(record: "RunRecord", *, as_json: bool) -> Exit:
    """How the run ended."""
    from mooring.core import ids
    from mooring.server.runs import show_run

    if as_json:
        print_json(show_run(record))
    else:
        click.echo(f"{ids.show('run', record.id)} is {record.state}.")
        if record.output:
            click.echo(record.output.decode())
        elif record.error_message:
            click.echo(record.error_message, err=True)
    return Exit.DONE if record.state == "completed" else Exit.FAILED
