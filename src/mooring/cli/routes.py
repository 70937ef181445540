"""`config routes`: which target answers a request, and why; and what a route by task learns from examples."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from .output import examples, json_option, note, print_json

FILE = click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    help="Instead of mooring.toml here.",
)


@click.group("routes", epilog=examples("mooring config routes explain request.json"))
def routes() -> None:
    """Which target answers a request, and why."""


@routes.command("explain", epilog=examples("mooring config routes explain request.json --session s_1"))
@click.argument("request", metavar="REQUEST.json", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@FILE
@click.option("--session", default="", help="The conversation, for a sticky model.")
@json_option("model", "strategy", "is_health_known", "targets")
def explain(request: Path, path: Path | None, session: str, as_json: bool) -> None:
    """In which order the targets of REQUEST.json's model would be tried, and why not the others.

    Nothing is sent, but the text of a route by task: its vector is asked of the server that runs here.
    """
    from mooring import config
    from mooring.core.errors import NotFound
    from mooring.gateway.explain import explain as explained

    try:
        found = explained(
            config.load(path).gateway, request.read_bytes(), session=session, health=_health(), embed=_vector
        )
    except NotFound as error:
        read = f"This looked in {config.origin_of(path)}; another is named by --file or MOORING_CONFIG."
        raise NotFound(error.message, hint=" ".join(filter(None, (error.hint, read))), param=error.param) from error
    if as_json:
        print_json(found.facts())
        return
    for line in found.lines():
        click.echo(line)


@routes.command("train", epilog=examples("mooring config routes train support examples.jsonl"))
@click.argument("route")
@click.argument("lines", metavar="EXAMPLES.jsonl", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@FILE
@click.option("--model", default="local/minilm", show_default=True, help="Makes the vectors, now and for each call.")
@click.option(
    "--margin", default=0.02, show_default=True, type=click.FloatRange(0, 2), help="How far ahead the best must be."
)
@click.option("--folds", default=5, show_default=True, type=click.IntRange(2, 50), help="Of the cross-validation.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), default=None, help="Instead of ROUTE.task.json here."
)
@json_option("file", "digest", "embedding_model", "margin", "accuracy")
def train(
    route: str,
    lines: Path,
    path: Path | None,
    model: str,
    margin: float,
    folds: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Learn from EXAMPLES.jsonl which target of ROUTE a text is for, and say how often that is right.

    Each line is {"text": …, "target": "provider/model"}. The vectors are bought from the server that runs here.
    """
    import msgspec

    from mooring import config
    from mooring.core.errors import NotFound
    from mooring.core.registry import did_you_mean
    from mooring.core.text import digest
    from mooring.gateway import embeddings, task

    models = config.load(path).gateway.models
    if route not in models:
        raise NotFound(
            f"There is no [gateway.models.{route}].",
            hint=did_you_mean(route, list(models)) or "Write it with its targets first.",
        )
    given = task.read_examples(lines.read_bytes(), models[route].targets)
    vectors: list[Sequence[float]] = []
    for batch in embeddings.batches([example.text for example in given]):
        vectors.extend(_vectors(batch, model))
    data = task.train(given, vectors, embedding_model=model, margin=margin, folds=folds)
    file = out or Path(f"{route}.task.json")
    file.write_bytes(data)
    accuracy = msgspec.json.decode(data, type=task.TaskModel).accuracy
    shown = digest(data).hex()
    if as_json:
        facts = {"file": str(file), "digest": shown, "embedding_model": model, "margin": margin}
        print_json({**facts, "accuracy": msgspec.to_builtins(accuracy)})
        return
    for line in accuracy.lines():
        click.echo(line)
    click.echo(f'\n[gateway.models."{route}"]\nstrategy = "task"\ntask = {{ file = "{file}", digest = "{shown}" }}')
    note(f"Wrote {file}. Put these lines into the configuration, beside the route's targets.")


def _vector(model: str, text: str) -> Sequence[float] | None:
    """Of one text; None where no server runs, or it makes none."""
    from mooring.core.errors import MooringError

    try:
        return _vectors([text], model)[0]
    except MooringError as error:
        note(f"No vector: {error}")
        return None


def _vectors(texts: Sequence[str], model: str) -> Sequence[Sequence[float]]:
    """Bought by the running `serve`, which journals and bills them."""
    import json
    import urllib.error
    import urllib.request

    from mooring.client.discovery import running_endpoint
    from mooring.core.errors import MooringError, Unavailable
    from mooring.gateway import embeddings
    from mooring.storage import Home

    endpoint = running_endpoint(Home.locate().path)
    if endpoint is None:
        raise Unavailable("No server runs here to make vectors.", hint="Start `mooring up` first.")
    request = urllib.request.Request(  # noqa: S310  # the home's own server
        endpoint.url + "/v1/embeddings",
        embeddings.request_body(texts, model),
        {"authorization": f"Bearer {endpoint.key}", "content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:  # noqa: S310
            return embeddings.vectors(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            body = error.read()
        try:
            message = str(json.loads(body)["error"]["message"])
        except (ValueError, KeyError, TypeError):
            message = f"The server answered {error.code}."
        raise MooringError(message) from error
    except OSError as error:
        raise Unavailable(
            f"The server did not answer: {error}.", hint="`mooring doctor` says what is wrong."
        ) from error


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
