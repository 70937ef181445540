"""`cost`: the bill, budgets, and what the provider's export says."""

import sys
from pathlib import Path
from typing import Any, cast

import click


@click.group("cost", invoke_without_command=True)
@click.pass_context
def cost_command(context: click.Context) -> None:
    """The bill; budgets; reconcile with the provider's export."""
    if context.invoked_subcommand is None:
        context.invoke(report)


@cost_command.command("report")
@click.option("--project", default="default", show_default=True, help="Which project.")
@click.option("--json", "as_json", is_flag=True, help="The bill as JSON.")
def report(project: str = "default", as_json: bool = False) -> None:
    """What was spent, by target; what may still be owed is held."""
    import msgspec

    from mooring.cli.rooms import with_rooms
    from mooring.core.money import show_usd

    bill = with_rooms(lambda rooms: rooms.journal.bill(project))
    if as_json:
        click.echo(msgspec.json.encode(bill))
        return
    for line in bill.lines:
        click.echo(
            f"{line.target:32} {line.attempts:6} attempts  {line.usage.input_tokens:9} in  "
            f"{line.usage.output_tokens:9} out  {show_usd(line.settled_nanos)}"
            + (f"  held {show_usd(line.held_nanos)}" if line.held_nanos else "")
        )
    click.echo(f"settled {show_usd(bill.settled_nanos)}, held {show_usd(bill.held_nanos)}")


@cost_command.command("budget")
@click.argument("cap_usd")
@click.option("--project", default="default", show_default=True, help="Which project.")
@click.option(
    "--scope",
    default="project",
    show_default=True,
    type=click.Choice(["project", "key", "user", "model", "tag", "run"]),
)
@click.option("--subject", default="", help="Which key, user, model, tag or run; empty for the project.")
@click.option(
    "--window", default="month", show_default=True, type=click.Choice(["hour", "day", "week", "month", "total"])
)
def budget(cap_usd: str, project: str, scope: str, subject: str, window: str) -> None:
    """Set a cap of CAP_USD dollars. It cannot be overshot: each call reserves its maximum before it is sent."""
    from mooring.cli.rooms import with_rooms
    from mooring.core.money import amount, show_usd

    try:
        cap = amount(cap_usd)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if bool(subject) == (scope == "project"):
        raise click.UsageError(
            "--subject is for a scope beside project." if subject else f"Which {scope}? Name it with --subject."
        )
    with_rooms(
        lambda rooms: rooms.journal.put_budget(
            project, scope=cast(Any, scope), subject=subject, window=cast(Any, window), cap_nanos=cap
        )
    )
    click.echo(f"{scope} {subject} may spend {show_usd(cap)} per {window}.".replace("  ", " "))


@cost_command.command("budgets")
@click.option("--project", default="default", show_default=True, help="Which project.")
def budgets(project: str) -> None:
    """The caps, and where each window stands."""
    from mooring.cli.rooms import with_rooms
    from mooring.core.money import show_usd

    found = with_rooms(lambda rooms: rooms.journal.budgets(project))
    if not found:
        click.echo("No budget is set. Set one: mooring cost budget 25 --window month")
    for row in found:
        click.echo(
            f"{row.scope} {row.subject or '(all)'} per {row.window}: settled {show_usd(row.settled_nanos)} + "
            f"held {show_usd(row.held_nanos)} of {show_usd(row.cap_nanos)}"
        )


@cost_command.command("reconcile")
@click.argument("export", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--project", default="default", show_default=True, help="Which project.")
@click.option(
    "--complete",
    is_flag=True,
    help="The export names every request so far: what is held and not in it cost nothing, and is released.",
)
def reconcile(export: Path, project: str, complete: bool) -> None:
    """Settle what is held from the provider's EXPORT (CSV), and compare the rest. Exit 1 if amounts differ."""
    from mooring.cli.rooms import with_rooms
    from mooring.core import ids
    from mooring.core.money import show_usd
    from mooring.gateway.reconcile import parse_csv

    until_us = round(export.stat().st_mtime * 1e6)
    usages = parse_csv(export.read_text(encoding="utf-8", errors="replace"))
    found = with_rooms(
        lambda rooms: rooms.journal.reconcile(project, usages, is_complete_until_us=until_us if complete else None)
    )
    click.echo(f"{len(usages)} rows read; {found.settled} held attempts settled at {show_usd(found.settled_nanos)}.")
    for difference in found.differing:
        click.echo(
            f"{ids.show('att', difference.attempt_id)}: settled {show_usd(difference.settled_nanos)}, "
            f"metered {show_usd(difference.metered_nanos)}"
        )
    if found.missing:
        click.echo(f"{len(found.missing)} held attempts are not in the export; they stay held.")
    if found.unknown:
        click.echo(f"{len(found.unknown)} rows of the export are not in the journal: {', '.join(found.unknown[:5])}")
    sys.exit(1 if found.differing else 0)
