"""`config`: what Mooring will do, before it does it."""

from pathlib import Path

import click

FILE = click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    help="Instead of mooring.toml here.",
)


@click.group("config")
def config_command() -> None:
    """Check and show the configuration."""


@config_command.command("check")
@FILE
def check(path: Path | None) -> None:
    """Say what is wrong, all at once."""
    from mooring import config

    config.load(path)
    click.echo("The configuration is valid.")


@config_command.command("show")
@FILE
def show(path: Path | None) -> None:
    """The effective configuration as JSON; secrets are references, never values."""
    from mooring import config

    click.echo(config.load(path).model_dump_json(indent=2))


@config_command.command("schema")
def schema() -> None:
    """The JSON Schema of mooring.toml."""
    import json

    from mooring import config

    click.echo(json.dumps(config.Config.model_json_schema(), indent=2))
