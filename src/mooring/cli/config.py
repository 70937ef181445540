"""`config`: what Mooring will do, before it does it."""

from pathlib import Path
from typing import Any

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


@config_command.group("routes", epilog=examples("mooring config routes explain request.json"))
def routes() -> None:
    """Which target answers a request, and why."""


@routes.command("explain", epilog=examples("mooring config routes explain request.json --session s_1"))
@click.argument("request", metavar="REQUEST.json", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@FILE
@click.option("--session", default="", help="The conversation, for a sticky model.")
@json_option("model", "strategy", "is_health_known", "targets")
def explain(request: Path, path: Path | None, session: str, as_json: bool) -> None:
    """In which order the targets of REQUEST.json's model would be tried, and why not the others. Nothing is sent."""
    from mooring import config
    from mooring.core.errors import NotFound
    from mooring.gateway.explain import explain as explained

    try:
        found = explained(config.load(path).gateway, request.read_bytes(), session=session, health=_health())
    except NotFound as error:
        read = f"This looked in {config.origin_of(path)}; another is named by --file or MOORING_CONFIG."
        raise NotFound(error.message, hint=" ".join(filter(None, (error.hint, read))), param=error.param) from error
    if as_json:
        print_json(found.facts())
        return
    for line in found.lines():
        click.echo(line)


def _health() -> list[dict[str, Any]] | None:
    """What the running `serve` says of its targets; None where none runs."""
    import json
    import urllib.error
    import urllib.request

    from mooring.client.discovery import running_endpoint
    from mooring.storage import Home

    endpoint = running_endpoint(Home.locate().path)
    if endpoint is None:
        return None
    request = urllib.request.Request(  # noqa: S310  # the home's own server
        endpoint.url + "/v1/targets", headers={"authorization": f"Bearer {endpoint.key}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            data: list[dict[str, Any]] = json.load(answer)["data"]
            return data
    except (urllib.error.URLError, OSError, ValueError, KeyError):
        return None
