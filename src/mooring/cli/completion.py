"""`completion`: the script for a shell, and the words that it offers for runs and models.

What is offered comes from a server that runs already, or from `mooring.toml`; none is ever started, nothing is waited
for longer than a keystroke, and what goes wrong offers nothing.
"""

import http.client
import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from click.shell_completion import CompletionItem

from .output import examples, json_option, print_json

PATIENCE_SECONDS = 0.5
INSTALL = {
    "bash": "echo 'eval \"$(mooring completion bash)\"' >> ~/.bashrc",
    "zsh": "echo 'eval \"$(mooring completion zsh)\"' >> ~/.zshrc",
    "fish": "mooring completion fish > ~/.config/fish/completions/mooring.fish",
}


@click.command("completion", epilog=examples(*INSTALL.values()))
@click.argument("shell", type=click.Choice(list(INSTALL)))
@json_option("shell", "script", "install")
@click.pass_context
def completion_command(context: click.Context, shell: str, as_json: bool) -> None:
    """Print the script that completes verbs, options, runs and models in SHELL."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    made = kind(context.find_root().command, {}, "mooring", "_MOORING_COMPLETE")
    script = made.source_template % made.source_vars()
    if as_json:
        print_json({"shell": shell, "script": script, "install": INSTALL[shell]})
    else:
        click.echo(script)


class RunId(click.ParamType[str]):
    """A run's id as it is shown, or `last`."""

    name = "run"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        runs = _ask("/v1/runs") or ()
        known = [
            ("last", "the newest run"),
            *((str(run.get("id")), f"{run.get('agent')} {run.get('state')}") for run in runs),
        ]
        return [CompletionItem(name, help=about) for name, about in known if name.startswith(incomplete)]


class ModelName(click.ParamType[str]):
    """A model's name as callers use it."""

    name = "model"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        served = _ask("/v1/models")
        names = _configured() if served is None else (str(model.get("id")) for model in served)
        return [CompletionItem(name) for name in sorted({*names}) if name.startswith(incomplete)]


RUN_ID = RunId()
MODEL_NAME = ModelName()


def _ask(path: str) -> list[dict[str, Any]] | None:
    """The list that this home's server answers with; None where none runs."""
    for url, key in _servers():
        address = urlsplit(url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=PATIENCE_SECONDS)
        try:
            connection.request("GET", path, headers={"authorization": f"Bearer {key}"})
            found = json.loads(connection.getresponse().read())["data"]
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
            continue
        finally:
            connection.close()
        return found if isinstance(found, list) else None
    return None


def _servers() -> Iterable[tuple[str, str]]:
    """Address and key of each server that says that it runs on this home, the newest first."""
    from mooring.storage.home import find_home

    for file in sorted((find_home() / "run").glob("serve-*.json"), reverse=True):
        try:
            found = json.loads(file.read_bytes())
            yield str(found["url"]), str(found["service_key"])
        except (OSError, ValueError, KeyError, TypeError):
            continue


def _configured() -> Iterable[str]:
    """The models that `mooring.toml` names, and those that are built in."""
    try:
        gateway = tomllib.loads(Path("mooring.toml").read_text(encoding="utf-8")).get("gateway", {})
        named = [str(name) for name in gateway.get("models", {})]
    except (OSError, ValueError, AttributeError):
        named = []
    return [*named, "local/reader", "local/minilm"]
