"""`sim`: the provider that meters and misbehaves."""

import click


@click.command("sim", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sim_command(arguments: tuple[str, ...]) -> None:
    """A provider that meters and misbehaves. `mooring sim -- --help` lists its options."""
    from mooring.sim import main

    main(list(arguments))
