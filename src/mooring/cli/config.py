"""`config`: what Mooring will do, before it does it."""

from pathlib import Path

import click

from .output import examples, json_option, print_json

FILE = click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    help="Instead of mooring.toml here.",
)


@click.group("config", epilog=examples("mooring config check", "mooring config show"))
def config_command() -> None:
    """Check and show the configuration."""


@config_command.command("check", epilog=examples("mooring config check --file mooring.toml"))
@FILE
@json_option("is_valid")
def check(path: Path | None, as_json: bool) -> None:
    """Say what is wrong, all at once."""
    from mooring import config

    config.load(path)
    if as_json:
        print_json({"is_valid": True})
    else:
        click.echo("The configuration is valid.")


@config_command.command("show", epilog=examples("mooring config show"))
@FILE
@json_option("server", "storage", "worker", "gateway", "guardrails", "rag")
def show(path: Path | None, as_json: bool) -> None:
    """The effective configuration as JSON; secrets are references, never values."""
    from mooring import config

    loaded = config.load(path)
    if as_json:
        print_json(loaded.model_dump(mode="json"))
    else:
        click.echo(loaded.model_dump_json(indent=2))


@config_command.command("schema", epilog=examples("mooring config schema > mooring.schema.json"))
@json_option("title", "type", "properties")
def schema(as_json: bool) -> None:
    """The JSON Schema of mooring.toml."""
    import json

    from mooring import config

    found = config.Config.model_json_schema()
    if as_json:
        print_json(found)
    else:
        click.echo(json.dumps(found, indent=2))
