"""`up`, `serve`, `worker`, `local`: the processes."""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import click

from .output import examples, json_option, print_json

APP = click.option(
    "--app", "app_path", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file with agents."
)


@click.command("up", epilog=examples("mooring up", "mooring up --app app.py"))
@APP
@json_option("url", "home", "sign_in", "pid")
def up_command(app_path: Path | None, as_json: bool) -> None:
    """Start serve and the workers, and keep them running until Ctrl-C."""
    from mooring import config, storage
    from mooring.cli import welcome
    from mooring.processes import up

    settings = config.explain()
    home = storage.Home.locate()
    house = up.start(settings.config, home, log=lambda line: click.echo(line, err=True), app_path=app_path)
    house.supervisor.heed_signals()
    try:
        told = welcome.prepare(settings, home, house.endpoint.url)
        if as_json:  # once, when it is up
            print_json({"url": told.url, "home": str(told.home), "sign_in": told.sign_in, "pid": os.getpid()})
        else:
            click.echo(f"Mooring is up at {told.url} (data in {told.home}). Ctrl-C stops it.")
            for line in welcome.lines(told):
                click.echo(line)
        house.supervisor.run()
    finally:
        house.stop()


@click.command("serve", epilog=examples("mooring serve --app app.py"))
@APP
def serve_command(app_path: Path | None) -> None:
    """One HTTP server, in the foreground."""
    from mooring import config, storage
    from mooring.processes.ending import end_with_supervisor
    from mooring.processes.serve import serve

    prepare_process()
    end_with_supervisor()
    run_loop(serve(config.load(), storage.Home.locate(), app_path=app_path))


@click.command("worker", epilog=examples("mooring worker --app app.py"))
@APP
def worker_command(app_path: Path | None) -> None:
    """One worker, in the foreground."""
    from mooring import config, storage
    from mooring.processes.ending import end_with_supervisor
    from mooring.processes.work import work

    prepare_process()
    end_with_supervisor()
    run_loop(work(config.load(), storage.Home.locate(), app_path=app_path))


@click.command("local", epilog=examples("mooring local -- --help"), context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def local_command(arguments: tuple[str, ...]) -> None:
    """The built-in models, on loopback."""
    from mooring.local.serve import main
    from mooring.processes.ending import end_with_supervisor

    end_with_supervisor()
    sys.exit(main(list(arguments)))


def run_loop(main: "object") -> None:
    """Runs a coroutine on uvloop where there is one."""
    if sys.platform == "win32":
        asyncio.run(main)  # type: ignore[arg-type]
        return
    import uvloop

    uvloop.run(main)  # type: ignore[arg-type]


def prepare_process() -> None:
    """Log lines go to standard error through the redactor; SIGPIPE and Ctrl-C behave."""
    from mooring.guardrails.redactor import RedactingFormatter, Redactor

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter(Redactor(), "%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    signal.signal(signal.SIGINT, signal.SIG_DFL)
