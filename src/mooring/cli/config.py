"""`config`: what Mooring will do, before it does it."""

from pathlib import Path

import click

from .output import examples, json_option, print_json
from .routes import FILE, routes


@click.group("config", epilog=examples("mooring config check", "mooring config show"))
def config_command() -> None:
    """Check and show the configuration."""


@config_command.command("check", epilog=examples("mooring config check --file mooring.toml"))
@FILE
@json_option("is_valid")
def check(path: Path | None, as_json: bool) -> None:
    """Say what is wrong, all at once."""
    from mooring import config
    from mooring.core.errors import ConfigError

    found = config.explain(path)
    if mistakes := config.mistakes(found.config):
        raise ConfigError(config.listed(config.origin_of(path), mistakes))
    if as_json:
        print_json({"is_valid": True})
    else:
        click.echo("The configuration is valid.")


@config_command.command("show", epilog=examples("mooring config show"))
@FILE
@json_option("server", "storage", "worker", "gateway", "guardrails", "rag", "sources")
def show(path: Path | None, as_json: bool) -> None:
    """The effective configuration, and where each value comes from; secrets are references, never values."""
    from mooring import config
    from mooring.cli import settings

    found = config.explain(path)
    if as_json:
        print_json(settings.as_data(found))
    else:
        click.echo(settings.as_toml(found), nl=False)


@config_command.command("schema", epilog=examples("mooring config schema > mooring.schema.json"))
@json_option("$schema", "title", "type", "properties")
def schema(as_json: bool) -> None:
    """The JSON Schema of mooring.toml, for editors."""
    import json

    from mooring.cli import settings

    if as_json:
        print_json(settings.schema())
    else:
        click.echo(json.dumps(settings.schema(), indent=2))


config_command.add_command(routes)
