"""`up`, `serve`, `worker`, `local`: the processes."""

import asyncio
import logging
import signal
import sys
from pathlib import Path

import click

APP = click.option(
    "--app", "app_path", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file with agents."
)


@click.command("up")
@APP
def up_command(app_path: Path | None) -> None:
    """Start serve and the workers, and keep them running until Ctrl-C."""
    from mooring import config, storage
    from mooring.cli import welcome
    from mooring.processes import up

    settings = config.explain()
    home = storage.Home.locate()
    house = up.start(settings.config, home, log=lambda line: click.echo(line, err=True), app_path=app_path)
    house.supervisor.heed_signals()
    click.echo(f"Mooring is up at {house.endpoint.url} (data in {home.path}). Ctrl-C stops it.")
    try:
        for line in welcome.lines(welcome.prepare(settings, home, house.endpoint.url)):
            click.echo(line)
        house.supervisor.run()
    finally:
        house.stop()


@click.command("serve")
@APP
def serve_command(app_path: Path | None) -> None:
    """One HTTP server, in the foreground."""
    from mooring import config, storage
    from mooring.processes.ending import end_with_supervisor
    from mooring.processes.serve import serve

    prepare_process()
    end_with_supervisor()
    run_loop(serve(config.load(), storage.Home.locate(), app_path=app_path))


@click.command("worker")
@APP
def worker_command(app_path: Path | None) -> None:
    """One worker, in the foreground."""
    from mooring import config, storage
    from mooring.processes.ending import end_with_supervisor
    from mooring.processes.work import work

    prepare_process()
    end_with_supervisor()
    run_loop(work(config.load(), storage.Home.locate(), app_path=app_path))


@click.command("local", context_settings={"ignore_unknown_options": True})
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
