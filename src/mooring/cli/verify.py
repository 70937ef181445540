"""`verify`: the batteries behind the promises. Exit 1 if a promise does not hold."""

import contextlib
from collections.abc import Iterator
from typing import Any, Literal, Protocol, cast

import click

from .exits import Exit
from .output import examples, json_option, note, print_json


class Report(Protocol):
    """What a battery saw."""

    @property
    def holds(self) -> bool: ...

    def lines(self) -> list[str]: ...

    def facts(self) -> dict[str, Any]: ...


POSTGRES = click.option(
    "--postgres",
    default=None,
    metavar="URL",
    envvar="MOORING_STORAGE__URL",
    help="Run on PostgreSQL: in a new database on this server, which is dropped at the end. Without: SQLite.",
)


SEED = click.option("--seed", default=1, show_default=True, help="Of the random load and moments.")


@click.group("verify", epilog=examples("mooring verify crash --runs 20", "mooring verify ledger --kill serve"))
def verify_command() -> None:
    """The batteries behind the promises; each starts a house and a double of its own."""


@verify_command.command("crash", epilog=examples("mooring verify crash --runs 20 --kill serve"))
@click.option(
    "--runs", "kills", default=50, show_default=True, type=click.IntRange(1, 10_000), help="Kills that must hit."
)
@click.option(
    "--kill",
    "target",
    default="worker",
    show_default=True,
    type=click.Choice(["worker", "serve"]),
    help="Which process.",
)
@SEED
@POSTGRES
@json_option("holds", "kills", "repeated_finished", "repeated_in_flight", "doubled_effects", "lost_results")
@click.pass_context
def crash(context: click.Context, kills: int, target: str, seed: int, postgres: str | None, as_json: bool) -> None:
    """kill -9 at random moments: nothing is paid twice, done twice or lost."""
    from mooring.cli.progress import bar
    from mooring.verify.crash import crash as battery

    with bar("killing", "kills") as advance, database(postgres) as url:
        report = battery(
            kills=kills,
            target=cast("Literal['worker', 'serve']", target),
            seed=seed,
            log=note,
            progress=advance,
            database_url=url,
        )
    finish(context, report, as_json=as_json)


@verify_command.command("ledger", epilog=examples("mooring verify ledger --clients 64 --disconnect 0.3 --kill serve"))
@click.option("--clients", default=64, show_default=True, type=click.IntRange(1, 1024), help="At once.")
@click.option("--requests", default=4000, show_default=True, type=click.IntRange(1, 1_000_000), help="In all.")
@click.option(
    "--disconnect", default=0.3, show_default=True, type=click.FloatRange(0, 1), help="Share of clients that hang up."
)
@click.option("--kill", "target", default=None, type=click.Choice(["serve"]), help="Kill serve every 1.5 seconds.")
@click.option("--cap-usd", default="0.3", show_default=True, help="The budget's cap.")
@SEED
@POSTGRES
@json_option("holds", "requests", "answered", "refused", "hung_up", "settled_nanos", "metered_nanos", "violations")
@click.pass_context
def ledger(
    context: click.Context,
    clients: int,
    requests: int,
    disconnect: float,
    target: str | None,
    cap_usd: str,
    seed: int,
    postgres: str | None,
    as_json: bool,
) -> None:
    """Budgets under load: never overshot, equal to the provider's meter after reconciling."""
    from mooring.cli.progress import bar
    from mooring.core.money import amount
    from mooring.verify.ledger import ledger as battery

    try:
        cap_nanos = amount(cap_usd)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--cap-usd") from None
    with bar("asking", "requests") as advance, database(postgres) as url:
        report = battery(
            clients=clients,
            requests=requests,
            disconnect=disconnect,
            kill_serve=target == "serve",
            cap_nanos=cap_nanos,
            seed=seed,
            log=note,
            progress=advance,
            database_url=url,
        )
    finish(context, report, as_json=as_json)


@verify_command.command(
    "faults", epilog=examples("mooring verify faults", "mooring verify faults --wire gemini_generate")
)
@click.option(
    "--wire",
    default="all",
    show_default=True,
    type=click.Choice(
        [
            "all",
            "openai_chat",
            "anthropic_messages",
            "gemini_generate",
            "openai_responses",
            "bedrock_converse",
            "crossed",
        ]
    ),
    help="By which wire the provider is asked; crossed: callers of another one.",
)
@click.option("--only", default="", metavar="WORDS", help="Only the faults whose names hold these words.")
@POSTGRES
@json_option("holds", "faults", "whole", "shown", "silent", "cut", "hung", "outcomes")
@click.pass_context
def faults(context: click.Context, wire: str, only: str, postgres: str | None, as_json: bool) -> None:
    """A provider that fails in every way: the answer comes whole or an error is shown, and nothing is lost."""
    from mooring.verify.faults import faults as battery

    with database(postgres) as url:
        report = battery(wire=wire, only=only, log=note, database_url=url)
    finish(context, report, as_json=as_json)


@verify_command.command("structured", epilog=examples("mooring verify structured --answers 60"))
@click.option("--answers", default=500, show_default=True, type=click.IntRange(1, 100_000), help="Malformed answers.")
@POSTGRES
@json_option("holds", "answers", "mended", "repaired", "moved", "refused", "leaks", "wrong", "repair_nanos")
@click.pass_context
def structured(context: click.Context, answers: int, postgres: str | None, as_json: bool) -> None:
    """Answers that are not the JSON that was asked for: mended, asked for again, or refused; and what that costs."""
    from mooring.verify.structured import structured as battery

    with database(postgres) as url:
        report = battery(answers=answers, log=note, database_url=url)
    finish(context, report, as_json=as_json)


@contextlib.contextmanager
def database(server: str | None) -> Iterator[str | None]:
    """A new database on the server, or None for SQLite."""
    if server is None or server.startswith("sqlite"):
        yield None
        return
    from mooring.gateway.config import read_secret
    from mooring.storage.postgresql import require_driver

    require_driver()
    server = read_secret(server) if server.startswith(("env:", "file:")) else server
    from mooring.verify.fresh import fresh_database

    with fresh_database(server) as url:
        yield url


def finish(context: click.Context, report: Report, *, as_json: bool) -> None:
    """Prints what was seen; exit 1 if the promise does not hold."""
    if as_json:
        print_json(report.facts())
    else:
        for line in report.lines():
            click.echo(line)
        click.echo("holds" if report.holds else "DOES NOT HOLD")
    context.exit(Exit.DONE if report.holds else Exit.FAILED)
