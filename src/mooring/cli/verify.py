"""`verify`: the batteries behind the promises. Exit 1 if a promise does not hold."""

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Literal, cast

import click

POSTGRES = click.option(
    "--postgres",
    default=None,
    metavar="URL",
    envvar="MOORING_STORAGE__URL",
    help="Run on PostgreSQL: in a new database on this server, which is dropped at the end. Without: SQLite.",
)


@click.group("verify")
def verify_command() -> None:
    """The batteries behind the promises; each starts a house and a double of its own."""


@verify_command.command("crash")
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
@click.option("--seed", default=1, show_default=True, help="Of the random moments.")
@POSTGRES
def crash(kills: int, target: str, seed: int, postgres: str | None) -> None:
    """kill -9 at random moments: nothing is paid twice, done twice or lost."""
    from mooring.verify.crash import crash as battery

    with database(postgres) as url:
        report = battery(
            kills=kills,
            target=cast("Literal['worker', 'serve']", target),
            seed=seed,
            log=click.echo,
            database_url=url,
        )
    finish(report.lines(), report.holds)


@verify_command.command("ledger")
@click.option("--clients", default=64, show_default=True, type=click.IntRange(1, 1024), help="At once.")
@click.option("--requests", default=4000, show_default=True, type=click.IntRange(1, 1_000_000), help="In all.")
@click.option(
    "--disconnect", default=0.3, show_default=True, type=click.FloatRange(0, 1), help="Share of clients that hang up."
)
@click.option("--kill", "target", default=None, type=click.Choice(["serve"]), help="Kill serve every 1.5 seconds.")
@click.option("--cap-usd", default="0.3", show_default=True, help="The budget's cap.")
@click.option("--seed", default=1, show_default=True, help="Of the random load.")
@POSTGRES
def ledger(
    clients: int, requests: int, disconnect: float, target: str | None, cap_usd: str, seed: int, postgres: str | None
) -> None:
    """Budgets under load: never overshot, equal to the provider's meter after reconciling."""
    from mooring.core.money import nanos
    from mooring.verify.ledger import ledger as battery

    with database(postgres) as url:
        report = battery(
            clients=clients,
            requests=requests,
            disconnect=disconnect,
            kill_serve=target == "serve",
            cap_nanos=nanos(cap_usd),
            seed=seed,
            log=click.echo,
            database_url=url,
        )
    finish(report.lines(), report.holds)


@verify_command.command("faults")
@click.option("--only", default="", metavar="WORDS", help="Only the faults whose names hold these words.")
@click.option("--json", "is_json", is_flag=True, help="The report as JSON.")
@POSTGRES
def faults(only: str, is_json: bool, postgres: str | None) -> None:
    """A provider that fails in every way: the answer comes whole or an error is shown, and nothing is lost."""
    from mooring.verify.faults import faults as battery

    with database(postgres) as url:
        report = battery(only=only, log=lambda line: click.echo(line, err=True), database_url=url)
    if is_json:
        click.echo(json.dumps(report.facts(), ensure_ascii=False, indent=2))
        sys.exit(0 if report.holds else 1)
    finish(report.lines(), report.holds)


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


def finish(lines: list[str], holds: bool) -> None:
    for line in lines:
        click.echo(line)
    click.echo("holds" if holds else "DOES NOT HOLD")
    sys.exit(0 if holds else 1)
