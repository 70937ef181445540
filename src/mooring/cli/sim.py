"""`sim`: the provider that meters and misbehaves."""

import sys

import click

from .output import examples


@click.command("sim", epilog=examples("mooring sim -- --port 9000"), context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sim_command(arguments: tuple[str, ...]) -> None:
    """A provider that meters and misbehaves. `mooring sim -- --help` lists its options."""
    from mooring.processes.ending import end_with_supervisor
    from mooring.sim import main

    end_with_supervisor()
    sys.exit(main(list(arguments)))
