"""`keys env`: what an SDK reads from the environment to talk to this server instead of a vendor."""

import shlex
import sys
from typing import TYPE_CHECKING

import click

from .output import examples, is_terminal, json_option, note, print_json

if TYPE_CHECKING:
    from mooring.config import Config
    from mooring.storage import Home


def variables(url: str, key: str) -> dict[str, str]:
    """By the names that the vendors' SDKs document; Google's reads both of its keys, and Anthropic's adds `/v1`."""
    return {
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": key,
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": key,
        "GOOGLE_GEMINI_BASE_URL": url,
        "GEMINI_API_KEY": key,
        "GOOGLE_API_KEY": key,
        "MOORING_URL": url,
        "MOORING_API_KEY": key,
    }


FORMS = {
    "sh": lambda name, value: f"export {name}={shlex.quote(value)}",
    "fish": lambda name, value: f"set -gx {name} {shlex.quote(value)}",
    "powershell": lambda name, value: f"$env:{name} = '{value}'",
}
USES = {
    "sh": 'eval "$(mooring keys env)"',
    "fish": "mooring keys env --shell fish | source",
    "powershell": "mooring keys env --shell powershell | Out-String | Invoke-Expression",
}


@click.command("env", epilog=examples('eval "$(mooring keys env)"', "mooring keys env --shell fish"))
@click.option(
    "--shell",
    type=click.Choice(list(FORMS)),
    default="sh",
    show_default=True,
    help="Whose words; sh is for bash and zsh too.",
)
@json_option("OPENAI_BASE_URL", "OPENAI_API_KEY", "MOORING_URL", "MOORING_API_KEY")
def env_command(shell: str, as_json: bool) -> None:
    """Print the exports that point any SDK at this server, with the home's own client key."""
    from mooring import config, storage
    from mooring.cli.rooms import with_rooms
    from mooring.client.discovery import running_endpoint
    from mooring.processes.client_key import client_key

    home = storage.Home.locate()
    endpoint = running_endpoint(home.path)
    if endpoint is None:
        url = expected_url(config.load(), home)
        note(f"No Mooring server runs on {home.path} yet; `mooring up` will be at {url}.")
    else:
        url = endpoint.url
    key = with_rooms(client_key)
    if as_json:
        print_json(variables(url, key))
        return
    for name, value in variables(url, key).items():
        click.echo(FORMS[shell](name, value))
    if is_terminal(sys.stdout):
        note(f"To use them: {USES[shell]}")


def expected_url(settings: "Config", home: "Home") -> str:
    """Where the next `mooring up` of this home listens, if nobody takes the port meanwhile."""
    from mooring.config import DEFAULT_PORT

    file = home.path / "port"
    remembered = file.read_text().strip() if file.exists() else ""
    port = settings.server.port or (int(remembered) if remembered.isdigit() else DEFAULT_PORT)
    return f"http://127.0.0.1:{port}"
