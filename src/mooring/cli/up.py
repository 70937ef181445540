"""`up`, `serve`, `worker`, `local`: the processes."""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .output import examples, json_option, note, print_json

if TYPE_CHECKING:
    from mooring.config import Explained
    from mooring.storage import Home

APP = click.option(
    "--app", "app_path", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file with agents."
)


@click.command("up", epilog=examples("mooring up", "mooring up --app app.py --reload"))
@APP
@click.option("--reload", "is_reloading", is_flag=True, help="Follow edits of the app: new workers for new code.")
@json_option("url", "home", "sign_in", "pid")
def up_command(app_path: Path | None, is_reloading: bool, as_json: bool) -> None:
    """Start serve and the workers, and keep them running until Ctrl-C."""
    from mooring import config, storage
    from mooring.processes import up

    if is_reloading and app_path is None:
        raise click.UsageError("--reload follows the edits of an app: name it with --app FILE.")
    settings = config.explain()
    home = storage.Home.locate()
    house = up.start(settings.config, home, log=note, app_path=app_path, is_reloading=is_reloading)
    house.supervisor.heed_signals()
    try:
        greet(settings, home, house.endpoint.url, as_json=as_json)
        house.run()
    finally:
        house.stop()


def greet(settings: "Explained", home: "Home", url: str, *, as_json: bool) -> None:
    """Says once that it is up, and what can be done next."""
    from mooring.cli import welcome

    if not as_json:
        click.echo(f"Mooring is up at {url} (data in {home.path}). Ctrl-C stops it.")
    told = welcome.prepare(settings, home, url)
    if as_json:
        print_json({"url": url, "home": str(home.path), "sign_in": told.sign_in, "pid": os.getpid()})
        return
    for line in welcome.lines(told):
        click.echo(line)


@click.command("serve", epilog=examples("mooring serve --app app.py"))
@APP
def serve_command(app_path: Path | None) -> None:
    """One HTTP server, in the foreground."""
    from mooring import config, storage
    from mooring.processes.ending import end_with_supervisor
    from mooring.processes.serve import serve

    settings = config.load()
    prepare_process(settings.server.log_format)
    end_with_supervisor()
    run_loop(serve(settings, storage.Home.locate(), app_path=app_path))


@click.command("worker", epilog=examples("mooring worker --app app.py"))
@APP
@click.option("--report", type=click.Path(path_type=Path), hidden=True)
def worker_command(app_path: Path | None, report: Path | None) -> None:
    """One worker, in the foreground."""
    from mooring import config, storage
    from mooring.processes.ending import end_with_supervisor
    from mooring.processes.work import work

    settings = config.load()
    prepare_process(settings.server.log_format)
    end_with_supervisor()
    run_loop(work(settings, storage.Home.locate(), app_path=app_path, report=report))


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


def prepare_process(log_format: str = "text") -> None:
    """Log lines go to standard error through the redactor; SIGPIPE and Ctrl-C behave."""
    from mooring.guardrails.redactor import RedactingFormatter, Redactor

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter(Redactor(), "%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    if log_format == "json":
        from mooring.tracing.logs import use_json

        use_json(Redactor(), handler)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
